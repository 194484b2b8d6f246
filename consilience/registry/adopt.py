"""Taking over fitted models that other tools made: their numbers are read, checked, and predict the same here."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from consilience.base import InvalidState, predictor_class
from consilience.registry.errors import Refused, RegistryError

_TOLERANCE = 1e-6


def as_predictor(model: Any, *, classes: Any = None, samples: Any = None) -> Any:
    """A fitted predictor of consilience from a fitted model of another library, or from its model file.

    Parameters
    ----------
    model : scikit-learn's forests, single trees and linear models (also behind a StandardScaler in a Pipeline),
        hmmlearn's GaussianHMM, a fitted XGBoost or LightGBM model or booster; or the path of XGBoost JSON or UBJ, or of
        LightGBM text. Files are read in Python and validated; UBJ is first turned into JSON in a process of its own.
    classes : labels of a booster in a file, in its order; 0, 1, … otherwise.
    samples : (n, d) rows on which both must agree; random ones by default.

    Raises
    ------
    Refused : a kind of model that has no counterpart here, or one whose counterpart predicts differently.
    """
    if isinstance(model, str | Path):
        return _from_file(Path(model), classes)
    for base in type(model).__mro__:
        adopt = _ADOPT.get(f"{base.__module__.split('.')[0]}.{base.__name__}")
        if adopt is not None:
            adopted = adopt(model, classes)
            _keep_names(model, adopted)
            _check_equal(model, adopted, samples)
            return adopted
    kinds = sorted({name.split(".")[1] for name in _ADOPT})
    raise Refused(f"A {type(model).__name__} cannot be adopted; what can: {', '.join(kinds)}.")


def _from_file(path: Path, classes: Any) -> Any:
    if not path.is_file():
        raise RegistryError(f"There is no model file at {path}.")
    if path.suffix == ".ubj":
        return _booster("XGBoost", _json_of_ubj(path), classes)
    if path.suffix == ".json":
        return _booster("XGBoost", path.read_bytes(), classes)
    if path.suffix == ".txt":
        return _booster("LightGBM", path.read_bytes(), classes)
    raise Refused(f"{path.name}: model files are .json or .ubj (XGBoost) or .txt (LightGBM).")


def _booster(family: str, text: bytes, classes: Any) -> Any:
    """Classifier or regressor, whichever the objective allows."""
    parameters = {} if classes is None else {"classes": classes}
    try:
        return predictor_class(f"{family}Classifier").adopt(text, **parameters)
    except InvalidState as first:
        if "cannot become" not in str(first):
            raise
        return predictor_class(f"{family}Regressor").adopt(text)


_CONVERT = """
import sys
import xgboost
booster = xgboost.Booster()
booster.load_model(bytearray(sys.stdin.buffer.read()))
sys.stdout.buffer.write(booster.save_raw("json"))
"""


def _json_of_ubj(path: Path) -> bytes:
    """XGBoost's native parser can take a process down, so it gets one of its own."""
    done = subprocess.run(
        [sys.executable, "-c", _CONVERT], input=path.read_bytes(), capture_output=True, timeout=120, check=False
    )
    if done.returncode:
        raise InvalidState(f"{path.name} is not a model that XGBoost can read.")
    return done.stdout


# -- models in memory --------------------------------------------------------------------------------------------------


def _forest(model: Any, classes: Any) -> Any:
    from consilience.kernels.forest_formats import read_sklearn

    trees = getattr(model, "estimators_", [model])
    classifier = hasattr(model, "classes_")
    if getattr(model, "n_outputs_", 1) != 1:
        raise Refused("A forest with several outputs cannot be adopted.")
    adopted = _unfitted("RandomForestClassifier" if classifier else "RandomForestRegressor", model)
    if classifier:
        adopted.classes_ = np.asarray(model.classes_)
    adopted.forest_ = read_sklearn(trees, len(model.classes_) if classifier else 1)
    adopted.history_ = {}
    return adopted


def _linear(model: Any, classes: Any) -> Any:
    mean, scale = np.zeros(model.n_features_in_), np.ones(model.n_features_in_)
    return _linear_behind(model, model, mean, scale)


def _linear_behind(outer: Any, model: Any, mean: np.ndarray, scale: np.ndarray) -> Any:
    """A linear model on (X - mean) / scale, as one on X."""
    classifier = hasattr(model, "classes_")
    coef = np.atleast_2d(np.asarray(model.coef_, np.float64))
    if not classifier and len(coef) != 1:
        raise Refused("A linear model with several targets cannot be adopted.")
    adopted = _unfitted("LogisticClassifier" if classifier else "RidgeRegressor", outer)
    if classifier:
        adopted.classes_ = np.asarray(model.classes_)
    adopted.mean_, adopted.scale_ = mean, scale
    adopted.coef_ = np.ascontiguousarray(coef / scale)
    intercept = np.broadcast_to(np.asarray(model.intercept_, np.float64), (len(coef),))
    adopted.intercept_ = intercept - adopted.coef_ @ mean
    return adopted


def _pipeline(model: Any, classes: Any) -> Any:
    steps = [step for _, step in model.steps if step not in (None, "passthrough")]
    if len(steps) != 2 or type(steps[0]).__name__ != "StandardScaler" or not hasattr(steps[1], "coef_"):
        raise Refused("Of pipelines, those of a StandardScaler and a linear model can be adopted.")
    d = model.n_features_in_
    mean = np.zeros(d) if steps[0].mean_ is None or not steps[0].with_mean else np.asarray(steps[0].mean_, np.float64)
    scale = np.ones(d) if steps[0].scale_ is None else np.asarray(steps[0].scale_, np.float64)
    return _linear_behind(model, steps[1], mean, scale)


def _hmm(model: Any, classes: Any) -> Any:
    adopted = predictor_class("GaussianHMM")(
        n_components=int(model.n_components), covariance_type=str(model.covariance_type)
    )
    # The public covars_ is blown up to full matrices, and for "spherical" of the wrong number.
    covars = np.asarray(model._covars_, np.float64)
    if model.covariance_type == "spherical":
        covars = covars.reshape(adopted.n_components, -1)[:, 0]
    covars = np.ascontiguousarray(covars)
    adopted.startprob_, adopted.transmat_ = np.asarray(model.startprob_, float), np.asarray(model.transmat_, float)
    adopted.means_, adopted.covars_ = np.asarray(model.means_, float), covars
    adopted.n_features_in_ = adopted.means_.shape[1]
    return adopted


def _xgboost(model: Any, classes: Any) -> Any:
    booster = model.get_booster() if hasattr(model, "get_booster") else model
    return _booster("XGBoost", bytes(booster.save_raw("json")), getattr(model, "classes_", classes))


def _lightgbm(model: Any, classes: Any) -> Any:
    booster = getattr(model, "booster_", model)
    text = booster.model_to_string(num_iteration=booster.best_iteration or -1)
    return _booster("LightGBM", text.encode(), getattr(model, "classes_", classes))


_FORESTS = ("RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor")
_TREES = ("DecisionTreeClassifier", "DecisionTreeRegressor")
_LINEAR = ("LogisticRegression", "LinearRegression", "Ridge", "Lasso", "ElasticNet")
_ADOPT: dict[str, Callable[[Any, Any], Any]] = {
    **dict.fromkeys((f"sklearn.{name}" for name in _FORESTS + _TREES), _forest),
    **dict.fromkeys((f"sklearn.{name}" for name in _LINEAR), _linear),
    "sklearn.Pipeline": _pipeline,
    "hmmlearn.GaussianHMM": _hmm,
    **dict.fromkeys(("xgboost.XGBModel", "xgboost.Booster"), _xgboost),
    **dict.fromkeys(("lightgbm.LGBMModel", "lightgbm.Booster"), _lightgbm),
}


def _unfitted(kind: str, model: Any) -> Any:
    """Our class with those of the model's parameters that it knows too and accepts."""
    adopted = predictor_class(kind)()
    known, given = adopted.get_params(deep=False), model.get_params(deep=False)
    plain = {name: given[name] for name in known if name in given and isinstance(given[name], int | float | str)}
    adopted.set_params(**plain)
    adopted.n_features_in_ = int(model.n_features_in_)
    return adopted


def _keep_names(model: Any, adopted: Any) -> None:
    names = getattr(model, "feature_names_in_", None)
    if names is not None:
        adopted.feature_names_in_ = np.array([str(name) for name in names], dtype=object)


def _check_equal(model: Any, adopted: Any, samples: Any) -> None:
    """Refuse an adopted model that says anything else than the original about the samples."""
    if samples is None:
        samples = np.random.default_rng(0).standard_normal((64, adopted.n_features_in_))
        if hasattr(adopted, "means_"):  # near the states, so that every one of them is seen
            samples = adopted.means_[np.arange(64) % len(adopted.means_)] + 0.1 * samples
    samples = np.asarray(samples, np.float64)
    rows = _like_fit(model, samples)
    if hasattr(adopted, "startprob_"):
        theirs, ours = np.atleast_1d(model.score(samples)), np.atleast_1d(adopted.score(samples))
    elif hasattr(model, "get_dump") or hasattr(model, "model_to_string"):
        return  # a bare booster: its own text was read, and its predict wants another kind of matrix
    elif hasattr(adopted, "classes_") and hasattr(model, "predict_proba"):
        theirs, ours = model.predict_proba(rows), adopted.predict_proba(rows)
    else:
        theirs, ours = model.predict(rows), adopted.predict(rows)
    apart = float(np.max(np.abs(np.asarray(theirs) - ours))) if np.shape(theirs) == np.shape(ours) else np.inf
    if not apart <= _TOLERANCE * max(1.0, float(np.max(np.abs(theirs)))):
        raise Refused(
            f"The adopted {type(model).__name__} predicts differently here (by {apart:.3g}); it is not taken."
        )


def _like_fit(model: Any, samples: np.ndarray) -> Any:
    names = getattr(model, "feature_names_in_", None)
    if names is None:
        return samples
    import pandas as pd

    return pd.DataFrame(samples, columns=list(names))
