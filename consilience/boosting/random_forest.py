"""Random forest, classifier and regressor: grown by scikit-learn, evaluated as an array forest."""

from typing import Any, ClassVar

import numpy as np

from consilience.boosting.parameters import CLASS_WEIGHT, SEED, THREADS, Rule, choice, either, integer, number
from consilience.boosting.trees import IMPORTANCE_TYPES, TreeClassifier, TreeRegressor
from consilience.kernels.forest_formats import read_sklearn

_RULES: dict[str, Rule] = {
    "n_estimators": integer(1),
    "max_depth": integer(1, none=True),
    "min_samples_leaf": either(integer(1), number(0, 0.5, above=True)),
    "min_samples_split": either(integer(2), number(0, 1, above=True)),
    "max_features": either(choice("sqrt", "log2", None), integer(1), number(0, 1, above=True)),
    "max_samples": either(integer(1, none=True), number(0, 1, above=True)),
    "importance_type": choice(*IMPORTANCE_TYPES),
    "n_jobs": THREADS,
    "random_state": SEED,
}
_OWN = ("importance_type", "class_weight")


class RandomForestClassifier(TreeClassifier):
    """A random forest (Breiman 2001), with defaults for labels that are mostly noise.

    Parameters keep scikit-learn's names. Each leaf holds at least 1 % of the rows: a leaf of one row, scikit-learn's
    default, returns that row's label, which for daily returns is noise. Each tree sees half of the rows, so that the
    trees differ more and cost half. The output is the trees' mean class shares.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((400, 3))
    >>> model = RandomForestClassifier(n_estimators=50).fit(X, X[:, 0] > 0)
    >>> model.predict_proba([[2.0, 0, 0]]).argmax()
    np.int64(1)
    """

    uses_validation: ClassVar[bool] = False
    _rules = _RULES | {"class_weight": CLASS_WEIGHT, "criterion": choice("gini", "entropy", "log_loss")}

    def __init__(
        self,
        *,
        n_estimators: int = 200,
        criterion: str = "gini",
        max_depth: int | None = 10,
        min_samples_leaf: float = 0.01,
        min_samples_split: float = 2,
        max_features: Any = 0.4,
        max_samples: Any = 0.5,
        class_weight: Any = None,
        importance_type: str = "gain",
        n_jobs: int | None = -1,
        random_state: int = 0,
    ) -> None:
        self.n_estimators = n_estimators
        self.criterion = criterion
        self.max_depth = max_depth
        self.min_samples_leaf = min_samples_leaf
        self.min_samples_split = min_samples_split
        self.max_features = max_features
        self.max_samples = max_samples
        self.class_weight = class_weight
        self.importance_type = importance_type
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _n_outputs(self) -> int:
        return len(self.classes_)

    def _grow(self, X: np.ndarray, y: np.ndarray, weight: Any, validation: Any) -> None:
        from sklearn.ensemble import RandomForestClassifier as Library

        settings = {k: v for k, v in self.get_params(deep=False).items() if k not in _OWN}
        settings["max_samples"] = _n_drawn(self.max_samples, len(X), weight)
        model = Library(**settings).fit(X, y, sample_weight=weight)
        self.forest_ = read_sklearn(model.estimators_, len(self.classes_))
        self.history_ = {}

    def _shown(self, parts: np.ndarray) -> np.ndarray:
        return parts[:, :, 1:] if parts.shape[2] == 2 else parts  # the two shares sum to 1: the second says all

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities (n, n_classes): the mean of the trees' class shares."""
        proba = self._raw(X)
        proba /= proba.sum(axis=1, keepdims=True)  # the stored shares sum to 1 up to rounding
        return proba


def _n_drawn(max_samples: Any, n_rows: int, weight: Any) -> int | None:
    """Rows drawn for each tree. A share is of the rows, or of their summed weights, as in scikit-learn, which warns
    where that gives few; between 1 and ten times the number of rows."""
    if max_samples is None or not isinstance(max_samples, float):
        return max_samples
    total = n_rows if weight is None else float(weight.sum())
    return int(np.clip(max_samples * total, 1, 10 * n_rows))


class RandomForestRegressor(TreeRegressor):
    """A random forest (Breiman 2001) for a number; see ``RandomForestClassifier`` for the defaults.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((400, 3))
    >>> model = RandomForestRegressor(n_estimators=50).fit(X, X[:, 0])
    >>> bool(model.predict([[2.0, 0, 0]])[0] > 0.5)
    True
    """

    uses_validation: ClassVar[bool] = False
    _largest_target: ClassVar[float] = 1e150
    _rules = _RULES | {"criterion": choice("squared_error", "absolute_error", "friedman_mse", "poisson")}

    def __init__(
        self,
        *,
        n_estimators: int = 200,
        criterion: str = "squared_error",
        max_depth: int | None = 10,
        min_samples_leaf: float = 0.01,
        min_samples_split: float = 2,
        max_features: Any = 0.4,
        max_samples: Any = 0.5,
        importance_type: str = "gain",
        n_jobs: int | None = -1,
        random_state: int = 0,
    ) -> None:
        self.n_estimators = n_estimators
        self.criterion = criterion
        self.max_depth = max_depth
        self.min_samples_leaf = min_samples_leaf
        self.min_samples_split = min_samples_split
        self.max_features = max_features
        self.max_samples = max_samples
        self.importance_type = importance_type
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _grow(self, X: np.ndarray, y: np.ndarray, weight: Any, validation: Any) -> None:
        from sklearn.ensemble import RandomForestRegressor as Library

        settings = {k: v for k, v in self.get_params(deep=False).items() if k not in _OWN}
        settings["max_samples"] = _n_drawn(self.max_samples, len(X), weight)
        model = Library(**settings).fit(X, y, sample_weight=weight)
        self.forest_ = read_sklearn(model.estimators_, 1)
        self.history_ = {}
