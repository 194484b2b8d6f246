"""Boosted trees and their baselines: XGBoost, LightGBM, random forest, logistic and ridge regression.

Whatever library grows the trees, a fitted model is one validated array forest (``consilience.kernels.forest``): it
predicts, it is what is stored, and it explains. The libraries themselves are imported when they are first fitted.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "XGBoostClassifier": "xgboost",
    "XGBoostRegressor": "xgboost",
    "LightGBMClassifier": "lightgbm",
    "LightGBMRegressor": "lightgbm",
    "RandomForestClassifier": "random_forest",
    "RandomForestRegressor": "random_forest",
    "LogisticClassifier": "linear",
    "RidgeRegressor": "linear",
    "permutation_importances": "importance",
    "plot_contributions": "importance",
    "plot_importances": "importance",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
