"""What the tree models share: reading rows, predicting through the array forest, importances, and state."""

from typing import Any, ClassVar

import numpy as np
import pandas as pd

from consilience.base import (
    Arrays,
    ClassifierPredictor,
    InvalidInput,
    InvalidState,
    RegressorPredictor,
    Spec,
    State,
    invalid,
)
from consilience.boosting.class_weights import row_weights, weighing_rows
from consilience.boosting.parameters import CheckedParameters
from consilience.boosting.probabilities import probabilities
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
    _largest_feature: ClassVar[float] = float(np.finfo(np.float32).max)  # what the library can hold
    _largest_target: ClassVar[float] = 1e15  # what its squares can hold, in float32
    forest_: Forest
    history_: dict[str, list[float]]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.allow_nan = True
        return tags

    def _grow(self, X: np.ndarray, y: np.ndarray, weight: Any, validation: Any) -> None:
        """Fit the library's own model and set ``forest_`` (and ``history_``, ``best_iteration_``)."""
        raise NotImplementedError

    def _read_pair(self, X: Any, y: Any, owner: str) -> tuple[np.ndarray, np.ndarray]:
        """Rows and labels that came with fitted columns: a validation set, or more data."""
        values: np.ndarray = self._read_X(X, allow_nan=True)  # type: ignore[attr-defined]
        target = np.asarray(y)
        if target.shape != (len(values),):
            raise InvalidInput(f"{owner} has {len(values)} rows of X and y of the shape {target.shape}.")
        if pd.isna(target).any():
            raise InvalidInput(f"The y of {owner} contains NaN.")
        self._check_range(values, np.zeros(0), owner)
        return values, target

    def _check_range(self, X: np.ndarray, y: np.ndarray, owner: str = "") -> None:
        """Refuse numbers that the library would turn into infinities."""
        name = type(self).__name__
        large = np.abs(np.nan_to_num(X)).max(axis=0, initial=0.0)
        if large.max(initial=0.0) > self._largest_feature:
            column = int(large.argmax())
            required = f"of numbers up to {self._largest_feature:.3g} in size, since trees are grown in float32"
            came = f"{large[column]:.3g} in the column {self._feature_names()[column]!r}"
            raise invalid("X", f"{owner or name}", required, came, "Scale the column.")
        most = float(np.abs(y).max(initial=0.0))
        if most > self._largest_target:
            required = f"of numbers up to {self._largest_target:.3g} in size, since their squares are added up"
            raise invalid("y", f"{owner or name}", required, f"{most:.3g}", "Divide y, and multiply the predictions.")

    def _forget(self) -> None:
        """What an earlier fit with a validation set left behind must not outlive it."""
        vars(self).pop("best_iteration_", None)

    def _rows(self, X: Any) -> np.ndarray:
        """X as the forest reads it, or an error that says what is wrong with it."""
        rows: np.ndarray = self._read_X(X, allow_nan=True)  # type: ignore[attr-defined]
        return rows

    def _raw(self, X: Any) -> np.ndarray:
        """The forest's raw outputs (n, n_outputs)."""
        rows = self._rows(X)
        return self.forest_.raw(rows)

    def contributions(self, X: Any) -> pd.DataFrame:
        """What each feature adds to each row's raw output: exact Shapley values of the trees (TreeSHAP), rows as in X.

        The columns are the features and last ``"mean"``, the mean output over the training rows; a row adds up to the
        raw output: log-odds of the second class for boosted classifiers, its probability for a forest, the prediction
        for regressors. With more than two classes the columns are (class, feature).
        """
        rows = self._rows(X)
        parts = self._shown(self.forest_.contributions(rows))
        names = [*self._feature_names(), "mean"]
        index = X.index if isinstance(X, pd.DataFrame) else None
        if parts.shape[2] == 1:
            return pd.DataFrame(parts[:, :, 0], index=index, columns=pd.Index(names, name="feature"))
        labels = self.classes_.tolist()  # type: ignore[attr-defined]
        columns = pd.MultiIndex.from_product([labels, names], names=["class", "feature"])
        return pd.DataFrame(parts.transpose(0, 2, 1).reshape(len(parts), -1), index=index, columns=columns)

    def _shown(self, parts: np.ndarray) -> np.ndarray:
        """Of the contributions (n, d + 1, n_outputs), the outputs that say all."""
        return parts

    def _feature_names(self) -> list[str]:
        names = getattr(self, "feature_names_in_", None)
        if names is None:
            return [f"x{i}" for i in range(self.n_features_in_)]  # type: ignore[attr-defined]
        return [str(name) for name in names]

    @property
    def feature_importances_(self) -> pd.Series:
        """Share of each feature by name, summing to 1: of all splits' gain or of their number (``importance_type``)."""
        kind = getattr(self, "importance_type", "gain")
        index = pd.Index(self._feature_names(), name="feature")
        return pd.Series(self.forest_.importances(kind), index=index, name=kind)

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
        self._check_range(values, codes)
        held_out = None if validation is None else self._read_validation(*validation)
        self._forget()
        self._grow(values, codes, weight, held_out)
        return self

    def _read_validation(self, X: Any, y: Any, owner: str = "validation") -> tuple[np.ndarray, np.ndarray]:
        values, labels = self._read_pair(X, y, owner)
        codes = np.searchsorted(self.classes_, labels).clip(0, len(self.classes_) - 1)
        unknown = self.classes_[codes] != labels
        if unknown.any():
            raise InvalidInput(f"{owner} holds the class {labels[unknown].tolist()[0]!r}, which y does not have.")
        return values, codes

    def _n_outputs(self) -> int:
        return 1 if len(self.classes_) == 2 else len(self.classes_)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities (n, n_classes): the logistic function of the raw output for two classes, softmax for more."""
        return probabilities(self._raw(X))


class TreeRegressor(_TreeModel, RegressorPredictor):
    """Base of the tree regressors."""

    def fit(self, X: Any, y: Any, *, sample_weight: Any = None, validation: Any = None) -> Any:
        """Fit on X (n, d), NaN meaning missing, and targets y (n,); stops early on ``validation=(X, y)`` if given."""
        self._check_parameters()
        values, target, weight = self._read_fit(X, y, sample_weight, allow_nan=True)
        values, target, weight = weighing_rows(values, target, weight, type(self).__name__)
        self._check_range(values, target)
        held_out = None if validation is None else self._read_validation(*validation)
        self._forget()
        self._grow(values, target, weight, held_out)
        return self

    def _read_validation(self, X: Any, y: Any, owner: str = "validation") -> tuple[np.ndarray, np.ndarray]:
        values, target = self._read_pair(X, y, owner)
        target = target.astype(np.float64)
        self._check_range(values[:0], target, owner)
        return values, target

    def predict(self, X: Any) -> np.ndarray:
        """The expected target of each row, (n,)."""
        return self._raw(X)[:, 0]
