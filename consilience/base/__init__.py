"""The contract that every model keeps, and what several packages need to keep it: state, time axis, errors, scores."""

from consilience.base.catalog import CATALOG, predictor_class, restore
from consilience.base.errors import ConsilienceError, InvalidInput, InvalidState, MissingDependency, invalid, nearest
from consilience.base.frame import TimeAxis, context_rows, newest_proba, predict_newest, predict_rows, take, time_axis
from consilience.base.predictor import ClassifierPredictor, Predictor, RegressorPredictor
from consilience.base.state import Arrays, Spec, State

__all__ = [
    "CATALOG",
    "Arrays",
    "ClassifierPredictor",
    "ConsilienceError",
    "InvalidInput",
    "InvalidState",
    "MissingDependency",
    "Predictor",
    "RegressorPredictor",
    "Spec",
    "State",
    "TimeAxis",
    "context_rows",
    "invalid",
    "nearest",
    "newest_proba",
    "predict_newest",
    "predict_rows",
    "predictor_class",
    "restore",
    "take",
    "time_axis",
]
