"""What the tree models share: reading rows, predicting through the array forest, importances, and state."""

from typing import Any, ClassVar

import numpy as np
import pandas as pd

from consilience.base import Arrays, ClassifierPredictor, InvalidInput, InvalidState, RegressorPredictor, Spec, State
from consilience.boosting.class_weights import row_weights, weighing_rows
from consilience.boosting.parameters import CheckedParameters
from consilience.boosting.rows import read_rows
from consilience.kernels.forest import Forest

IMPORTANCE_TYPES = ("gain", "split")


class _TreeModel(CheckedParameters):
    """Mixin of the tree models; ``_grow`` is what a library adds.

    Attributes
    ----------
    forest_ : Forest, every tree that prediction uses.
    history_ : "loss" and "val_loss" per iteration, where a validation set was given.
    best_iteration_ : number of iterations kept, where training stopped early.
    """

    uses_validation: ClassVar[bool] = True
    forest_: Forest
    history_: dict[str, list[float]]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.allow_nan = True
        return tags

    def _grow(self, X: np.ndarray, y: np.ndarray, weight: Any, validation: Any) -> None:
        """Fit the library's own model and set ``forest_`` (and ``history_``, ``best_iteration_``)."""
        raise NotImplementedError

    def _read_validation_rows(self, X: Any, y: Any) -> np.ndarray:
        values: np.ndarray = self._read_X(X, allow_nan=True)  # type: ignore[attr-defined]
        if len(values) != len(y):
            raise InvalidInput(f"validation has {len(values)} rows of X and {len(y)} of y.")
        if pd.isna(np.asarray(y)).any():
            raise InvalidInput("The y of validation contains NaN.")
        return values

    def _forget(self) -> None:
        """What an earlier fit with a validation set left behind must not outlive it."""
        vars(self).pop("best_iteration_", None)

    def _raw(self, X: Any) -> np.ndarray:
        """The forest's raw outputs (n, n_outputs)."""
        rows = read_rows(self, X, allow_nan=True)
        return self.forest_.raw(rows)

    @property
    def feature_importances_(self) -> pd.Series:
        """Share of each feature by name, summing to 1: of all splits' gain or of their number (``importance_type``)."""
        kind = getattr(self, "importance_type", "gain")
        names = getattr(self, "feature_names_in_", None)
        if names is None:
            names = [f"x{i}" for i in range(self.n_features_in_)]  # type: ignore[attr-defined]
        return pd.Series(self.forest_.importances(kind), index=pd.Index(names, name="feature"), name=kind)

    def _fitted_state(self) -> tuple[Spec, Arrays, dict[str, State]]:
        spec, arrays = self.forest_.to_state()
        best = getattr(self, "best_iteration_", None)
        return {"forest": spec, "best_iteration": best, "history": getattr(self, "history_", {})}, dict(arrays), {}

    def _restore_fitted(self, spec: Spec, arrays: Arrays, children: dict[str, Any]) -> None:
        forest = Forest.from_state(spec["forest"], arrays)
        if forest.n_features != self.n_features_in_:  # type: ignore[attr-defined]
            raise InvalidState(f"The stored forest reads {forest.n_features} features, the model has another number.")
        if forest.n_outputs != self._n_outputs():
            raise InvalidState(f"The stored forest has {forest.n_outputs} outputs instead of {self._n_outputs()}.")
        self.forest_ = forest
        self.history_ = {str(name): [float(v) for v in values] for name, values in spec["history"].items()}
        if spec["best_iteration"] is not None:
            self.best_iteration_ = int(spec["best_iteration"])

    def _n_outputs(self) -> int:
        return 1


class TreeClassifier(_TreeModel, ClassifierPredictor):
    """Base of the tree classifiers."""

    def fit(self, X: Any, y: Any, *, sample_weight: Any = None, validation: Any = None) -> Any:
        """Fit on X (n, d), NaN meaning missing, and labels y (n,); stops early on ``validation=(X, y)`` if given."""
        self._check_parameters()
        values, labels, weight = self._read_fit(X, y, sample_weight, allow_nan=True)
        values, labels, weight = weighing_rows(values, labels, weight, type(self).__name__)
        codes = self._read_labels(labels)
        weight = row_weights(getattr(self, "class_weight", None), codes, self.classes_, weight)
        held_out = None if validation is None else self._read_validation(*validation)
        self._forget()
        self._grow(values, codes, weight, held_out)
        return self

    def _read_validation(self, X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        values = self._read_validation_rows(X, y)
        labels = np.asarray(y).ravel()
        codes = np.searchsorted(self.classes_, labels).clip(0, len(self.classes_) - 1)
        unknown = self.classes_[codes] != labels
        if unknown.any():
            raise InvalidInput(f"validation holds the class {labels[unknown].tolist()[0]!r}, which y does not have.")
        return values, codes

    def _n_outputs(self) -> int:
        return 1 if len(self.classes_) == 2 else len(self.classes_)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities (n, n_classes): the logistic function of the raw output for two classes, softmax for more."""
        raw = self._raw(X)
        if raw.shape[1] == 1:
            positive = 1.0 / (1.0 + np.exp(-raw[:, 0].clip(-700, 700)))
            return np.stack([1.0 - positive, positive], axis=1)
        raw -= raw.max(axis=1, keepdims=True)
        np.exp(raw, out=raw)
        raw /= raw.sum(axis=1, keepdims=True)
        return raw


class TreeRegressor(_TreeModel, RegressorPredictor):
    """Base of the tree regressors."""

    def fit(self, X: Any, y: Any, *, sample_weight: Any = None, validation: Any = None) -> Any:
        """Fit on X (n, d), NaN meaning missing, and targets y (n,); stops early on ``validation=(X, y)`` if given."""
        self._check_parameters()
        values, target, weight = self._read_fit(X, y, sample_weight, allow_nan=True)
        values, target, weight = weighing_rows(values, target, weight, type(self).__name__)
        held_out = None
        if validation is not None:
            held_out = (self._read_validation_rows(*validation), np.asarray(validation[1], dtype=np.float64).ravel())
        self._forget()
        self._grow(values, target, weight, held_out)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The expected target of each row, (n,)."""
        return self._raw(X)[:, 0]
