import doctest

import numpy as np
import pandas as pd
import pytest
from numba import config
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from consilience.base import InvalidInput, InvalidState, State, restore
from consilience.kernels import RegimeFeatures, hmm, regime_features
from tests.contracts.predictor import check_causal, market

pytestmark = pytest.mark.skipif(config.DISABLE_JIT, reason="whole fits; their kernels are tested without the JIT too")

_SEQUENTIAL = "a regime depends on the rows before it, so rows cannot be taken out or reordered"


@parametrize_with_checks(
    [RegimeFeatures(n_iter=10, n_init=1, random_state=0)],
    expected_failed_checks=lambda estimator: {
        "check_methods_subset_invariance": _SEQUENTIAL,
        "check_methods_sample_order_invariance": _SEQUENTIAL,
        "check_transformer_preserve_dtypes": "transform gives a DataFrame, which has no single dtype",
    },
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("assets", [1, 3])
def test_causal_and_within_its_lookback(assets):
    X, _ = market(n_rows=300, assets=assets)
    model = RegimeFeatures(window=40, random_state=0).fit(X)
    out = model.transform(X)
    assert out.index.equals(X.index) and np.isfinite(out.to_numpy()).all()
    check_causal(lambda frame: model.transform(frame).to_numpy(), X)
    if assets == 1:
        tail = model.transform(X.iloc[-model.lookback - 5 :]).iloc[-5:]
        np.testing.assert_allclose(tail, out.iloc[-5:], atol=1e-9)


def test_the_columns_mean_what_they_say():
    X, _ = market(n_rows=300)
    model = RegimeFeatures(n_components=2, window=50, random_state=0).fit(X)
    out = model.transform(X)
    proba = out[["regime_0", "regime_1"]].to_numpy()
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(out[["next_0", "next_1"]], proba @ model.transmat_, atol=1e-12)
    age, states = 0, proba.argmax(axis=1)
    for row in range(len(X)):
        age = age + 1 if row and states[row] == states[row - 1] else 1
        assert out["regime_age"].iloc[row] == min(age, 50)
    assert out["regime_entropy"].between(0, np.log(2) + 1e-12).all()


def test_change_is_the_probability_of_a_switch():
    """Two rows, one window: the joint of both states, written out."""
    X, _ = market(n_rows=200)
    model = RegimeFeatures(n_components=2, window=500, random_state=0).fit(X)
    two = X.iloc[:2]
    p = model._filter.parameters
    start = model.transform(two)[["regime_0", "regime_1"]].to_numpy()[0]
    density = np.exp(hmm.log_density(model._filter.standardized(two.to_numpy()), p))
    joint = start[:, None] * p.transmat * density[1]
    expected = 1 - np.trace(joint) / joint.sum()
    assert model.transform(two)["regime_change"].iloc[1] == pytest.approx(expected, rel=1e-9)


def test_panels_keep_assets_apart():
    X, _ = market(assets=2)
    model = RegimeFeatures(random_state=0).fit(X)
    own = X.index.get_level_values("asset") == "a1"
    np.testing.assert_allclose(model.transform(X[own]), model.transform(X)[own], atol=1e-12)


def test_state_round_trip():
    X, _ = market()
    model = RegimeFeatures(columns=["f1"], random_state=0).fit(X)
    again = restore(model.get_state())
    pd.testing.assert_frame_equal(again.transform(X), model.transform(X), check_exact=True)
    assert again.get_state().digest() == model.get_state().digest()
    state = model.get_state()
    with pytest.raises(InvalidState):
        restore(State(state.kind, state.spec, {**state.arrays, "transmat": np.eye(2)}))
    assert clone(model).get_params() == model.get_params()


def test_wrong_parameters_are_named():
    X, _ = market()
    with pytest.raises(InvalidInput, match="window"):
        RegimeFeatures(window=0).fit(X)
    with pytest.raises(InvalidInput, match="columns"):
        RegimeFeatures(columns=["nothing"]).fit(X)


def test_docstrings():
    assert doctest.testmod(regime_features).failed == 0
