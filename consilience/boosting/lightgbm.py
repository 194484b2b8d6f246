"""LightGBM, classifier and regressor; the library is imported by the first ``fit``."""

from typing import Any

import numpy as np

from consilience.base import InvalidInput
from consilience.boosting.parameters import CLASS_WEIGHT, SEED, THREADS, choice, either, integer, number
from consilience.boosting.trees import IMPORTANCE_TYPES, TreeClassifier, TreeRegressor
from consilience.kernels.forest_formats import read_lightgbm

_RULES = {
    "n_estimators": integer(1),
    "num_leaves": integer(2),
    "max_depth": either(integer(1), choice(-1)),
    "learning_rate": number(0, above=True),
    "min_child_samples": integer(1),
    "min_child_weight": number(0),
    "min_split_gain": number(0),
    "subsample": number(0, 1, above=True),
    "subsample_freq": integer(0),
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


class _LightGBM:
    """Mixin: growing the trees with ``lightgbm.train``."""

    def _train(self, X: np.ndarray, y: np.ndarray, weight: Any, validation: Any, objective: dict[str, Any]) -> None:
        import lightgbm as lgb

        own: Any = self
        settings = {k: v for k, v in own.get_params(deep=False).items() if k not in _OWN}
        settings |= objective | {
            "seed": own.random_state,
            "num_threads": 0 if own.n_jobs in (None, -1) else own.n_jobs,
            "deterministic": True,
            "force_row_wise": True,
            "verbose": -1,
        }
        data = lgb.Dataset(X, y, weight=weight, params=settings)
        results: dict[str, Any] = {}
        callbacks, sets, names = [], [], []
        if validation is not None:
            sets, names = [data, data.create_valid(*validation)], ["loss", "val_loss"]
            callbacks.append(lgb.record_evaluation(results))
            if own.early_stopping_rounds is not None:
                callbacks.append(_stop_early(lgb, own.early_stopping_rounds))
        try:
            booster = lgb.train(
                settings, data, own.n_estimators, valid_sets=sets, valid_names=names, callbacks=callbacks
            )
        except lgb.basic.LightGBMError as error:
            raise InvalidInput(f"LightGBM could not fit with these parameters: {error}") from error
        best = booster.best_iteration if booster.best_iteration > 0 else None
        if best is not None:
            own.best_iteration_ = best
        own.forest_ = read_lightgbm(booster.model_to_string(num_iteration=best or -1)).forest
        own.history_ = {name: list(map(float, next(iter(curves.values())))) for name, curves in results.items()}


def _stop_early(lgb: Any, rounds: int) -> Any:
    return lgb.early_stopping(rounds, first_metric_only=True, verbose=False)


class LightGBMClassifier(_LightGBM, TreeClassifier):
    """Gradient boosted trees grown leaf by leaf (Ke et al. 2017), with defaults for labels that are mostly noise.

    Parameters keep LightGBM's names. Few leaves with many rows each, a small step and subsampling: where an edge
    explains a percent of the label, the library's own defaults (31 leaves of 20 rows, step 0.1) learn the noise.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((400, 3))
    >>> model = LightGBMClassifier(n_estimators=50).fit(X, X[:, 0] > 0)
    >>> model.predict_proba([[2.0, 0, 0]]).argmax()
    np.int64(1)
    """

    _rules = _RULES | {"class_weight": CLASS_WEIGHT}

    def __init__(
        self,
        *,
        n_estimators: int = 300,
        num_leaves: int = 8,
        max_depth: int = -1,
        learning_rate: float = 0.03,
        min_child_samples: int = 20,
        min_child_weight: float = 10.0,
        min_split_gain: float = 0.0,
        subsample: float = 0.7,
        subsample_freq: int = 1,
        colsample_bytree: float = 0.7,
        reg_alpha: float = 0.0,
        reg_lambda: float = 10.0,
        max_bin: int = 255,
        class_weight: Any = None,
        early_stopping_rounds: int | None = 50,
        importance_type: str = "gain",
        n_jobs: int | None = None,
        random_state: int = 0,
    ) -> None:
        self.n_estimators = n_estimators
        self.num_leaves = num_leaves
        self.max_depth = max_depth
        self.learning_rate = learning_rate
        self.min_child_samples = min_child_samples
        self.min_child_weight = min_child_weight
        self.min_split_gain = min_split_gain
        self.subsample = subsample
        self.subsample_freq = subsample_freq
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
        objective: dict[str, Any] = {"objective": "binary"}
        if len(self.classes_) > 2:
            objective = {"objective": "multiclass", "num_class": len(self.classes_)}
        self._train(X, y, weight, validation, objective)


class LightGBMRegressor(_LightGBM, TreeRegressor):
    """Gradient boosted trees grown leaf by leaf (Ke et al. 2017) for a number; defaults as in ``LightGBMClassifier``.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((400, 3))
    >>> model = LightGBMRegressor(n_estimators=200).fit(X, X[:, 0])
    >>> bool(model.predict([[2.0, 0, 0]])[0] > 1)
    True
    """

    _rules = _RULES

    def __init__(
        self,
        *,
        n_estimators: int = 300,
        num_leaves: int = 8,
        max_depth: int = -1,
        learning_rate: float = 0.03,
        min_child_samples: int = 20,
        min_child_weight: float = 10.0,
        min_split_gain: float = 0.0,
        subsample: float = 0.7,
        subsample_freq: int = 1,
        colsample_bytree: float = 0.7,
        reg_alpha: float = 0.0,
        reg_lambda: float = 10.0,
        max_bin: int = 255,
        early_stopping_rounds: int | None = 50,
        importance_type: str = "gain",
        n_jobs: int | None = None,
        random_state: int = 0,
    ) -> None:
        self.n_estimators = n_estimators
        self.num_leaves = num_leaves
        self.max_depth = max_depth
        self.learning_rate = learning_rate
        self.min_child_samples = min_child_samples
        self.min_child_weight = min_child_weight
        self.min_split_gain = min_split_gain
        self.subsample = subsample
        self.subsample_freq = subsample_freq
        self.colsample_bytree = colsample_bytree
        self.reg_alpha = reg_alpha
        self.reg_lambda = reg_lambda
        self.max_bin = max_bin
        self.early_stopping_rounds = early_stopping_rounds
        self.importance_type = importance_type
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _grow(self, X: np.ndarray, y: np.ndarray, weight: Any, validation: Any) -> None:
        self._train(X, y, weight, validation, {"objective": "regression"})
