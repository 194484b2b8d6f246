"""The contract of every model: a scikit-learn estimator that also states its lookback and turns into plain data."""

from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from consilience.base import persistence, scores
from consilience.base.errors import InvalidInput, InvalidState, nearest
from consilience.base.state import Arrays, Spec, State


@runtime_checkable
class Predictor(Protocol):
    """What ``out_of_fold``, the ensembles, the registry and the server ask of a model."""

    @property
    def lookback(self) -> int: ...
    def fit(self, X: Any, y: Any, *, sample_weight: Any = None, validation: Any = None) -> Any: ...
    def predict(self, X: Any) -> np.ndarray: ...
    def evaluate(self, X: Any, y: Any) -> dict[str, float]: ...
    def get_params(self, deep: bool = True) -> dict[str, Any]: ...
    def get_state(self) -> State: ...


class _PredictorMixin:
    """Input checks and state, shared by classifiers and regressors.

    A subclass gives ``_fitted_state()`` (what it learnt) and ``_restore_fitted(spec, arrays, children)`` (its inverse).
    ``uses_validation`` tells ``out_of_fold`` to keep back a purged tail of the training rows for early stopping.
    """

    uses_validation: ClassVar[bool] = False

    @property
    def lookback(self) -> int:
        """How many earlier rows (of the same asset) one prediction needs."""
        return 0

    # -- input -------------------------------------------------------------------------------------------------

    def _read_fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, allow_nan: bool = False, multi_output: bool = False
    ) -> tuple[np.ndarray, np.ndarray, Any]:
        """X as C-ordered float64 (n, d), y as given (n,), weights as float64 (n,) or None; sets ``n_features_in_``."""
        try:
            values, target = validate_data(
                self,
                X,
                y,
                dtype=np.float64,
                order="C",
                ensure_all_finite="allow-nan" if allow_nan else True,
                y_numeric=False,
                multi_output=multi_output,
            )
        except ValueError as error:
            raise _where_not_finite(X, type(self).__name__, allow_nan, error) from error
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, values, dtype=np.float64, ensure_non_negative=True)
        return values, target, sample_weight

    def _read_X(self, X: Any, *, allow_nan: bool = False) -> np.ndarray:
        """X as C-ordered float64 (n, d); columns in another order than at ``fit`` are put right, others refused."""
        plain = _plain_rows(self, X, allow_nan)
        if plain is not None:
            return plain
        check_is_fitted(self)
        X = self._ordered_columns(X)
        try:
            return validate_data(
                self, X, reset=False, dtype=np.float64, order="C", ensure_all_finite="allow-nan" if allow_nan else True
            )
        except ValueError as error:
            raise _where_not_finite(X, type(self).__name__, allow_nan, error) from error

    def _ordered_columns(self, X: Any) -> Any:
        names = getattr(self, "feature_names_in_", None)
        if names is None or not isinstance(X, pd.DataFrame):
            return X
        columns = X.columns
        if len(columns) == len(names) and (columns == names).all():
            return X
        owner = type(self).__name__
        missing = [name for name in names if name not in columns]
        if missing:
            hint = nearest(str(missing[0]), map(str, columns))
            raise InvalidInput(f"X lacks the column {missing[0]!r} that {owner} was fitted with.{hint}")
        extra = [name for name in columns if name not in set(names)]
        if extra:
            raise InvalidInput(f"X has the column {extra[0]!r}, which {owner} was not fitted with; drop it.")
        return X[list(names)]

    # -- state -------------------------------------------------------------------------------------------------

    def _fitted_state(self) -> tuple[Spec, Arrays, dict[str, State]]:
        raise NotImplementedError(f"{type(self).__name__} must give _fitted_state().")

    def _restore_fitted(self, spec: Spec, arrays: Arrays, children: dict[str, Any]) -> None:
        raise NotImplementedError(f"{type(self).__name__} must give _restore_fitted().")

    def _params_spec(self) -> Spec:
        """The constructor's parameters as JSON; ensembles override it, their members being children."""
        params = self.get_params(deep=False)  # type: ignore[attr-defined]
        return {name: _plain(value) for name, value in params.items()}

    @classmethod
    def _from_params_spec(cls, spec: Spec, children: dict[str, Any]) -> Self:
        known = cls._get_param_names()  # type: ignore[attr-defined]
        unknown = sorted(set(spec) - set(known))
        if unknown:
            raise InvalidState(
                f"The stored {cls.__name__} has the parameter {unknown[0]!r}, which this release does not know."
            )
        return cls(**spec)

    def get_state(self) -> State:
        """The fitted predictor as data (see ``State``); ``from_state`` is its inverse."""
        check_is_fitted(self)
        fitted, arrays, children = self._fitted_state()
        names = getattr(self, "feature_names_in_", None)
        spec: Spec = {
            "params": self._params_spec(),
            "n_features_in": int(self.n_features_in_),  # type: ignore[attr-defined]
            "feature_names_in": None if names is None else [str(name) for name in names],
            "fitted": fitted,
        }
        classes = getattr(self, "classes_", None)
        if classes is not None:
            spec["classes"] = {
                "dtype": classes.dtype.str if classes.dtype.kind != "O" else "O",
                "values": classes.tolist(),
            }
        return State(type(self).__name__, spec, arrays, children)

    @classmethod
    def from_state(cls, state: State) -> Self:
        """Rebuild a fitted predictor; nothing in the state is executed.

        Raises
        ------
        InvalidState : another class's state, or one whose parts do not fit together.
        """
        from consilience.base.catalog import (
            restore,
        )  # the catalogue imports State; importing it late keeps one direction

        if state.kind != cls.__name__:
            raise InvalidState(f"A state of {state.kind!r} cannot become a {cls.__name__}.")
        children = {name: restore(child) for name, child in state.children.items()}
        try:
            self = cls._from_params_spec(state.spec["params"], children)
            self.n_features_in_ = _count(state.spec["n_features_in"])  # type: ignore[attr-defined]
            names = state.spec["feature_names_in"]
            if names is not None:
                self.feature_names_in_ = _names(names, self.n_features_in_)  # type: ignore[attr-defined]
            if "classes" in state.spec:
                self.classes_ = _classes(state.spec["classes"])  # type: ignore[attr-defined]
            self._restore_fitted(state.spec["fitted"], state.arrays, children)
        except InvalidState:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
            raise InvalidState(f"The stored {cls.__name__} is damaged: {type(error).__name__}: {error}") from error
        return self

    def save(self, path: str | Path) -> None:
        """Write the fitted predictor to one file (no pickle), atomically."""
        persistence.write_state(self.get_state(), Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what ``save`` wrote, checking its digest."""
        return cls.from_state(persistence.read_state(Path(path)))


class ClassifierPredictor(ClassifierMixin, _PredictorMixin, BaseEstimator):
    """Base of the classifiers: labels become codes 0, 1, … in the order of ``classes_``."""

    classes_: np.ndarray

    def _read_labels(self, y: np.ndarray) -> np.ndarray:
        """Set ``classes_`` and give y as int64 codes; at least two classes are required."""
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise InvalidInput(
                f"y has only one class ({self.classes_[0]!r}); {type(self).__name__} needs at least two classes."
            )
        return codes.astype(np.int64)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities (n, n_classes), in the order of ``classes_``."""
        raise NotImplementedError

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each row, (n,)."""
        proba = self.predict_proba(X)  # first, so that an unfitted model says that it is unfitted
        return self.classes_[proba.argmax(axis=1)]

    def evaluate(self, X: Any, y: Any) -> dict[str, float]:
        """Log loss, Brier, AUC, accuracy, … on (X, y)."""
        return scores.classification_scores(np.asarray(y), self.predict_proba(X), self.classes_)


class RegressorPredictor(RegressorMixin, _PredictorMixin, BaseEstimator):
    """Base of the regressors."""

    def _read_fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, allow_nan: bool = False, multi_output: bool = False
    ) -> tuple[np.ndarray, np.ndarray, Any]:
        values, target, weight = super()._read_fit(X, y, sample_weight, allow_nan=allow_nan, multi_output=multi_output)
        return values, np.asarray(target, dtype=np.float64), weight

    def predict(self, X: Any) -> np.ndarray:
        raise NotImplementedError

    def evaluate(self, X: Any, y: Any) -> dict[str, float]:
        """RMSE, MAE and R² on (X, y)."""
        return scores.regression_scores(np.asarray(y, dtype=np.float64), self.predict(X))


def _plain_rows(model: Any, X: Any, allow_nan: bool) -> np.ndarray | None:
    """The rows of X where nothing about their type, names, width or values is in question, None otherwise.

    scikit-learn's checks cost some 200 µs for one row, more than most predictions.
    """
    fitted = vars(model)
    names = fitted.get("feature_names_in_")
    if type(X) is pd.DataFrame and names is not None and X.columns.tolist() == names.tolist():
        values = X.to_numpy()
    elif type(X) is np.ndarray and names is None:  # with names, scikit-learn warns about an array without them
        values = X
    else:
        return None
    if values.dtype != np.float64 or values.ndim != 2 or len(values) == 0:
        return None
    if values.shape[1] != fitted.get("n_features_in_") or np.isinf(values).any():
        return None
    return np.ascontiguousarray(values) if allow_nan or not np.isnan(values).any() else None


def _where_not_finite(X: Any, owner: str, allow_nan: bool, error: ValueError) -> ValueError:
    """The error to raise for one of scikit-learn's: where X has values that are not finite, their column and number.

    scikit-learn's own text says neither, takes several lines and recommends its own estimators.
    """
    if isinstance(error, InvalidInput) or not str(error).startswith("Input X contains"):
        return error
    values = np.asarray(X.toarray() if hasattr(X, "toarray") else X, dtype=np.float64)
    wrong = np.isinf(values) if allow_nan else ~np.isfinite(values)
    n_rows, rows, column = len(values), int(wrong.any(axis=1).sum()), int(wrong.any(axis=0).argmax())
    own = wrong[:, column]
    what = "NaN" if np.isnan(values[own, column]).any() else "infinity"
    name = repr(X.columns[column]) if isinstance(X, pd.DataFrame) else str(column)
    more = "" if wrong.sum() == own.sum() else f", and {rows} rows in all are not finite in some column"
    accepted = "finite numbers or NaN" if allow_nan else "finite numbers"
    return InvalidInput(
        f"X must hold {accepted} for {owner}: column {name} has {what} in {int(own.sum())} of {n_rows} rows, first "
        f"in row {int(own.argmax())}{more}. Fill them in or leave those rows out."
    )


def _plain(value: Any) -> Any:
    """A parameter as JSON holds it; tuples become lists, numpy scalars Python ones. ``State`` refuses the rest."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidState(f"n_features_in must be a positive integer, not {value!r}.")
    return value


def _names(names: Any, n_features: int) -> np.ndarray:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidState("The stored feature names must be a list of text.")
    if len(names) != n_features or len(set(names)) != n_features:
        raise InvalidState(f"The stored model reads {n_features} features, but names {len(names)}, or one twice.")
    return np.array(names, dtype=object)


def _classes(spec: Any) -> np.ndarray:
    values = spec["values"]
    if not isinstance(values, list) or not 2 <= len(values) <= 10_000:
        raise InvalidState("The stored classes must be a list of at least two labels.")
    dtype = spec["dtype"]
    if dtype != "O" and (not isinstance(dtype, str) or np.dtype(dtype).kind not in "biufU"):
        raise InvalidState(f"The stored classes have the type {dtype!r}, which labels cannot have.")
    return np.array(values, dtype=object if dtype == "O" else dtype)
