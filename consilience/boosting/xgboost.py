"""XGBoost, classifier and regressor; the library is imported by the first ``fit``."""

from typing import Any

import numpy as np

from consilience.base import InvalidInput, MissingDependency
from consilience.boosting.parameters import CLASS_WEIGHT, SEED, THREADS, choice, integer, number
from consilience.boosting.trees import IMPORTANCE_TYPES, TreeClassifier, TreeRegressor
from consilience.kernels.forest_formats import read_xgboost

_RULES = {
    "n_estimators": integer(1),
    "max_depth": integer(1),
    "learning_rate": number(0, above=True),
    "min_child_weight": number(0),
    "gamma": number(0),
    "subsample": number(0, 1, above=True),
    "colsample_bytree": number(0, 1, above=True),
    "reg_alpha": number(0),
    "reg_lambda": number(0),
    "max_bin": integer(2),
    "early_stopping_rounds": integer(1, none=True),
    "importance_type": choice(*IMPORTANCE_TYPES),
    "n_jobs": THREADS,
    "random_state": SEED,
}
_OWN = ("n_estimators", "early_stopping_rounds", "importance_type", "n_jobs", "random_state", "class_weight")


def _library() -> Any:
    try:
        import xgboost
    except ImportError as error:
        raise MissingDependency(
            "XGBoost is not installed: pip install 'consilience[cpu]' (or a gpu- extra)."
        ) from error
    return xgboost


class _XGBoost:
    """Mixin: growing the trees with ``xgboost.train``."""

    def _train(self, X: np.ndarray, y: np.ndarray, weight: Any, validation: Any, objective: dict[str, Any]) -> None:
        xgb = _library()
        own: Any = self
        settings = {k: v for k, v in own.get_params(deep=False).items() if k not in _OWN}
        threads = 0 if own.n_jobs in (None, -1) else own.n_jobs
        settings |= objective | {"seed": own.random_state, "nthread": threads, "tree_method": "hist", "verbosity": 0}
        data = xgb.QuantileDMatrix(X, label=y, weight=weight, max_bin=own.max_bin, nthread=threads)
        evals: list[tuple[Any, str]] = []
        results: dict[str, Any] = {}
        if validation is not None:
            held_out = xgb.QuantileDMatrix(*validation, ref=data, max_bin=own.max_bin, nthread=threads)
            evals = [(data, "loss"), (held_out, "val_loss")]
        try:
            booster = xgb.train(
                settings,
                data,
                own.n_estimators,
                evals=evals,
                evals_result=results,
                early_stopping_rounds=own.early_stopping_rounds if evals else None,
                verbose_eval=False,
            )
        except xgb.core.XGBoostError as error:
            raise InvalidInput(f"XGBoost could not fit with these parameters: {str(error).splitlines()[0]}") from error
        forest = read_xgboost(booster.save_raw("json")).forest
        if evals and own.early_stopping_rounds is not None:
            own.best_iteration_ = booster.best_iteration + 1
            forest = forest.head(own.best_iteration_ * own._n_outputs())
        own.forest_ = forest
        own.history_ = {name: list(map(float, next(iter(curves.values())))) for name, curves in results.items()}


class XGBoostClassifier(_XGBoost, TreeClassifier):
    """Gradient boosted trees (Chen & Guestrin 2016), with defaults for labels that are mostly noise.

    Parameters keep XGBoost's names. Shallow trees, large leaves, a small step and subsampling: where an edge explains a
    percent of the label, the library's own defaults (depth 6, step 0.3) learn the noise.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((400, 3))
    >>> model = XGBoostClassifier(n_estimators=50).fit(X, X[:, 0] > 0)
    >>> model.predict_proba([[2.0, 0, 0]]).argmax()
    np.int64(1)
    """

    _rules = _RULES | {"class_weight": CLASS_WEIGHT}

    def __init__(
        self,
        *,
        n_estimators: int = 300,
        max_depth: int = 3,
        learning_rate: float = 0.03,
        min_child_weight: float = 10.0,
        gamma: float = 0.0,
        subsample: float = 0.7,
        colsample_bytree: float = 0.7,
        reg_alpha: float = 0.0,
        reg_lambda: float = 10.0,
        max_bin: int = 256,
        class_weight: Any = None,
        early_stopping_rounds: int | None = 50,
        importance_type: str = "gain",
        n_jobs: int | None = None,
        random_state: int = 0,
    ) -> None:
        self.n_estimators = n_estimators
        self.max_depth = max_depth
        self.learning_rate = learning_rate
        self.min_child_weight = min_child_weight
        self.gamma = gamma
        self.subsample = subsample
        self.colsample_bytree = colsample_bytree
        self.reg_alpha = reg_alpha
        self.reg_lambda = reg_lambda
        self.max_bin = max_bin
        self.class_weight = class_weight
        self.early_stopping_rounds = early_stopping_rounds
        self.importance_type = importance_type
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _grow(self, X: np.ndarray, y: np.ndarray, weight: Any, validation: Any) -> None:
        objective: dict[str, Any] = {"objective": "binary:logistic"}
        if len(self.classes_) > 2:
            objective = {"objective": "multi:softprob", "num_class": len(self.classes_)}
        self._train(X, y, weight, validation, objective)


class XGBoostRegressor(_XGBoost, TreeRegressor):
    """Gradient boosted trees (Chen & Guestrin 2016) for a number; see ``XGBoostClassifier`` for the defaults.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((400, 3))
    >>> model = XGBoostRegressor(n_estimators=200).fit(X, X[:, 0])
    >>> bool(model.predict([[2.0, 0, 0]])[0] > 1)
    True
    """

    _rules = _RULES

    def __init__(
        self,
        *,
        n_estimators: int = 300,
        max_depth: int = 3,
        learning_rate: float = 0.03,
        min_child_weight: float = 10.0,
        gamma: float = 0.0,
        subsample: float = 0.7,
        colsample_bytree: float = 0.7,
        reg_alpha: float = 0.0,
        reg_lambda: float = 10.0,
        max_bin: int = 256,
        early_stopping_rounds: int | None = 50,
        importance_type: str = "gain",
        n_jobs: int | None = None,
        random_state: int = 0,
    ) -> None:
        self.n_estimators = n_estimators
        self.max_depth = max_depth
        self.learning_rate = learning_rate
        self.min_child_weight = min_child_weight
        self.gamma = gamma
        self.subsample = subsample
        self.colsample_bytree = colsample_bytree
        self.reg_alpha = reg_alpha
        self.reg_lambda = reg_lambda
        self.max_bin = max_bin
        self.early_stopping_rounds = early_stopping_rounds
        self.importance_type = importance_type
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _grow(self, X: np.ndarray, y: np.ndarray, weight: Any, validation: Any) -> None:
        self._train(X, y, weight, validation, {"objective": "reg:squarederror"})
