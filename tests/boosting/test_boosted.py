"""What the two boosting libraries share: objectives, constraints, continued training, devices, native files."""

import lightgbm as lgb
import numpy as np
import pytest
import xgboost as xgb

from consilience.base import InvalidInput, InvalidState, State, restore
from consilience.boosting import LightGBMClassifier, LightGBMRegressor, XGBoostClassifier, XGBoostRegressor, hardware
from tests.contracts.predictor import market

CLASSIFIERS = [XGBoostClassifier, LightGBMClassifier]
REGRESSORS = [XGBoostRegressor, LightGBMRegressor]
PLAIN = {"subsample": 1.0, "colsample_bytree": 1.0}


def skewed(n_rows=1500):
    """A target whose noise is skewed and grows with the second feature."""
    X, _ = market(n_rows)
    noise = np.random.default_rng(1).exponential(1.0, n_rows) * (0.2 + (X["f1"].to_numpy() > 0))
    return X, X["f0"].to_numpy() + noise


@pytest.mark.parametrize("kind", CLASSIFIERS + REGRESSORS)
@pytest.mark.parametrize("constraints", [{"f0": -1}, [-1, 0, 0, 0]])
def test_monotone_constraints_hold(kind, constraints):
    X, y = market(400)
    model = kind(n_estimators=60, learning_rate=0.2, monotone_constraints=constraints).fit(X, y)
    grid = X.iloc[np.repeat(np.arange(20), 30)].copy()
    grid["f0"] = np.tile(np.linspace(-3, 3, 30), 20)
    out = model.predict_proba(grid)[:, 1] if hasattr(model, "predict_proba") else model.predict(grid)
    assert (np.diff(out.reshape(20, 30), axis=1) <= 1e-12).all()
    np.testing.assert_array_equal(restore(model.get_state()).predict(X), model.predict(X))


@pytest.mark.parametrize("kind", CLASSIFIERS)
@pytest.mark.parametrize(
    "constraints, words", [({"fo": 1}, "Did you mean 'f"), ([1, 0], "2 entries for 4"), ({"f0": 2}, "-1, 0 or 1")]
)
def test_bad_constraints_are_named(kind, constraints, words):
    X, y = market(100)
    with pytest.raises(InvalidInput, match=words):
        kind(monotone_constraints=constraints).fit(X, y)


@pytest.mark.parametrize(
    "low, high",
    [
        [XGBoostRegressor(objective="reg:quantileerror", quantile_alpha=q) for q in (0.1, 0.9)],
        [LightGBMRegressor(objective="quantile", alpha=q) for q in (0.1, 0.9)],
    ],
)
def test_quantiles_are_quantiles(low, high):
    X, y = skewed()
    for model, level in ((low, 0.1), (high, 0.9)):
        model.set_params(n_estimators=150, learning_rate=0.1).fit(X, y)
        assert (y <= model.predict(X)).mean() == pytest.approx(level, abs=0.05)


@pytest.mark.parametrize("kind", REGRESSORS)
def test_an_interval_covers_what_it_says_and_is_stored(kind):
    X, y = skewed(3000)
    model = kind(interval=0.8, learning_rate=0.1, n_estimators=60).fit(X[:2000], y[:2000])
    ends = model.predict_interval(X[2000:])
    assert (ends[:, 0] <= ends[:, 1]).all()
    assert ((ends[:, 0] <= y[2000:]) & (y[2000:] <= ends[:, 1])).mean() == pytest.approx(0.8, abs=0.07)
    np.testing.assert_array_equal(restore(model.get_state()).predict_interval(X), model.predict_interval(X))
    state = model.get_state()
    broken = {**state.arrays, "lower_threshold": state.arrays["lower_threshold"][:-1]}
    with pytest.raises(InvalidState):
        restore(State(state.kind, state.spec, broken))
    with pytest.raises(InvalidInput, match="without an interval"):
        model.set_params(interval=None).fit(X, y).predict_interval(X)


@pytest.mark.parametrize(
    "square, huber",
    [
        (XGBoostRegressor(), XGBoostRegressor(objective="reg:pseudohubererror", huber_slope=0.5)),
        (LightGBMRegressor(), LightGBMRegressor(objective="huber", alpha=0.5)),
    ],
)
def test_huber_shrugs_off_outliers(square, huber):
    X, _ = market(800)
    clean = X["f0"].to_numpy()
    y = clean.copy()
    y[::20] += 50.0
    errors = [np.abs(m.set_params(learning_rate=0.1).fit(X, y).predict(X) - clean).mean() for m in (square, huber)]
    assert errors[1] < 0.2 * errors[0]
    (text,) = huber.native_files().values()
    np.testing.assert_allclose(type(huber).adopt(text).predict(X.to_numpy()), huber.predict(X), atol=1e-12)


def test_more_training_is_the_libraries_own_continuation():
    X, y = market(600)
    first, later = (X[:400], y[:400]), (X[400:], y[400:])
    ours = XGBoostClassifier(n_estimators=20, **PLAIN).fit(*first).fit_more(*later)
    settings = XGBoostClassifier(n_estimators=20, **PLAIN).fit(*first)._settings(xgb)
    settings |= {"objective": "binary:logistic"}
    start = xgb.train(settings, xgb.DMatrix(*first), 20)
    theirs = xgb.train(settings, xgb.DMatrix(*later), 20, xgb_model=start)
    np.testing.assert_allclose(ours.predict_proba(X)[:, 1], theirs.predict(xgb.DMatrix(X)), atol=1e-6)
    ours = LightGBMClassifier(n_estimators=20, **PLAIN).fit(*first).fit_more(*later)
    settings = LightGBMClassifier(n_estimators=20, **PLAIN).fit(*first)._settings() | {"objective": "binary"}
    start = lgb.train(settings, lgb.Dataset(*first, params=settings), 20)
    theirs = lgb.train(settings, lgb.Dataset(*later, params=settings), 20, init_model=start)
    np.testing.assert_allclose(ours.predict_proba(X)[:, 1], theirs.predict(X), atol=1e-9)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_more_training_after_a_restore(kind, n_classes):
    X, _ = market(600)
    y = np.digitize(X["f0"], [-0.5, 0.5] if n_classes == 3 else [0.0])
    model = kind(n_estimators=15).fit(X[:300], y[:300])
    before = model.evaluate(X[300:], y[300:])["log_loss"]
    twin = restore(model.get_state())
    for one in (model, twin):
        one.fit_more(X[300:], y[300:], validation=(X[:300], y[:300]))
    np.testing.assert_array_equal(model.predict_proba(X), twin.predict_proba(X))
    assert model.evaluate(X[300:], y[300:])["log_loss"] < before
    assert model.forest_.n_trees == n_classes % 2 * 2 * model.best_iteration_ + model.best_iteration_
    with pytest.raises(InvalidInput, match="y holds the class 9"):
        model.fit_more(X, np.full(600, 9))
    with pytest.raises(InvalidInput, match="lacks the column"):
        model.fit_more(X.drop(columns="f0"), y)
    with pytest.raises(InvalidInput, match="sample_weight"):
        model.fit_more(X, y, sample_weight=-np.ones(600))


@pytest.mark.parametrize("kind", CLASSIFIERS + REGRESSORS)
def test_a_missing_gpu_costs_one_sentence(kind, monkeypatch):
    monkeypatch.setattr(hardware, "has_cuda_gpu", lambda: False)
    X, y = market(100)
    expected = kind(n_estimators=5).fit(X, y).predict(X)
    with pytest.warns(UserWarning, match="trains on the CPU: .*[^.]\\.$") as said:
        out = kind(n_estimators=5, device="cuda").fit(X, y).predict(X)
    assert len(said) == 1
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(kind(n_estimators=5, device="auto").fit(X, y).predict(X), expected)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_native_files_go_out_and_come_back(kind, n_classes, tmp_path):
    X, _ = market(400)
    y = np.array(["a", "b", "c"])[np.digitize(X["f0"], [-0.5, 0.5] if n_classes == 3 else [0.0])]
    model = kind(n_estimators=40, early_stopping_rounds=3, learning_rate=0.5)
    model.fit(X[:300].to_numpy(), y[:300], validation=(X[300:].to_numpy(), y[300:]))
    (name,) = model.native_files()
    path = tmp_path / name
    model.export_native(path)
    adopted = kind.adopt(path, classes=model.classes_)
    np.testing.assert_allclose(adopted.predict_proba(X.to_numpy()), model.predict_proba(X.to_numpy()), atol=1e-9)
    np.testing.assert_array_equal(restore(adopted.get_state()).predict(X.to_numpy()), model.predict(X.to_numpy()))
    theirs = xgb.Booster(model_file=path) if name.endswith("json") else lgb.Booster(model_file=path)
    data = xgb.DMatrix(X.to_numpy()) if name.endswith("json") else X.to_numpy()
    proba = theirs.predict(data)
    expected = model.predict_proba(X.to_numpy())
    np.testing.assert_allclose(proba, expected if n_classes == 3 else expected[:, 1], atol=1e-6)
    restored = restore(model.get_state())
    assert restored.native_files() == {}
    with pytest.raises(InvalidInput, match="was not kept"):
        restored.export_native(path)


def test_what_cannot_be_adopted_is_refused(tmp_path):
    X, y = market(200)
    classifier = XGBoostClassifier(n_estimators=3).fit(X, y)
    regressor = LightGBMRegressor(n_estimators=3).fit(X, y)
    with pytest.raises(InvalidState, match="cannot become"):
        XGBoostRegressor.adopt(classifier.native_files()["model.json"])
    with pytest.raises(InvalidState, match="cannot become"):
        LightGBMClassifier.adopt(regressor.native_files()["model.txt"])
    with pytest.raises(InvalidInput, match="2 different labels"):
        XGBoostClassifier.adopt(classifier.native_files()["model.json"], classes=[1, 2, 3])
    with pytest.raises(InvalidState, match="not an XGBoost model"):
        XGBoostClassifier.adopt(b"{}")
    named = lgb.train({"verbose": -1, "objective": "regression"}, lgb.Dataset(X, y), 3)
    adopted = LightGBMRegressor.adopt(named.model_to_string().encode(), learning_rate=0.5)
    assert list(adopted.feature_names_in_) == list(X.columns) and adopted.learning_rate == 0.5
    np.testing.assert_allclose(adopted.predict(X[X.columns[::-1]]), named.predict(X), atol=1e-12)


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_scale_pos_weight_and_threads(kind):
    X, y = market(400)
    plain, heavy = (kind(n_estimators=30, scale_pos_weight=w).fit(X, y).predict_proba(X)[:, 1].mean() for w in (1, 5))
    assert heavy > plain + 0.1
    with pytest.raises(InvalidInput, match="'n_jobs' parameter"):
        kind(n_jobs=0).fit(X, y)


@pytest.mark.parametrize("kind", CLASSIFIERS + REGRESSORS)
def test_contributions_add_up(kind):
    X, y = market(200)
    for target in [y, np.digitize(X["f0"], [-0.5, 0.5])]:
        model = kind(n_estimators=20).fit(X, target)
        parts = model.contributions(X)
        assert list(parts.index) == list(X.index)
        raw = model.forest_.raw(X.to_numpy())
        if raw.shape[1] == 1:
            assert list(parts.columns) == ["f0", "f1", "f2", "f3", "mean"]
            np.testing.assert_allclose(parts.sum(axis=1), raw[:, 0], atol=1e-5)
        else:
            np.testing.assert_allclose(parts.T.groupby(level="class").sum().T, raw, atol=1e-5)
        np.testing.assert_array_equal(restore(model.get_state()).contributions(X), parts)
