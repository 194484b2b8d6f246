"""The allow-list: which names a stored state may carry, and the package that each class is imported from.

A stored model never names a module; only the names below are ever imported, each when it is first needed.
"""

from importlib import import_module
from typing import Any

from consilience.base.errors import InvalidState
from consilience.base.state import State

_PACKAGES: dict[str, tuple[str, ...]] = {
    "consilience.kernels": (
        "LorentzianClassifier",
        "LorentzianRegressor",
        "GaussianHMM",
        "HMMClassifier",
        "RegimeFeatures",
    ),
    "consilience.keras_models": (
        "LSTMClassifier",
        "LSTMRegressor",
        "TransformerClassifier",
        "TransformerRegressor",
        "CNNClassifier",
        "CNNRegressor",
    ),
    "consilience.boosting": (
        "XGBoostClassifier",
        "XGBoostRegressor",
        "LightGBMClassifier",
        "LightGBMRegressor",
        "RandomForestClassifier",
        "RandomForestRegressor",
        "LogisticClassifier",
        "RidgeRegressor",
    ),
    "consilience.ensemble": (
        "VotingClassifier",
        "VotingRegressor",
        "StackingClassifier",
        "StackingRegressor",
        "FusionClassifier",
        "FusionRegressor",
        "RegimeSpecialistClassifier",
        "RegimeSpecialistRegressor",
    ),
}

CATALOG: dict[str, str] = {name: package for package, names in _PACKAGES.items() for name in names}


def predictor_class(kind: str) -> Any:
    """The class of that name, imported now; any name outside the allow-list is refused."""
    package = CATALOG.get(kind) if isinstance(kind, str) else None
    if package is None:
        raise InvalidState(f"A stored model names the class {kind!r}, which this release does not have.")
    return getattr(import_module(package), kind)


def restore(state: State) -> Any:
    """The fitted predictor that ``predictor.get_state()`` was made from."""
    return predictor_class(state.kind).from_state(state)
