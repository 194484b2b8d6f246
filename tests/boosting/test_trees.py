"""Early stopping, class weights, importances, state and bad input of the tree models."""

import doctest
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import consilience.boosting as boosting
from consilience.base import InvalidInput, InvalidState, State, restore
from consilience.boosting import (
    LightGBMClassifier,
    LightGBMRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    XGBoostClassifier,
    XGBoostRegressor,
)
from tests.contracts.predictor import market

CLASSIFIERS = [XGBoostClassifier, LightGBMClassifier, RandomForestClassifier]
REGRESSORS = [XGBoostRegressor, LightGBMRegressor, RandomForestRegressor]
BOOSTERS = [XGBoostClassifier, LightGBMClassifier]


@pytest.mark.parametrize("kind", BOOSTERS)
def test_early_stopping_keeps_the_best_iteration(kind):
    X, y = market(400)
    model = kind(n_estimators=400, learning_rate=0.3, early_stopping_rounds=10, n_jobs=1)
    model.fit(X[:300], y[:300], validation=(X[300:], y[300:]))
    curve = model.history_["val_loss"]
    assert len(curve) < 400
    assert model.best_iteration_ == int(np.argmin(curve)) + 1 == model.forest_.n_trees
    assert model.evaluate(X[300:], y[300:])["log_loss"] == pytest.approx(min(curve), abs=1e-6)
    assert restore(model.get_state()).history_ == model.history_


@pytest.mark.parametrize("kind", BOOSTERS)
def test_a_second_fit_forgets_the_first(kind):
    X, y = market(300)
    model = kind(n_estimators=50, learning_rate=0.5, early_stopping_rounds=3, n_jobs=1)
    model.fit(X[:200], y[:200], validation=(X[200:], y[200:])).fit(X, y)
    assert not hasattr(model, "best_iteration_") and model.history_ == {}


@pytest.mark.parametrize("kind", BOOSTERS)
def test_several_classes_stop_early_together(kind):
    X, y = market(400)
    y = np.array(["down", "flat", "up"])[np.digitize(X["f0"], [-0.5, 0.5])]
    model = kind(n_estimators=200, learning_rate=0.5, early_stopping_rounds=5, n_jobs=1)
    model.fit(X[:300], y[:300], validation=(X[300:], y[300:]))
    assert model.forest_.n_trees == 3 * model.best_iteration_
    assert model.predict_proba(X).shape == (400, 3)
    assert (model.predict(X) == y).mean() > 0.9


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_balanced_classes_weigh_the_same(kind):
    X, _ = market(600)
    rare = (X["f0"].to_numpy() > 1.2).astype(int)
    plain = kind(n_jobs=1).fit(X, rare).predict_proba(X)[:, 1].mean()
    balanced = kind(n_jobs=1, class_weight="balanced").fit(X, rare)
    mass = np.where(rare == 1, 0.5 / rare.mean(), 0.5 / (1 - rare.mean()))
    weighted = kind(n_jobs=1).fit(X, rare, sample_weight=mass)
    assert balanced.predict_proba(X)[:, 1].mean() > plain + 0.01
    np.testing.assert_allclose(balanced.predict_proba(X), weighted.predict_proba(X), atol=1e-9)


@pytest.mark.parametrize("kind", CLASSIFIERS + REGRESSORS)
def test_importances_name_the_feature_that_matters(kind):
    X, _ = market(500)
    model = kind(n_jobs=1).fit(X, X["f2"] > 0)
    assert isinstance(model.feature_importances_, pd.Series)
    assert model.feature_importances_.idxmax() == "f2"
    assert model.feature_importances_.sum() == pytest.approx(1)
    splits = model.set_params(importance_type="split").feature_importances_
    assert splits["f2"] == pytest.approx((model.forest_.feature == 2).sum() / (model.forest_.feature >= 0).sum())


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_missing_values_are_learnt_from(kind):
    X, y = market(500)
    X = X.mask(np.random.default_rng(0).random(X.shape) < 0.3)
    y = X["f0"].isna().astype(int)
    model = kind(n_jobs=1).fit(X, y)
    assert (model.predict(X) == y).all()
    np.testing.assert_array_equal(restore(model.get_state()).predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_threads_do_not_change_the_model(kind):
    X, y = market(1500, n_features=8)
    one, two = (kind(n_estimators=15, n_jobs=n).fit(X, y).predict_proba(X) for n in (1, 2))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("kind", CLASSIFIERS + REGRESSORS)
def test_bad_input_is_named(kind):
    X, y = market(100)
    model = kind(n_estimators=5, n_jobs=1)
    target = y.astype(float)
    bad = X.copy()
    bad.iloc[3, 1] = np.inf
    for X_bad, y_bad, weight, words in [
        (X, np.where(np.arange(100) == 7, np.nan, target), None, "y contains NaN"),
        (bad, target, None, "column .f1. has infinity in 1 of"),
        (X, target, -np.ones(100), "sample_weight"),
        (X, target, np.zeros(100), "at least one non-zero"),
        (X[:0], target[:0], None, "0 sample"),
        (X, target[:50], None, "inconsistent numbers of samples"),
    ]:
        with pytest.raises(ValueError, match=words):
            model.fit(X_bad, y_bad, sample_weight=weight)
    model.fit(X, y)
    for X_bad, words in [
        (bad, "column .f1. has infinity in 1 of"),
        (X.to_numpy()[:, :3], "3 features"),
        (X.drop(columns="f1"), "lacks the column 'f1'"),
        (X.assign(more=1.0), "'more'"),
        (X.rename(columns={"f1": "f_1"}), "lacks the column 'f1'"),
    ]:
        with pytest.raises(ValueError, match=words):
            model.predict(X_bad)


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_one_class_is_refused(kind):
    X, _ = market(50)
    with pytest.raises(InvalidInput, match="only one class"):
        kind().fit(X, np.ones(50))


@pytest.mark.parametrize("kind", BOOSTERS)
def test_bad_validation_is_named(kind):
    X, y = market(100)
    for validation, words in [
        ((X, y + 1), "class 2"),
        ((X[:50], y), "50 rows of X and y of the shape"),
        ((X.drop(columns="f0"), y), "lacks the column 'f0'"),
        ((X, np.full(100, np.nan)), "validation contains NaN"),
    ]:
        with pytest.raises(InvalidInput, match=words):
            kind(n_estimators=5).fit(X, y, validation=validation)


def test_parameters_are_checked():
    X, y = market(50)
    with pytest.raises(TypeError, match="Did you mean 'n_estimators'"):
        XGBoostClassifier(n_estimater=3)
    with pytest.raises(ValueError, match="Did you mean 'num_leaves'"):
        LightGBMClassifier().set_params(num_leafs=3)
    for model in (
        XGBoostClassifier(learning_rate=0),
        XGBoostRegressor(n_estimators=1.5),
        LightGBMClassifier(subsample=1.5),
        RandomForestClassifier(max_features="all"),
        RandomForestRegressor(n_jobs=0),
    ):
        with pytest.raises(InvalidInput, match="parameter of"):
            model.fit(X, y)


def test_stored_forests_are_checked():
    X, y = market(100)
    state = LightGBMClassifier(n_estimators=5, num_leaves=3, min_child_weight=1.0, n_jobs=1).fit(X, y).get_state()
    for name in state.arrays:
        with pytest.raises(InvalidState):
            restore(State(state.kind, state.spec, {k: v for k, v in state.arrays.items() if k != name}))
    narrow = {**state.spec, "n_features_in": 3, "feature_names_in": ["f0", "f1", "f2"]}
    with pytest.raises(InvalidState, match="features"):
        restore(State(state.kind, narrow, state.arrays))
    three = {**state.spec, "classes": {"dtype": "<i8", "values": [0, 1, 2]}}
    with pytest.raises(InvalidState, match="outputs"):
        restore(State(state.kind, three, state.arrays))


def test_importing_the_package_imports_no_library():
    heavy = ("xgboost", "lightgbm", "keras", "sklearn")
    code = f"import sys, consilience.boosting as b; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["xgboost", "lightgbm", "random_forest", "linear"])
def test_examples(name):
    module = sys.modules.get(f"consilience.boosting.{name}") or boosting.LogisticClassifier.__module__
    module = sys.modules[module] if isinstance(module, str) else module
    assert doctest.testmod(module).failed == 0
