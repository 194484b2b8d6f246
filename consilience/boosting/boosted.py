"""What XGBoost and LightGBM share beyond trees: continued training, intervals, and the libraries' own files."""

from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from consilience.base import Arrays, InvalidInput, InvalidState, Spec, State, invalid
from consilience.boosting.class_weights import row_weights, weighing_rows
from consilience.boosting.trees import TreeClassifier, TreeRegressor
from consilience.kernels.forest import Forest
from consilience.kernels.forest_formats import NativeForest


class _Boosted:
    """Mixin over ``_train``, with which a library grows a forest from a start (n, n_outputs) or from nothing."""

    _suffix: ClassVar[str]
    _native: bytes | None = None

    def _train(
        self, X: np.ndarray, y: np.ndarray, weight: Any, validation: Any, objective: Spec, start: Forest | None = None
    ) -> tuple[Forest, dict[str, list[float]], int | None, bytes]:
        """The new trees, the learning curves, the best iteration if stopped early, and the library's own text."""
        raise NotImplementedError

    @staticmethod
    def _read_native(text: bytes) -> NativeForest:
        raise NotImplementedError

    def _objective(self) -> Spec:
        raise NotImplementedError

    def _grow(self, X: np.ndarray, y: np.ndarray, weight: Any, validation: Any) -> None:
        own: Any = self
        own.forest_, own.history_, best, self._native = self._train(X, y, weight, validation, self._objective())
        if best is not None:
            own.best_iteration_ = best

    def fit_more(self, X: Any, y: Any, *, sample_weight: Any = None, validation: Any = None) -> Self:
        """Keep the trees and add ``n_estimators`` more, fitted to what they leave unexplained on (X, y).

        The columns, and for a classifier the classes, must be those of ``fit``. Works on a restored model too. The new
        trees correct the old ones; they never unlearn them, so fit again where the old market is gone for good.
        """
        check_is_fitted(self)
        own: Any = self
        own._check_parameters()
        values, target, weight = own._read_more(X, y, sample_weight)
        held_out = None if validation is None else own._read_validation(*validation)
        grown = self._train(values, target, weight, held_out, self._objective(), start=own.forest_)
        more, own.history_, best, _ = grown
        self._native = None  # the library's text would hold the new trees only
        own.forest_ = own.forest_.followed_by(more)
        vars(self).pop("best_iteration_", None)
        if best is not None:
            own.best_iteration_ = own.forest_.n_trees // own.forest_.n_outputs
        return self

    def native_files(self) -> dict[str, bytes]:
        """The library's own file as ``{"model.json": …}`` or ``{"model.txt": …}``; empty for a restored model."""
        return {} if self._native is None else {f"model.{self._suffix}": self._native}

    def export_native(self, path: str | Path) -> None:
        """Write the fitted booster in its library's own text format, for other programs; ``adopt`` reads it back."""
        check_is_fitted(self)
        if self._native is None:
            raise InvalidInput(
                f"This {type(self).__name__} was restored or trained on, and its library's text was not kept; "
                "export right after fit, or from the registry, which keeps the file."
            )
        Path(path).write_bytes(self._native)

    @classmethod
    def adopt(cls, source: str | Path | bytes, *, classes: Any = None, **parameters: Any) -> Self:
        """A fitted predictor from a model that the library itself saved as text (XGBoost JSON, LightGBM text).

        Parameters
        ----------
        source : the path, or the content as bytes. It is read in Python and validated, never by the native parser.
        classes : a classifier's labels in the library's order; 0, 1, … where left out.
        parameters : constructor parameters, for ``get_params`` and a later ``fit``.

        Raises
        ------
        InvalidState : no such model, or an objective, categorical split or leaf that the forest does not support.
        """
        native = cls._read_native(source if isinstance(source, bytes) else Path(source).read_bytes())
        self: Any = cls(**parameters)
        self._adopt_classes(native, classes)
        self.n_features_in_ = native.forest.n_features
        if native.feature_names and not all(name.startswith("Column_") for name in native.feature_names):
            self.feature_names_in_ = np.array(native.feature_names, dtype=object)
        self.forest_, self.history_ = native.forest, {}
        return self


class BoostedClassifier(_Boosted, TreeClassifier):
    """Base of the boosted classifiers."""

    def _read_more(self, X: Any, y: Any, sample_weight: Any) -> tuple[np.ndarray, np.ndarray, Any]:
        values, codes = self._read_validation(X, y, owner="y")
        weight = _weights(sample_weight, len(values))
        values, codes, weight = weighing_rows(values, codes, weight, type(self).__name__)
        return values, codes, row_weights(getattr(self, "class_weight", None), codes, self.classes_, weight)

    def _adopt_classes(self, native: NativeForest, classes: Any) -> None:
        if native.objective.split(":")[0] not in ("binary", "multi", "multiclass"):
            raise InvalidState(f"A model of {native.objective!r} cannot become a {type(self).__name__}.")
        n_classes = max(native.forest.n_outputs, 2)
        labels = np.arange(n_classes) if classes is None else np.asarray(classes)
        if labels.shape != (n_classes,) or len(np.unique(labels)) != n_classes:
            raise invalid("classes", f"{type(self).__name__}.adopt", f"{n_classes} different labels", classes)
        self.classes_ = labels


class BoostedRegressor(_Boosted, TreeRegressor):
    """Base of the boosted regressors, with an interval around the forecast where ``interval`` asks for one.

    Attributes
    ----------
    lower_forest_, upper_forest_ : Forest, quantile models of the interval's two ends.
    """

    _ENDS = ("lower", "upper")

    def _quantile(self, level: float) -> Spec:
        raise NotImplementedError

    def _grow(self, X: np.ndarray, y: np.ndarray, weight: Any, validation: Any) -> None:
        super()._grow(X, y, weight, validation)
        for name in self._ENDS:
            if hasattr(self, f"{name}_forest_"):
                delattr(self, f"{name}_forest_")
        interval = getattr(self, "interval", None)
        if interval is not None:
            for name, level in zip(self._ENDS, ((1 - interval) / 2, (1 + interval) / 2)):
                forest = self._train(X, y, weight, validation, self._quantile(level))[0]
                setattr(self, f"{name}_forest_", forest)

    def predict_interval(self, X: Any) -> np.ndarray:
        """(n, 2): the ends between which the target falls with probability ``interval``, by quantile regression.

        The ends are those of the training data's conditional distribution, not a guarantee: check the coverage on
        later data. Where the two models cross, the ends are swapped.
        """
        if not hasattr(self, "lower_forest_"):
            raise InvalidInput(f"{type(self).__name__} was fitted without an interval; set interval=0.9 before fit.")
        rows = self._rows(X)
        return np.sort(np.column_stack([self.lower_forest_.raw(rows), self.upper_forest_.raw(rows)]), axis=1)

    def _read_more(self, X: Any, y: Any, sample_weight: Any) -> tuple[np.ndarray, np.ndarray, Any]:
        if getattr(self, "interval", None) is not None:
            raise InvalidInput("fit_more cannot move an interval; fit again, or fit without one.")
        values, target = self._read_validation(X, y, owner="y")
        return weighing_rows(values, target, _weights(sample_weight, len(values)), type(self).__name__)

    def _adopt_classes(self, native: NativeForest, classes: Any) -> None:
        if native.objective.split(":")[0] in ("binary", "multi", "multiclass"):
            raise InvalidState(f"A model of {native.objective!r} cannot become a {type(self).__name__}.")
        if classes is not None:
            raise invalid("classes", f"{type(self).__name__}.adopt", "left out: a regressor has none", classes)
        if native.forest.n_outputs != 1:
            raise InvalidState(f"The model has {native.forest.n_outputs} outputs; a regressor has one.")

    def _fitted_state(self) -> tuple[Spec, Arrays, dict[str, State]]:
        spec, arrays, children = super()._fitted_state()
        spec["ends"] = {}
        for name in self._ENDS:
            if hasattr(self, f"{name}_forest_"):
                spec["ends"][name], own = getattr(self, f"{name}_forest_").to_state()
                arrays |= {f"{name}_{key}": array for key, array in own.items()}
        return spec, arrays, children

    def _restore_fitted(self, spec: Spec, arrays: Arrays, children: dict[str, Any]) -> None:
        super()._restore_fitted(spec, arrays, children)
        if sorted(spec["ends"]) not in ([], sorted(self._ENDS)):
            raise InvalidState("The stored interval must have a lower and an upper end.")
        for name, own in spec["ends"].items():
            prefix = f"{name}_"
            mine = {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}
            forest = Forest.from_state(own, mine)
            if (forest.n_features, forest.n_outputs) != (self.forest_.n_features, 1):
                raise InvalidState(f"The stored interval's {name} end does not fit the model.")
            setattr(self, f"{name}_forest_", forest)


def _weights(sample_weight: Any, n_rows: int) -> np.ndarray | None:
    if sample_weight is None:
        return None
    weight = np.asarray(sample_weight, dtype=np.float64)
    if weight.shape != (n_rows,) or not np.isfinite(weight).all() or (weight < 0).any():
        raise invalid("sample_weight", "fit_more", f"{n_rows} finite numbers >= 0", sample_weight)
    return weight
