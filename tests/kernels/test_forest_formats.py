"""Trees read from each library predict what the library predicts."""

import doctest

import lightgbm as lgb
import numpy as np
import pytest
import xgboost as xgb
from numba import config
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from consilience.base import InvalidState
from consilience.kernels import forest_formats
from consilience.kernels.forest_formats import read_lightgbm, read_sklearn, read_xgboost


def data(seed=0, n=700, missing=0.1):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 6)).round(2)
    X[rng.random(X.shape) < 0.2] = 0.0
    X[rng.random(X.shape) < missing] = np.nan
    y = np.nan_to_num(X[:, 0]) * np.nan_to_num(X[:, 1]) + 0.3 * rng.standard_normal(n)
    return X, y


def target(objective, y):
    if "multi" in objective:
        return np.digitize(y, [-0.3, 0.3])
    return (y > 0).astype(int) if "binary" in objective else y


FEW = slice(3 if config.DISABLE_JIT else None)  # rows: without the compiler, one takes a second


@pytest.mark.parametrize("booster", ["gbtree", "dart"])
@pytest.mark.parametrize(
    "objective",
    [
        "binary:logistic",
        "multi:softprob",
        "reg:squarederror",
        "reg:absoluteerror",
        "reg:quantileerror",
        "reg:pseudohubererror",
    ],
)
def test_xgboost(objective, booster):
    X, y = data()
    params = {
        "objective": objective,
        "booster": booster,
        "max_depth": 5,
        "verbosity": 0,
        "nthread": 1,
        "rate_drop": 0.2,
        "quantile_alpha": 0.3,
    }
    if "multi" in objective:
        params["num_class"] = 3
    if booster == "gbtree":
        params.pop("rate_drop")
    model = xgb.train(params, xgb.DMatrix(X, target(objective, y)), 40)
    native = read_xgboost(model.save_raw("json"))
    assert native.objective == objective
    margin = model.predict(xgb.DMatrix(X), output_margin=True).reshape(len(X), -1)
    np.testing.assert_allclose(native.forest.raw(X), margin, rtol=0, atol=1e-6)
    parts = model.predict(xgb.DMatrix(X), pred_contribs=True).reshape(len(X), -1, 7).swapaxes(1, 2)
    np.testing.assert_allclose(native.forest.contributions(X[FEW]), parts[FEW], rtol=0, atol=2e-5)  # float32 in XGBoost


@pytest.mark.parametrize("zero_as_missing", [False, True])
@pytest.mark.parametrize("missing", [0.0, 0.1])
@pytest.mark.parametrize("objective", ["binary", "multiclass", "regression", "regression_l1", "huber", "quantile"])
def test_lightgbm(objective, missing, zero_as_missing):
    X, y = data(missing=missing)
    params = {
        "objective": objective,
        "verbose": -1,
        "num_threads": 1,
        "zero_as_missing": zero_as_missing,
        "num_leaves": 12,
    }
    if objective == "multiclass":
        params["num_class"] = 3
    model = lgb.train(params, lgb.Dataset(X, target("multi" if objective == "multiclass" else objective, y)), 40)
    forest = read_lightgbm(model.model_to_string()).forest
    new, _ = data(seed=1, missing=0.2)  # NaN also where training had none
    parts = model.predict(new, pred_contrib=True).reshape(len(X), -1, 7).swapaxes(1, 2)
    np.testing.assert_allclose(forest.contributions(new[FEW]), parts[FEW], rtol=0, atol=1e-9)
    np.testing.assert_allclose(
        forest.raw(new), model.predict(new, raw_score=True).reshape(len(X), -1), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("boosting", ["dart", "rf"])
def test_lightgbm_boosting_types(boosting):
    X, y = data()
    params = {
        "objective": "regression",
        "verbose": -1,
        "num_threads": 1,
        "boosting": boosting,
        "bagging_freq": 1,
        "bagging_fraction": 0.6,
    }
    model = lgb.train(params, lgb.Dataset(X, y), 30)
    forest = read_lightgbm(model.model_to_string()).forest
    np.testing.assert_allclose(forest.raw(X)[:, 0], model.predict(X), rtol=0, atol=1e-12)


@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_sklearn(missing):
    X, y = data(missing=missing)
    classifier = RandomForestClassifier(20, random_state=0).fit(X, np.digitize(y, [-0.3, 0.3]))
    np.testing.assert_allclose(read_sklearn(classifier.estimators_, 3).raw(X), classifier.predict_proba(X), atol=1e-12)
    regressor = RandomForestRegressor(20, random_state=0).fit(X, y)
    np.testing.assert_allclose(read_sklearn(regressor.estimators_, 1).raw(X)[:, 0], regressor.predict(X), atol=1e-12)


def test_thresholds_are_met_exactly():
    """Values on and next to a split go where the library sends them (float32 in XGBoost and scikit-learn)."""
    X, y = data(missing=0.0)
    model = xgb.train({"max_depth": 4, "verbosity": 0, "nthread": 1}, xgb.DMatrix(X, y), 10)
    forest = read_xgboost(model.save_raw("json")).forest
    cuts = np.unique(forest.threshold[forest.feature >= 0])
    values = np.concatenate(
        [np.nextafter(cuts, side) for side in (-np.inf, np.inf)]
        + [cuts, np.nextafter(cuts.astype("f4"), np.float32(np.inf))]
    )
    grid = np.tile(values[:, None], (1, 6))
    np.testing.assert_allclose(forest.raw(grid)[:, 0], model.predict(xgb.DMatrix(grid)), rtol=0, atol=1e-6)


def test_what_is_not_supported_is_named():
    X, y = data(missing=0.0)
    codes = np.abs(X[:, :1] * 3).astype(int)
    mixed = np.column_stack([codes, X[:, 1:]])
    model = lgb.train(
        {"verbose": -1, "num_threads": 1, "min_data_per_group": 1, "cat_smooth": 0},
        lgb.Dataset(mixed, y + codes[:, 0], categorical_feature=[0]),
        5,
    )
    with pytest.raises(InvalidState, match="categorical"):
        read_lightgbm(model.model_to_string())
    model = lgb.train({"verbose": -1, "num_threads": 1, "linear_tree": True}, lgb.Dataset(X, y), 5)
    with pytest.raises(InvalidState, match="linear"):
        read_lightgbm(model.model_to_string())
    model = xgb.train({"objective": "count:poisson", "verbosity": 0, "nthread": 1}, xgb.DMatrix(X, np.abs(y)), 2)
    with pytest.raises(InvalidState, match="count:poisson"):
        read_xgboost(model.save_raw("json"))
    types = ["c"] + ["q"] * 5
    matrix = xgb.DMatrix(mixed, y + codes[:, 0], feature_types=types, enable_categorical=True)
    with pytest.raises(InvalidState, match="categorical"):
        read_xgboost(xgb.train({"verbosity": 0, "nthread": 1, "max_cat_to_onehot": 1}, matrix, 5).save_raw("json"))


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", '{"learner": 3}', "tree\nnum_class=1", "Tree=0\nnum_leaves=5", "\x00" * 50]
)
def test_other_texts_are_refused(text):
    with pytest.raises(InvalidState):
        read_xgboost(text)
    with pytest.raises(InvalidState):
        read_lightgbm(text)


def test_damaged_texts_never_crash():
    X, y = data(n=200)
    rng = np.random.default_rng(0)
    json_text = bytes(xgb.train({"max_depth": 3, "verbosity": 0, "nthread": 1}, xgb.DMatrix(X, y), 3).save_raw("json"))
    plain_text = (
        lgb.train({"verbose": -1, "num_threads": 1, "num_leaves": 6}, lgb.Dataset(X, y), 3).model_to_string().encode()
    )
    for text, read in ((json_text, read_xgboost), (plain_text, lambda data: read_lightgbm(data.decode("latin1")))):
        for _ in range(150):
            damaged = bytearray(text)
            for _ in range(int(rng.integers(1, 4))):
                damaged[rng.integers(len(damaged))] = rng.choice(list(b"0123456789-.e[]{} =\n\x00\xff"))
            try:
                read(bytes(damaged)).forest.raw(np.zeros((2, 6)))
            except (InvalidState, ValueError):  # ValueError: X has not as many features as the damaged text says
                continue


def test_docstrings():
    result = doctest.testmod(forest_formats)
    assert result.attempted and not result.failed
