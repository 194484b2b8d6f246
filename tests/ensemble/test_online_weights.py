import dataclasses

import numpy as np
import pytest

from consilience.base import InvalidInput, InvalidState
from consilience.ensemble import OnlineWeights
from tests.support.tables import log_loss, table


def changing(n=1500, seed=0):
    """Two members; the first is right in the first half, the second in the second."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 2, n)
    sure = np.where(codes == 1, 0.65, 0.35)
    noise = rng.permutation(sure)
    half = np.arange(n) < n // 2
    up = np.stack([np.where(half, sure, noise), np.where(half, noise, sure)])
    return np.stack([1 - up, up], axis=-1), codes


def ready(method="fixed_share", **params):
    weights = OnlineWeights(["a", "b"], method=method, **params)
    proba, codes = changing(200)
    for row, code in enumerate(codes):
        weights.observe(proba[:, row], int(code), regime=row % weights.n_regimes)
    return weights


@pytest.mark.parametrize("method", ["fixed_share", "exponential", "window"])
def test_run_is_causal(method):
    proba, codes = changing(300)
    time = np.arange(300)
    whole = OnlineWeights(["a", "b"], method=method).run(proba, codes, time, time + 5)
    later = codes.copy()
    later[150:] = 1 - later[150:]
    changed = OnlineWeights(["a", "b"], method=method).run(proba, later, time, time + 5)
    np.testing.assert_array_equal(whole[: 150 + 6], changed[: 150 + 6])
    assert not np.allclose(whole[156:], changed[156:]), "the check must be able to fail"
    cut = OnlineWeights(["a", "b"], method=method).run(proba[:, :200], codes[:200], time[:200], time[:200] + 5)
    np.testing.assert_array_equal(whole[:200], cut)


def test_fixed_share_follows_a_change_and_overtakes_fixed_weights():
    proba, codes = changing()
    time = np.arange(len(codes))
    followed = OnlineWeights(["a", "b"], share=0.01).run(proba, codes, time, time)
    after = slice(len(codes) // 2 + 50, None)
    assert log_loss(followed[after], codes[after]) < log_loss(proba.mean(axis=0)[after], codes[after]) - 0.01
    stuck = OnlineWeights(["a", "b"], method="exponential").run(proba, codes, time, time)
    assert log_loss(followed[after], codes[after]) < log_loss(stuck[after], codes[after]) - 0.01


@pytest.mark.parametrize("method", ["fixed_share", "exponential"])
def test_reported_regret_is_within_its_bound(method):
    data = table(n=800, signal=1.0)
    weights = OnlineWeights(data.names, method=method)
    said = weights.run(data.outputs, data.target, data.begin, data.begin)
    regret = weights.regret()
    assert regret["regret"] <= regret["bound"]
    assert regret["own"] == pytest.approx(800 * log_loss(said, data.target), rel=0.01)


def test_regimes_have_weights_of_their_own():
    proba, codes = changing()
    weights = OnlineWeights(["a", "b"], n_regimes=2, share=0.001)
    for row, code in enumerate(codes):
        weights.observe(proba[:, row], int(code), regime=int(row >= len(codes) // 2))
    assert weights.weights(0)["a"] > 0.9 and weights.weights(1)["b"] > 0.9
    np.testing.assert_allclose(weights.array(np.array([0.25, 0.75])), 0.25 * weights.array(0) + 0.75 * weights.array(1))


@pytest.mark.parametrize("metric", ["win_rate", "mean_profit", "sharpe"])
def test_window_counts_after_the_minimum_of_trades(metric):
    weights = OnlineWeights(["a", "b"], method="window", metric=metric, window=30, min_trades=10)
    for trade in range(9):
        weights.update("a", 0, 1.0 + 0.1 * trade)
    assert weights.weights() == {"a": 0.5, "b": 0.5}
    for trade in range(20):
        weights.update("a", 0, 1.0 + 0.1 * trade)
        weights.update("b", 0, -1.0 + 0.1 * (trade % 3))
    assert weights.weights()["a"] == 1.0
    for trade in range(30):
        weights.update("a", 0, -1.0 - 0.1 * trade)
        weights.update("b", 0, 1.0 + 0.1 * trade)
    assert weights.weights()["b"] == 1.0, "what left the window is forgotten"


def test_report_by_hand():
    weights = OnlineWeights(["a", "b"], method="window", n_regimes=2, periods_per_year=4.0)
    profits = [1.0, -0.5, 2.0]
    for profit in profits:
        sure_a = 0.9 if profit > 0 else 0.1
        weights.combine(np.array([[1 - sure_a, sure_a], [0.4, 0.6]]), 1)
        weights.update("b", 1, profit, outcome=1)
    row = weights.report().loc[(1, "b")]
    assert row["trades"] == 3 and row["win_rate"] == pytest.approx(2 / 3) == row["agreement"]
    assert row["mean_profit"] == pytest.approx(np.mean(profits))
    assert row["sharpe"] == pytest.approx(np.mean(profits) / np.std(profits, ddof=1) * 2.0)
    assert weights.report().loc[(0, "b"), "trades"] == 0


def test_an_absent_member_gets_no_weight_and_no_entry():
    weights = ready()
    alive = np.array([False, True])
    before = weights.report().loc[(0, "a"), "trades"]
    weights.observe(np.array([[np.nan, np.nan], [0.3, 0.7]]), 1, alive=alive)
    assert weights.report().loc[(0, "a"), "trades"] == before
    assert weights.array(0, alive).tolist() == [0.0, 1.0]
    assert np.isfinite(weights.combine(np.array([[np.nan, np.nan], [0.3, 0.7]]), alive=alive)).all()


@pytest.mark.parametrize("method", ["fixed_share", "exponential", "window"])
def test_saved_and_loaded_it_goes_on_as_before(method, tmp_path):
    weights = ready(method, n_regimes=2)
    weights.save(tmp_path / "weights")
    again = OnlineWeights.load(tmp_path / "weights")
    assert again.get_state().digest() == weights.get_state().digest()
    for each in (weights, again):
        each.observe(np.array([[0.2, 0.8], [0.6, 0.4]]), 0)
    np.testing.assert_array_equal(again.array(), weights.array())
    assert again.report().equals(weights.report())


@pytest.mark.parametrize(
    "spec,arrays",
    [
        ({"n_regimes": 10**12}, {}),
        ({"window": 10**12}, {}),
        ({"window": -1}, {}),
        ({"members": ["a", "a"]}, {}),
        ({"method": "magic"}, {}),
        ({"surprise": 1}, {}),
        ({}, {"log_weights": np.full((1, 2), np.nan)}),
        ({}, {"log_weights": np.zeros((1, 3))}),
        ({}, {"steps": np.zeros(1)}),
    ],
)
def test_damaged_states_are_refused(spec, arrays):
    state = ready().get_state()
    with pytest.raises(InvalidState):
        OnlineWeights.from_state(
            dataclasses.replace(state, spec={**state.spec, **spec}, arrays={**state.arrays, **arrays})
        )


@pytest.mark.parametrize(
    "params", [{"method": "best"}, {"share": 1.0}, {"window": 0}, {"metric": "luck"}, {"n_regimes": 0}]
)
def test_parameters_that_cannot_be_used(params):
    with pytest.raises(InvalidInput, match=f"'{next(iter(params))}' parameter of OnlineWeights"):
        OnlineWeights(["a", "b"], **params)


def test_misspelt_members_and_regimes():
    weights = OnlineWeights(["trend", "reversal"])
    with pytest.raises(InvalidInput, match="Did you mean 'trend'"):
        weights.update("trned", 0, 1.0)
    with pytest.raises(InvalidInput, match="'regime'"):
        weights.update("trend", 1, 1.0)
    with pytest.raises(InvalidInput, match="'outcome'"):
        weights.observe(np.full((2, 2), 0.5), 2)


@pytest.mark.parametrize("method", ["fixed_share", "exponential", "window"])
def test_members_that_report_one_by_one_are_as_good_as_one_observation(method):
    proba, codes = changing(60)
    whole, single = (OnlineWeights(["a", "b"], method=method, min_trades=5) for _ in range(2))
    for row, code in enumerate(codes):
        whole.observe(proba[:, row], int(code))
        single.combine(proba[:, row])
        for name in ("b", "a"):
            single.update(name, outcome=int(code))
    np.testing.assert_allclose(single.array(), whole.array(), atol=1e-12)
    assert single.report().equals(whole.report())
    if method != "window":
        assert abs(whole.array()[0] - 0.5) > 0.2, "they must have learnt something"
        assert single.regret() == pytest.approx(whole.regret())


def test_an_outcome_alone_moves_the_weight_of_its_member():
    weights = OnlineWeights(["a", "b"], method="exponential")
    weights.combine(np.array([[0.2, 0.8], [0.5, 0.5]]))
    weights.update("a", outcome=1)
    assert weights.weights()["a"] > 0.55
    weights.combine(np.array([[0.2, 0.8], [0.5, 0.5]]))
    weights.update("a", outcome=1, proba=np.array([0.9, 0.1]))
    assert weights.weights()["a"] < 0.3


def test_what_a_method_cannot_learn_from_is_refused():
    weights = OnlineWeights(["a", "b"])
    before = weights.get_state().digest()
    for call, word in (
        (lambda: weights.update("a", 0, 1.0), "'outcome'"),
        (lambda: weights.update("a"), "'outcome'"),
        (lambda: weights.update("a", outcome=1), "'proba'"),
        (lambda: weights.update("a", outcome=1, proba=np.array([0.5, 0.5])), "'outcome'"),
    ):
        with pytest.raises(InvalidInput, match=word):
            call()
    assert weights.get_state().digest() == before
    weights.combine(np.array([[0.2, 0.8], [0.5, 0.5]]))
    weights.update("a", outcome=1)
    with pytest.raises(InvalidInput, match="reported once"):
        weights.update("a", outcome=1)


SAID = np.array([[0.3, 0.7], [0.6, 0.4]])


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"outcome": 0.5}, "outcome"),
        ({"outcome": True}, "outcome"),
        ({"outcome": 2}, "outcome"),
        ({"outcome": 1, "profit": 1.0}, "profit"),
        ({"outcome": 1, "profit": [1.0, np.nan]}, "profit"),
        ({"outcome": 1, "profit": [1.0]}, "profit"),
        ({"outcome": 1, "alive": [True]}, "alive"),
        ({"outcome": 1, "alive": [0.2, 0.1]}, "alive"),
        ({"outcome": 1, "regime": 0.5}, "regime"),
        ({"outcome": 1, "proba": SAID * 2}, "proba"),
        ({"outcome": 1, "proba": SAID[:, :1]}, "proba"),
        ({"outcome": 1, "proba": SAID * np.nan}, "proba"),
    ],
)
def test_what_cannot_be_observed_leaves_nothing_behind(arguments, word):
    weights = ready()
    before = weights.get_state().digest()
    with pytest.raises(InvalidInput, match=f"'{word}' parameter of OnlineWeights"):
        weights.observe(**{"proba": SAID, **arguments})
    assert weights.get_state().digest() == before


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda p, c, b, e: (p[:1], c, b, e), "proba"),
        (lambda p, c, b, e: (p, c[:-1], b, e), "codes"),
        (lambda p, c, b, e: (p, c * 0.5, b, e), "codes"),
        (lambda p, c, b, e: (p, c + 1, b, e), "outcome"),
        (lambda p, c, b, e: (p, c, b[::-1], e), "begin"),
        (lambda p, c, b, e: (p, c, b, e - 10), "end"),
        (lambda p, c, b, e: (p * np.nan, c, b, e), "proba"),
    ],
)
def test_histories_that_do_not_fit_are_refused(change, word):
    proba, codes = changing(40)
    weights, time = ready(), np.arange(40)
    before = weights.get_state().digest()
    with pytest.raises(InvalidInput, match=f"'{word}' parameter of OnlineWeights"):
        weights.run(*change(proba, codes, time, time + 2))
    assert weights.get_state().digest() == before


def test_a_history_with_absent_members():
    proba, codes = changing(300)
    alive = np.ones((2, 300), bool)
    alive[0, 100:200] = False
    time = np.arange(300)
    gone = np.where(alive[:, :, None], proba, np.nan)
    weights = OnlineWeights(["a", "b"])
    said = weights.run(gone, codes, time, time, alive=alive)
    np.testing.assert_allclose(said[100:200], proba[1, 100:200], atol=1e-12)
    assert np.isfinite(said).all() and weights.report().loc[(0, "a"), "trades"] == 199
