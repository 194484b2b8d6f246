"""What `tune` may vary in each model, typed."""

from dataclasses import dataclass
from typing import Any

from consilience.base.errors import InvalidInput, nearest


@dataclass(frozen=True)
class Float:
    """A real number in [low, high], drawn on a log scale where its order of magnitude matters."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Integer:
    """An integer in [low, high]."""

    low: int
    high: int
    log: bool = False


@dataclass(frozen=True)
class Choice:
    """One of a few values."""

    values: tuple[Any, ...]


Space = dict[str, Float | Integer | Choice]

_FOREST: Space = {
    "n_estimators": Integer(100, 600, log=True),
    "max_depth": Integer(2, 10),
    "min_samples_leaf": Integer(10, 300, log=True),
    "max_features": Float(0.1, 1.0),
}
_XGBOOST: Space = {
    "n_estimators": Integer(50, 600, log=True),
    "learning_rate": Float(0.005, 0.2, log=True),
    "max_depth": Integer(2, 7),
    "min_child_weight": Float(1.0, 300.0, log=True),
    "subsample": Float(0.4, 1.0),
    "colsample_bytree": Float(0.3, 1.0),
    "reg_lambda": Float(0.1, 100.0, log=True),
}
_LIGHTGBM: Space = {
    "n_estimators": Integer(50, 600, log=True),
    "learning_rate": Float(0.005, 0.2, log=True),
    "num_leaves": Integer(4, 63, log=True),
    "min_child_samples": Integer(10, 400, log=True),
    "subsample": Float(0.4, 1.0),
    "colsample_bytree": Float(0.3, 1.0),
    "reg_lambda": Float(0.1, 100.0, log=True),
}
_LORENTZIAN: Space = {
    "n_neighbors": Integer(5, 400, log=True),
    "weights": Choice(("uniform", "distance")),
    "min_spacing": Integer(1, 8),
}
_HMM: Space = {
    "n_components": Integer(2, 6),
    "covariance_type": Choice(("diag", "full", "spherical")),
}

_NETWORK: Space = {
    "window": Integer(5, 60, log=True),
    "dropout": Float(0.0, 0.5),
    "learning_rate": Float(3e-4, 1e-2, log=True),
    "weight_decay": Float(1e-5, 1e-1, log=True),
    "batch_size": Choice((64, 128, 256)),
}

_FUSION: Space = {
    "fusion": Choice(("concatenate", "gated", "attention")),
    "n_components": Integer(2, 32, log=True),
}
_SPECIALISTS: Space = {
    "hard": Choice((False, True)),
    "min_rows": Integer(50, 400, log=True),
    "shrinkage": Float(20.0, 2000.0, log=True),
}

SPACES: dict[str, Space] = {
    "LogisticClassifier": {"C": Float(1e-5, 10.0, log=True)},
    "RandomForestClassifier": _FOREST,
    "XGBoostClassifier": _XGBOOST,
    "LightGBMClassifier": _LIGHTGBM,
    "LSTMClassifier": {**_NETWORK, "units": Choice((16, 32, 64)), "layers": Integer(1, 2)},
    "TransformerClassifier": {**_NETWORK, "width": Choice((16, 32, 64)), "layers": Integer(1, 3)},
    "LorentzianClassifier": _LORENTZIAN,
    "HMMClassifier": _HMM,
    "FusionClassifier": _FUSION,
    "RegimeSpecialistClassifier": _SPECIALISTS,
}


def space_of(model: str) -> Space:
    """The search space of a model.

    Raises
    ------
    InvalidInput : a model without a search space.
    """
    if model not in SPACES:
        known = ", ".join(SPACES)
        raise InvalidInput(f"There is no search space for {model}; there is one for {known}.{nearest(model, SPACES)}")
    return SPACES[model]


def suggest(trial: Any, space: Space) -> dict[str, Any]:
    """Draw one setting through an Optuna trial."""
    drawn: dict[str, Any] = {}
    for name, range_ in space.items():
        if isinstance(range_, Float):
            drawn[name] = trial.suggest_float(name, range_.low, range_.high, log=range_.log)
        elif isinstance(range_, Integer):
            drawn[name] = trial.suggest_int(name, range_.low, range_.high, log=range_.log)
        else:
            drawn[name] = trial.suggest_categorical(name, list(range_.values))
    return drawn
