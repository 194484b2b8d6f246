"""One small fitted predictor of every class in the catalogue, and the rows to predict."""

import functools
from typing import Any

import numpy as np
import pandas as pd

from consilience.base.catalog import CATALOG, predictor_class
from tests.contracts.predictor import market

_SMALL: dict[str, dict[str, Any]] = {
    "XGBoost": {"n_estimators": 8},
    "LightGBM": {"n_estimators": 8},
    "RandomForest": {"n_estimators": 6},
    "LSTM": {"window": 5, "units": 4, "epochs": 1},
    "Transformer": {"window": 5, "epochs": 1},
    "CNN": {"window": 5, "epochs": 1},
}
ENSEMBLES = tuple(kind for kind, package in CATALOG.items() if package == "consilience.ensemble")
SINGLE = tuple(kind for kind in CATALOG if kind not in ENSEMBLES)
PREDICTORS = tuple(kind for kind in CATALOG if kind != "RegimeFeatures")


def rows() -> pd.DataFrame:
    """What every model of the zoo predicts."""
    return market(n_rows=160)[0]


@functools.cache
def fitted(kind: str) -> Any:
    """A fitted predictor of that class; fitted once per process."""
    X, y = market(n_rows=160)
    target = y - 0.5 + 0.1 * X["f2"].to_numpy() if kind.endswith("Regressor") else y
    if kind in ENSEMBLES:
        return _ensemble(kind).fit(X, target)
    model = new(kind)
    return model.fit(X) if kind in ("GaussianHMM", "RegimeFeatures") else model.fit(X, target)


def outputs(kind: str, model: Any, X: pd.DataFrame) -> np.ndarray:
    """What the model says of every row, as float64."""
    for name in ("predict_proba", "transform", "predict"):
        if hasattr(model, name) and (name != "transform" or kind == "RegimeFeatures"):
            return np.asarray(getattr(model, name)(X), dtype=np.float64)
    raise AssertionError(f"{kind} predicts nothing")


def new(kind: str) -> Any:
    """An unfitted predictor of that class, small."""
    family = kind.removesuffix("Classifier").removesuffix("Regressor")
    return predictor_class(kind)(**_SMALL.get(family, {}))


def _ensemble(kind: str) -> Any:
    from consilience.evaluation import PurgedWalkForward

    end = "Regressor" if kind.endswith("Regressor") else "Classifier"
    linear = "RidgeRegressor" if end == "Regressor" else "LogisticClassifier"
    members = [("linear", new(linear)), ("forest", new(f"RandomForest{end}")), ("lstm", new(f"LSTM{end}"))]
    if kind.startswith("Voting"):
        return predictor_class(kind)(members)
    folds = PurgedWalkForward(n_splits=3, label_horizon=1)
    if kind.startswith("Fusion"):
        return predictor_class(kind)([("lstm", new(f"LSTM{end}"))], new(f"LightGBM{end}"), folds, fusion="gated")
    if kind.startswith("RegimeSpecialist"):
        return predictor_class(kind)(new(linear), new("RegimeFeatures"), folds, min_rows=10)
    return predictor_class(kind)(members, folds)
