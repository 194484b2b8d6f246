import doctest

import numpy as np
import pandas as pd
import pytest
from numba import config
from sklearn.utils.estimator_checks import parametrize_with_checks

from consilience.base import InvalidInput, InvalidState, State
from consilience.kernels import HMMClassifier, hmm_classifier
from consilience.kernels.hmm_classifier import class_table
from tests.contracts.predictor import check_causal, check_predictor, market

pytestmark = pytest.mark.skipif(config.DISABLE_JIT, reason="whole fits; their kernels are tested without the JIT too")

EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": "weights count in the class table; the HMM sees each row once",
}


@parametrize_with_checks(
    [HMMClassifier(n_iter=10, n_init=1, random_state=0)],
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES,
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("covariance_type", ["spherical", "diag", "full", "tied"])
def test_contract(covariance_type):
    check_predictor(HMMClassifier(covariance_type=covariance_type, random_state=0))


def test_contract_on_a_panel():
    check_predictor(HMMClassifier(columns=["f0", "f1"], window=20, random_state=0), assets=3)


def test_docstrings():
    assert doctest.testmod(hmm_classifier).failed == 0


def test_the_assets_of_a_panel_do_not_touch_each_other():
    X, y = market(assets=2)
    model = HMMClassifier(random_state=0).fit(X, y)
    own = X.index.get_level_values("asset") == "a1"
    np.testing.assert_allclose(model.predict_proba(X[own]), model.predict_proba(X)[own], atol=1e-12)
    other = X.copy()
    other.loc[~own] = 7.0
    np.testing.assert_array_equal(model.predict_proba(other)[own], model.predict_proba(X)[own])


def test_the_causality_test_sees_a_smoothed_regime():
    X, y = market()
    model = HMMClassifier(random_state=0).fit(X, y)

    def leaking(frame):
        return model.predict_proba(frame.iloc[::-1].set_axis(frame.index))[::-1]

    with pytest.raises(AssertionError):
        check_causal(leaking, X)


def test_market_columns_are_found_by_name_and_position():
    X, y = market()
    named = X.rename(columns={"f2": "vol_20", "f1": "ret_1"})
    by_default = HMMClassifier(random_state=0).fit(named, y)
    by_name = HMMClassifier(columns=["ret_1", "vol_20"], random_state=0).fit(named, y)
    by_position = HMMClassifier(columns=[1, 2], random_state=0).fit(X.to_numpy(), y)
    np.testing.assert_array_equal(by_default.predict_proba(named), by_name.predict_proba(named))
    np.testing.assert_array_equal(by_default.predict_proba(named), by_position.predict_proba(X.to_numpy()))
    other = named.assign(f0=0.0)
    np.testing.assert_array_equal(by_default.predict_proba(other), by_default.predict_proba(named))


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"columns": ["f9"]}, "Did you mean"),
        ({"columns": [4]}, "columns"),
        ({"columns": "f0"}, "columns"),
        ({"columns": [0, "f0"]}, "repeat"),
        ({"n_components": 0}, "n_components"),
        ({"covariance_type": "round"}, "covariance_type"),
        ({"window": 0}, "window"),
        ({"smoothing": 0}, "smoothing"),
        ({"n_components": 161}, "161"),
    ],
)
def test_wrong_parameters_are_named(parameters, match):
    X, y = market()
    with pytest.raises(InvalidInput, match=match):
        HMMClassifier(**parameters).fit(X, y)


@pytest.mark.parametrize("covariance_type", ["spherical", "diag", "full", "tied"])
@pytest.mark.parametrize("kind", ["constant", "duplicates", "one constant", "tiny", "huge", "three rows", "spike"])
def test_degenerate_rows_give_finite_probabilities(kind, covariance_type):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 3))
    if kind == "constant":
        X[:] = 5.0
    elif kind == "duplicates":
        X[:] = X[:1] * np.sign(X[:, :1])
    elif kind == "one constant":
        X[:, 1] = -1e9
    elif kind == "tiny":
        X *= 1e-12
    elif kind == "huge":
        X *= 1e100
    elif kind == "three rows":
        X = X[:3]
    elif kind == "spike":
        X[30] = 1e9
    y = np.arange(len(X)) % 2
    model = HMMClassifier(covariance_type=covariance_type, random_state=0).fit(X, y)
    proba = model.predict_proba(X)
    assert np.isfinite(proba).all() and np.allclose(proba.sum(axis=1), 1)


def test_a_regime_that_leads_is_learnt():
    rng = np.random.default_rng(0)
    regime = np.repeat(np.arange(20) % 2, 50)
    X = rng.normal(0, np.where(regime, 3.0, 1.0)[:, None], (1000, 2))
    y = (rng.random(1000) < np.where(regime, 0.2, 0.8)).astype(int)
    model = HMMClassifier(n_components=2, random_state=0).fit(X[:600], y[:600])
    assert model.score(X[600:], y[600:]) > 0.72
    table = model.class_proba_
    assert sorted(np.round(table[:, 1], 1).tolist()) == [0.2, 0.8]


def test_the_class_table_is_the_likeliest():
    rng = np.random.default_rng(0)
    proba = rng.dirichlet(np.ones(3), 400)
    codes = rng.integers(0, 3, 400)
    table = class_table(proba, codes, 3, None, 1e-9)

    def log_likelihood(candidate):
        return np.log((proba @ candidate)[np.arange(400), codes]).sum()

    best = log_likelihood(table)
    for _ in range(200):
        other = 0.98 * table + 0.02 * rng.dirichlet(np.ones(3), 3)
        assert log_likelihood(other) <= best + 1e-6


def test_a_weight_of_zero_removes_a_row_from_the_table():
    X, y = market()
    weight = np.ones(len(y))
    weight[:40] = 0
    flipped = y.copy()
    flipped[:40] = 1 - flipped[:40]
    one = HMMClassifier(random_state=0).fit(X, y, sample_weight=weight)
    two = HMMClassifier(random_state=0).fit(X, flipped, sample_weight=weight)
    np.testing.assert_array_equal(one.class_proba_, two.class_proba_)


def _damaged(state: State, **changes):
    return State(state.kind, state.spec, {**state.arrays, **changes})


@pytest.mark.parametrize(
    "change",
    [
        {"transmat": np.ones((3, 3))},
        {"transmat": np.full((3, 3), np.nan)},
        {"startprob": np.ones(2) / 2},
        {"means": np.zeros((3, 9))},
        {"covars": np.zeros((3, 4))},
        {"columns": np.array([0, 1, 2, 4])},
        {"columns": np.array([0.0, 1, 2, 3])},
        {"scale": np.zeros(4)},
        {"centre": np.zeros(3)},
        {"class_proba": np.full((3, 2), -1.0)},
        {"class_proba": np.full((2, 2), 0.5)},
        {"means": np.zeros((3, 4), np.float32)},
    ],
)
def test_a_damaged_state_is_refused(change):
    X, y = market()
    state = HMMClassifier(random_state=0).fit(X, y).get_state()
    with pytest.raises(InvalidState):
        HMMClassifier.from_state(_damaged(state, **change))


@pytest.mark.parametrize("window", [0, -1, 2.5, "9", True, None, 2**40])
def test_a_damaged_window_is_refused(window):
    X, y = market()
    state = HMMClassifier(random_state=0).fit(X, y).get_state()
    spec = {**state.spec, "fitted": {**state.spec["fitted"], "window": window}}
    with pytest.raises(InvalidState):
        HMMClassifier.from_state(State(state.kind, spec, state.arrays))


def test_a_frame_that_lacks_a_column_is_refused():
    X, y = market()
    model = HMMClassifier(random_state=0).fit(X, y)
    with pytest.raises(InvalidInput, match="f3"):
        model.predict_proba(X.drop(columns="f3"))
    assert isinstance(X, pd.DataFrame)
