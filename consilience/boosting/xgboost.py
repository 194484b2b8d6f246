"""XGBoost, classifier and regressor; the library is imported by the first ``fit``."""

from typing import Any, ClassVar

import numpy as np

from consilience.base import InvalidInput, MissingDependency, Spec
from consilience.boosting.boosted import BoostedClassifier, BoostedRegressor
from consilience.boosting.constraints import monotone
from consilience.boosting.hardware import fall_back, has_cuda_gpu, threads
from consilience.boosting.parameters import CLASS_WEIGHT, CONSTRAINTS, SEED, THREADS, choice, integer, number
from consilience.boosting.trees import IMPORTANCE_TYPES
from consilience.kernels.forest import Forest
from consilience.kernels.forest_formats import NativeForest, read_xgboost

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
    "max_leaves": integer(0),
    "max_delta_step": number(0),
    "colsample_bynode": number(0, 1, above=True),
    "monotone_constraints": CONSTRAINTS,
    "device": choice("auto", "cpu", "cuda"),
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
    "quantile_alpha",
    "huber_slope",
)


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

    _suffix: ClassVar[str] = "json"

    @staticmethod
    def _read_native(text: bytes) -> NativeForest:
        return read_xgboost(text)

    def _train(
        self, X: np.ndarray, y: np.ndarray, weight: Any, validation: Any, objective: Spec, start: Forest | None = None
    ) -> tuple[Forest, dict[str, list[float]], int | None, bytes]:
        xgb = _library()
        own: Any = self
        settings = own._settings(xgb) | objective
        made = {"max_bin": own.max_bin, "nthread": settings["nthread"]}
        data = xgb.QuantileDMatrix(X, label=_single(y), weight=_single(weight), base_margin=_margin(start, X), **made)
        evals: list[tuple[Any, str]] = []
        results: dict[str, Any] = {}
        if validation is not None:
            margin = _margin(start, validation[0])
            held_out = xgb.QuantileDMatrix(
                validation[0], label=_single(validation[1]), base_margin=margin, ref=data, **made
            )
            evals = [(data, "loss"), (held_out, "val_loss")]
        stop = own.early_stopping_rounds if evals else None
        try:
            if evals:
                booster = xgb.train(
                    settings,
                    data,
                    own.n_estimators,
                    evals=evals,
                    evals_result=results,
                    early_stopping_rounds=stop,
                    verbose_eval=False,
                )
            else:  # without callbacks, and without resetting a booster that is read once and dropped: a tenth of a fit
                booster = xgb.Booster(settings, [data])
                for iteration in range(own.n_estimators):
                    booster.update(data, iteration)
        except xgb.core.XGBoostError as error:
            raise InvalidInput(f"XGBoost could not fit with these parameters: {str(error).splitlines()[0]}") from error
        best = booster.best_iteration + 1 if stop else None
        text = bytes((booster if best is None else booster[:best]).save_raw("json"))
        history = {name: list(map(float, next(iter(curves.values())))) for name, curves in results.items()}
        return read_xgboost(text).forest, history, best, text

    def _settings(self, xgb: Any) -> dict[str, Any]:
        own: Any = self
        settings = {name: value for name, value in own.get_params(deep=False).items() if name not in _OWN}
        signs = monotone(
            settings.pop("monotone_constraints"),
            getattr(self, "feature_names_in_", None),
            own.n_features_in_,
            type(self).__name__,
        )
        if signs is not None:
            settings["monotone_constraints"] = "(" + ",".join(map(str, signs)) + ")"
        settings["device"] = _device(own.device, xgb)
        settings |= {"seed": own.random_state, "nthread": threads(own.n_jobs), "tree_method": "hist", "verbosity": 0}
        return settings


def _margin(start: Forest | None, X: np.ndarray) -> np.ndarray | None:
    return None if start is None else start.raw(X)


def _single(values: np.ndarray | None) -> np.ndarray | None:
    """float32, which XGBoost stores anyway: it converts other types on all cores, and their threads spin for 20 ms."""
    return None if values is None else np.asarray(values, dtype=np.float32)


def _device(wanted: str, xgb: Any) -> str:
    """ "auto" takes a GPU if there is one and says nothing if not; "cuda" says so in one sentence."""
    if wanted == "cpu":
        return "cpu"
    built = bool(xgb.build_info().get("USE_CUDA"))
    if built and has_cuda_gpu():
        return "cuda"
    if wanted == "auto":
        return "cpu"
    reason = "no NVIDIA GPU answers here" if built else "the installed build has no CUDA support (gpu- extra)"
    return fall_back("XGBoost", reason)


class XGBoostClassifier(_XGBoost, BoostedClassifier):
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

    _rules = _RULES | {"class_weight": CLASS_WEIGHT, "scale_pos_weight": number(0, above=True)}

    def __init__(
        self,
        *,
        n_estimators: int = 300,
        max_depth: int = 3,
        max_leaves: int = 0,
        learning_rate: float = 0.03,
        min_child_weight: float = 10.0,
        gamma: float = 0.0,
        subsample: float = 0.7,
        colsample_bytree: float = 0.7,
        colsample_bynode: float = 1.0,
        reg_alpha: float = 0.0,
        reg_lambda: float = 10.0,
        max_delta_step: float = 0.0,
        max_bin: int = 256,
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
        self.max_depth = max_depth
        self.max_leaves = max_leaves
        self.learning_rate = learning_rate
        self.min_child_weight = min_child_weight
        self.gamma = gamma
        self.subsample = subsample
        self.colsample_bytree = colsample_bytree
        self.colsample_bynode = colsample_bynode
        self.reg_alpha = reg_alpha
        self.reg_lambda = reg_lambda
        self.max_delta_step = max_delta_step
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
            return {"objective": "binary:logistic"}
        return {"objective": "multi:softprob", "num_class": len(self.classes_)}


class XGBoostRegressor(_XGBoost, BoostedRegressor):
    """Gradient boosted trees (Chen & Guestrin 2016) for a number; see ``XGBoostClassifier`` for the defaults.

    ``objective`` is "reg:squarederror" (the mean), "reg:absoluteerror" (the median), "reg:pseudohubererror" (between
    the two: errors above ``huber_slope`` count linearly) or "reg:quantileerror" (the quantile ``quantile_alpha``).
    ``interval=0.9`` also fits the quantiles 0.05 and 0.95, which ``predict_interval`` gives.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((400, 3))
    >>> model = XGBoostRegressor(n_estimators=200).fit(X, X[:, 0])
    >>> bool(model.predict([[2.0, 0, 0]])[0] > 1)
    True
    """

    _rules = _RULES | {
        "objective": choice("reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror", "reg:quantileerror"),
        "quantile_alpha": number(0, 1, above=True),
        "huber_slope": number(0, above=True),
        "interval": number(0, 0.999, above=True, none=True),
    }

    def __init__(
        self,
        *,
        objective: str = "reg:squarederror",
        quantile_alpha: float = 0.5,
        huber_slope: float = 1.0,
        interval: float | None = None,
        n_estimators: int = 300,
        max_depth: int = 3,
        max_leaves: int = 0,
        learning_rate: float = 0.03,
        min_child_weight: float = 10.0,
        gamma: float = 0.0,
        subsample: float = 0.7,
        colsample_bytree: float = 0.7,
        colsample_bynode: float = 1.0,
        reg_alpha: float = 0.0,
        reg_lambda: float = 10.0,
        max_delta_step: float = 0.0,
        max_bin: int = 256,
        monotone_constraints: Any = None,
        early_stopping_rounds: int | None = 50,
        importance_type: str = "gain",
        device: str = "cpu",
        n_jobs: int | None = None,
        random_state: int = 0,
    ) -> None:
        self.objective = objective
        self.quantile_alpha = quantile_alpha
        self.huber_slope = huber_slope
        self.interval = interval
        self.n_estimators = n_estimators
        self.max_depth = max_depth
        self.max_leaves = max_leaves
        self.learning_rate = learning_rate
        self.min_child_weight = min_child_weight
        self.gamma = gamma
        self.subsample = subsample
        self.colsample_bytree = colsample_bytree
        self.colsample_bynode = colsample_bynode
        self.reg_alpha = reg_alpha
        self.reg_lambda = reg_lambda
        self.max_delta_step = max_delta_step
        self.max_bin = max_bin
        self.monotone_constraints = monotone_constraints
        self.early_stopping_rounds = early_stopping_rounds
        self.importance_type = importance_type
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _objective(self) -> Spec:
        if self.objective == "reg:quantileerror":
            return self._quantile(self.quantile_alpha)
        if self.objective == "reg:pseudohubererror":
            return {"objective": self.objective, "huber_slope": self.huber_slope}
        return {"objective": self.objective}

    def _quantile(self, level: float) -> Spec:
        return {"objective": "reg:quantileerror", "quantile_alpha": level}
