"""The linear baselines: logistic and ridge regression on standardised features, predicted by one matrix product."""

from typing import Any, ClassVar

import numpy as np
import pandas as pd

from consilience.base import Arrays, ClassifierPredictor, InvalidState, RegressorPredictor, Spec, State, invalid
from consilience.base.magnitude import SMALLEST, magnitude
from consilience.boosting.class_weights import row_weights, weighing_rows
from consilience.boosting.parameters import CLASS_WEIGHT, CheckedParameters, Rule, integer, number
from consilience.boosting.probabilities import probabilities


class _LinearModel(CheckedParameters):
    """Mixin: standardising folded into the coefficients, importances, state.

    Attributes
    ----------
    coef_ : (n_outputs, d), on the scale of X as given.
    intercept_ : (n_outputs,).
    mean_ : (d,), the weighted mean of each feature in training.
    scale_ : (d,), the weighted standard deviation of each feature in training; 1 for a constant one.
    """

    coef_: np.ndarray
    intercept_: np.ndarray
    mean_: np.ndarray
    scale_: np.ndarray

    def _standardise(self, X: np.ndarray, weight: Any) -> tuple[np.ndarray, np.ndarray]:
        """Standardised X and the means; sets ``scale_``."""
        unit = np.array([magnitude(column) for column in X.T])
        mean = np.average(X / unit, axis=0, weights=weight)
        centred = X / unit - mean
        spread = np.sqrt(np.average(centred**2, axis=0, weights=weight))
        # A constant column leaves rounding noise, not signal: its scale is measured against its own size.
        varies = (spread > 1e-12 * np.abs(X / unit).max(axis=0, initial=0.0)) & (spread * unit > SMALLEST)
        self.scale_ = np.where(varies, spread * unit, 1.0)
        return np.divide(centred, spread, out=np.zeros_like(centred), where=varies), mean * unit

    def _keep(self, coef: np.ndarray, intercept: np.ndarray, mean: np.ndarray) -> None:
        self.mean_ = mean
        with np.errstate(over="ignore"):
            self.coef_ = np.ascontiguousarray(np.atleast_2d(coef) / self.scale_)
            self.intercept_ = np.atleast_1d(intercept) - self.coef_ @ mean
        if not (np.isfinite(self.coef_).all() and np.isfinite(self.intercept_).all()):
            required = "of a scale that a coefficient can turn into y's"
            came = f"a standard deviation of {self.scale_.min():.3g} beside coefficients of {np.abs(coef).max():.3g}"
            raise invalid("X", type(self).__name__, required, came, "Scale X or y.")

    def _scores(self, X: Any) -> np.ndarray:
        rows = self._read_X(X)  # type: ignore[attr-defined]
        return np.asarray(rows @ self.coef_.T + self.intercept_)

    @property
    def feature_importances_(self) -> pd.Series:
        """Share of each feature by name, summing to 1: the size of its coefficient times its spread in training."""
        size = np.abs(self.coef_ * self.scale_).mean(axis=0)
        index = pd.Index(self._feature_names(), name="feature")
        return pd.Series(size / (size.sum() or 1.0), index=index, name="coefficient")

    def _feature_names(self) -> list[str]:
        names = getattr(self, "feature_names_in_", None)
        return [f"x{i}" for i in range(len(self.scale_))] if names is None else [str(name) for name in names]

    def contributions(self, X: Any) -> pd.DataFrame:
        """What each feature adds to each row's score: its coefficient times its distance from the training mean.

        The columns are the features and last ``"mean"``, the score at the training mean; a row adds up to the score:
        the log-odds of the second class, or the prediction. With more than two classes they are (class, feature).
        """
        rows = self._read_X(X)  # type: ignore[attr-defined]
        parts = (rows - self.mean_)[:, None, :] * self.coef_
        centre = np.broadcast_to(self.intercept_ + self.coef_ @ self.mean_, parts.shape[:2])
        parts = np.concatenate([parts, centre[:, :, None]], axis=2)
        names = [*self._feature_names(), "mean"]
        index = X.index if isinstance(X, pd.DataFrame) else None
        if parts.shape[1] == 1:
            return pd.DataFrame(parts[:, 0], index=index, columns=pd.Index(names, name="feature"))
        labels = self.classes_.tolist()  # type: ignore[attr-defined]
        columns = pd.MultiIndex.from_product([labels, names], names=["class", "feature"])
        return pd.DataFrame(parts.reshape(len(parts), -1), index=index, columns=columns)

    def _fitted_state(self) -> tuple[Spec, Arrays, dict[str, State]]:
        return {}, {"coef": self.coef_, "intercept": self.intercept_, "mean": self.mean_, "scale": self.scale_}, {}

    def _restore_fitted(self, spec: Spec, arrays: Arrays, children: dict[str, Any]) -> None:
        n_outputs, n_features = self._n_outputs(), self.n_features_in_  # type: ignore[attr-defined]
        shapes = {
            "coef": (n_outputs, n_features),
            "intercept": (n_outputs,),
            "mean": (n_features,),
            "scale": (n_features,),
        }
        for name, shape in shapes.items():
            array = arrays[name]
            if array.shape != shape or array.dtype != np.float64 or not np.isfinite(array).all():
                raise InvalidState(f"The stored array {name!r} must be finite float64 of shape {shape}.")
        self.coef_, self.intercept_ = arrays["coef"], arrays["intercept"]
        self.mean_, self.scale_ = arrays["mean"], arrays["scale"]

    def _n_outputs(self) -> int:
        return 1


class LogisticClassifier(_LinearModel, ClassifierPredictor):
    """Logistic regression with an L2 penalty on standardised features: the baseline that the others must beat.

    Missing values are refused: a linear model has no honest answer for them; fill or drop them first.

    Parameters
    ----------
    C : inverse strength of the penalty, as in scikit-learn; 0.01 suits labels that are mostly noise.
    class_weight : None, "balanced", or a dictionary from class to weight.
    max_iter : iterations of L-BFGS.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((400, 3))
    >>> model = LogisticClassifier().fit(X, X[:, 0] > 0)
    >>> model.predict_proba([[2.0, 0, 0]]).argmax()
    np.int64(1)
    """

    _rules: ClassVar[dict[str, Rule]] = {
        "C": number(0, above=True),
        "class_weight": CLASS_WEIGHT,
        "max_iter": integer(1),
    }

    def __init__(self, *, C: float = 0.01, class_weight: Any = None, max_iter: int = 1000) -> None:
        self.C = C
        self.class_weight = class_weight
        self.max_iter = max_iter

    def fit(self, X: Any, y: Any, *, sample_weight: Any = None, validation: Any = None) -> Any:
        """Fit on X (n, d) and labels y (n,); ``validation`` is not used."""
        from sklearn.linear_model import LogisticRegression

        self._check_parameters()
        values, labels, weight = self._read_fit(X, y, sample_weight)
        values, labels, weight = weighing_rows(values, labels, weight, type(self).__name__)
        codes = self._read_labels(labels)
        weight = row_weights(self.class_weight, codes, self.classes_, weight)
        standard, mean = self._standardise(values, weight)
        model = LogisticRegression(C=self.C, max_iter=self.max_iter).fit(standard, codes, sample_weight=weight)
        self.n_iter_ = int(model.n_iter_.max())
        self._keep(model.coef_, model.intercept_, mean)
        return self

    def _n_outputs(self) -> int:
        return 1 if len(self.classes_) == 2 else len(self.classes_)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities (n, n_classes)."""
        return probabilities(self._scores(X))


class RidgeRegressor(_LinearModel, RegressorPredictor):
    """Ridge regression (Hoerl & Kennard 1970) on standardised features.

    Parameters
    ----------
    alpha : strength of the penalty per unit of training weight: 0.1 shrinks a lone standardised feature by 1 / 1.1.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((400, 3))
    >>> model = RidgeRegressor().fit(X, X[:, 0])
    >>> bool(model.predict([[2.0, 0, 0]])[0] > 1)
    True
    """

    _rules: ClassVar[dict[str, Rule]] = {"alpha": number(0)}

    def __init__(self, *, alpha: float = 0.1) -> None:
        self.alpha = alpha

    def fit(self, X: Any, y: Any, *, sample_weight: Any = None, validation: Any = None) -> Any:
        """Fit on X (n, d) and targets y (n,); ``validation`` is not used."""
        self._check_parameters()
        values, target, weight = self._read_fit(X, y, sample_weight)
        values, target, weight = weighing_rows(values, target, weight, type(self).__name__)
        standard, mean = self._standardise(values, weight)
        share = np.full(len(target), 1.0 / len(target)) if weight is None else weight / weight.sum()
        offset = float(share @ target)
        gram = (standard * share[:, None]).T @ standard
        moment = (standard * share[:, None]).T @ (target - offset)
        # Least squares rather than a solve: with alpha = 0 and collinear columns the gram matrix is singular.
        coef = np.linalg.lstsq(gram + self.alpha * np.eye(len(gram)), moment, rcond=None)[0]
        self._keep(coef, np.array([offset]), mean)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The expected target of each row, (n,)."""
        return self._scores(X)[:, 0]
