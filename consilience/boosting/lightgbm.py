"""LightGBM, classifier and regressor; the library is imported by the first ``fit``."""

from copy import copy
from typing import Any, ClassVar

import numpy as np

from consilience.base import InvalidInput, Spec
from consilience.boosting.boosted import BoostedClassifier, BoostedRegressor
from consilience.boosting.constraints import monotone
from consilience.boosting.hardware import fall_back, has_cuda_gpu, threads
from consilience.boosting.parameters import CLASS_WEIGHT, CONSTRAINTS, SEED, THREADS, choice, either, integer, number
from consilience.boosting.trees import IMPORTANCE_TYPES
from consilience.kernels.forest import Forest
from consilience.kernels.forest_formats import NativeForest, read_lightgbm

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
    "path_smooth": number(0),
    "extra_trees": choice(True, False),
    "colsample_bynode": number(0, 1, above=True),
    "monotone_constraints": CONSTRAINTS,
    "device": choice("auto", "cpu", "gpu", "cuda"),
    "early_stopping_rounds": integer(1, none=True),
    "importance_type": choice(*IMPORTANCE_TYPES),
    "n_jobs": THREADS,
    "random_state": SEED,
}
_OWN = (
    "n_estimators",
    "early_stopping_rounds",
    "importance_type",
    "n_jobs",
    "random_state",
    "class_weight",
    "device",
    "interval",
    "objective",
    "alpha",
)


class _LightGBM:
    """Mixin: growing the trees with ``lightgbm.train``."""

    _suffix: ClassVar[str] = "txt"
    _largest_feature: ClassVar[float] = float("inf")  # bins are of float64

    @staticmethod
    def _read_native(text: bytes) -> NativeForest:
        return read_lightgbm(text.decode("utf-8", "replace"))

    def _train(
        self, X: np.ndarray, y: np.ndarray, weight: Any, validation: Any, objective: Spec, start: Forest | None = None
    ) -> tuple[Forest, dict[str, list[float]], int | None, bytes]:
        import lightgbm as lgb

        own: Any = self
        settings = own._settings() | objective
        offset = 0.0
        if objective["objective"] == "huber" and start is None:
            offset = _median(y, weight)
            settings["boost_from_average"] = False
        data = lgb.Dataset(X, y - offset, weight=weight, init_score=_start(start, X), params=settings)
        results: dict[str, Any] = {}
        callbacks, sets, names = [], [], []
        if validation is not None:
            held_out = data.create_valid(validation[0], validation[1] - offset, init_score=_start(start, validation[0]))
            sets, names = [data, held_out], ["loss", "val_loss"]
            callbacks.append(lgb.record_evaluation(results))
            if own.early_stopping_rounds is not None:
                callbacks.append(lgb.early_stopping(own.early_stopping_rounds, first_metric_only=True, verbose=False))
        try:
            booster = lgb.train(
                settings,
                data,
                own.n_estimators,
                valid_sets=sets,
                valid_names=names,
                callbacks=callbacks,
                keep_training_booster=True,  # else it is written and read once more, only to be dropped here
            )
        except lgb.basic.LightGBMError as error:
            if settings["device_type"] != "cpu":
                fall_back("LightGBM", f"its {settings['device_type']} device cannot be used here ({error})")
                return self._on_cpu()._train(X, y, weight, validation, objective, start)
            raise InvalidInput(f"LightGBM could not fit with these parameters: {error}") from error
        best = booster.best_iteration if booster.best_iteration > 0 else None
        text = _shifted(booster.model_to_string(num_iteration=best or -1), offset)
        history = {name: list(map(float, next(iter(curves.values())))) for name, curves in results.items()}
        return read_lightgbm(text).forest, history, best, text.encode()

    def _on_cpu(self) -> "_LightGBM":
        twin: Any = copy(self)
        twin.device = "cpu"
        return twin

    def _settings(self) -> dict[str, Any]:
        own: Any = self
        settings = {name: value for name, value in own.get_params(deep=False).items() if name not in _OWN}
        signs = monotone(
            settings.pop("monotone_constraints"),
            getattr(self, "feature_names_in_", None),
            own.n_features_in_,
            type(self).__name__,
        )
        if signs is not None and any(signs):
            settings["monotone_constraints"] = signs
        device = own.device
        if device == "auto":
            device = "cpu"  # the GPU build of LightGBM gains nothing at the sizes of daily and hourly bars
        elif device == "cuda" and not has_cuda_gpu():
            device = fall_back("LightGBM", "no NVIDIA GPU answers here")
        return settings | {
            "seed": own.random_state,
            "num_threads": threads(own.n_jobs),
            "device_type": device,
            "deterministic": True,
            "force_row_wise": True,
            "verbose": -1,
        }


def _median(y: np.ndarray, weight: Any) -> float:
    """LightGBM starts Huber's loss from the mean; with outliers that is so far off that no split gains anything."""
    order = np.argsort(y, kind="stable")
    mass = np.cumsum(np.ones(len(y)) if weight is None else weight[order])
    return float(y[order][np.searchsorted(mass, 0.5 * mass[-1])])


def _shifted(text: str, offset: float) -> str:
    """The model with a constant added to the first tree, where LightGBM itself keeps the value it starts from."""
    if offset == 0.0:
        return text
    before, key, after = text.partition("\nleaf_value=")
    values, end, rest = after.partition("\n")
    moved = " ".join(repr(float(value) + offset) for value in values.split())
    return f"{before}{key}{moved}{end}{rest}"


def _start(start: Forest | None, X: np.ndarray) -> np.ndarray | None:
    if start is None:
        return None
    raw = start.raw(X)
    return raw[:, 0] if raw.shape[1] == 1 else raw


class LightGBMClassifier(_LightGBM, BoostedClassifier):
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

    _rules = _RULES | {"class_weight": CLASS_WEIGHT, "scale_pos_weight": number(0, above=True)}

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
        colsample_bynode: float = 1.0,
        extra_trees: bool = False,
        path_smooth: float = 0.0,
        reg_alpha: float = 0.0,
        reg_lambda: float = 10.0,
        max_bin: int = 255,
        monotone_constraints: Any = None,
        class_weight: Any = None,
        scale_pos_weight: float = 1.0,
        early_stopping_rounds: int | None = 50,
        importance_type: str = "gain",
        device: str = "cpu",
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
        self.colsample_bynode = colsample_bynode
        self.extra_trees = extra_trees
        self.path_smooth = path_smooth
        self.reg_alpha = reg_alpha
        self.reg_lambda = reg_lambda
        self.max_bin = max_bin
        self.monotone_constraints = monotone_constraints
        self.class_weight = class_weight
        self.scale_pos_weight = scale_pos_weight
        self.early_stopping_rounds = early_stopping_rounds
        self.importance_type = importance_type
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _objective(self) -> Spec:
        if len(self.classes_) == 2:
            return {"objective": "binary"}
        return {"objective": "multiclass", "num_class": len(self.classes_)}


class LightGBMRegressor(_LightGBM, BoostedRegressor):
    """Gradient boosted trees grown leaf by leaf (Ke et al. 2017) for a number; defaults as in ``LightGBMClassifier``.

    ``objective`` is "regression" (the mean), "regression_l1" (the median), "huber" (between the two: errors above
    ``alpha`` count linearly) or "quantile" (the quantile ``alpha``). ``interval=0.9`` also fits the quantiles 0.05 and
    0.95, which ``predict_interval`` gives.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((400, 3))
    >>> model = LightGBMRegressor(n_estimators=200).fit(X, X[:, 0])
    >>> bool(model.predict([[2.0, 0, 0]])[0] > 1)
    True
    """

    _rules = _RULES | {
        "objective": choice("regression", "regression_l1", "huber", "quantile"),
        "alpha": number(0, above=True),
        "interval": number(0, 0.999, above=True, none=True),
    }

    def __init__(
        self,
        *,
        objective: str = "regression",
        alpha: float = 0.9,
        interval: float | None = None,
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
        colsample_bynode: float = 1.0,
        extra_trees: bool = False,
        path_smooth: float = 0.0,
        reg_alpha: float = 0.0,
        reg_lambda: float = 10.0,
        max_bin: int = 255,
        monotone_constraints: Any = None,
        early_stopping_rounds: int | None = 50,
        importance_type: str = "gain",
        device: str = "cpu",
        n_jobs: int | None = None,
        random_state: int = 0,
    ) -> None:
        self.objective = objective
        self.alpha = alpha
        self.interval = interval
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
        self.colsample_bynode = colsample_bynode
        self.extra_trees = extra_trees
        self.path_smooth = path_smooth
        self.reg_alpha = reg_alpha
        self.reg_lambda = reg_lambda
        self.max_bin = max_bin
        self.monotone_constraints = monotone_constraints
        self.early_stopping_rounds = early_stopping_rounds
        self.importance_type = importance_type
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _objective(self) -> Spec:
        return {"objective": self.objective, "alpha": self.alpha}

    def _quantile(self, level: float) -> Spec:
        return {"objective": "quantile", "alpha": level}
