"""Votes, specialists, online weights and conformal sets on degenerate tables: what each guarantees."""

import dataclasses

import numpy as np
import pytest
from hypothesis import assume
from hypothesis import strategies as st

from consilience.base import InvalidInput
from consilience.ensemble import OnlineWeights, conformal
from consilience.ensemble.combine import FLOOR
from consilience.ensemble.diversity import leaders
from consilience.ensemble.pool import shift_limit
from consilience.ensemble.selection import fit_specialists, said_by_specialists
from consilience.ensemble.vote_pools import HardVote, MeanVote, SoftVote
from consilience.ensemble.weight_search import SEARCHES, best_weights, said_by_votes, searched_weights
from tests.support.campaign import holds_for
from tests.support.degenerate_tables import build, tables

ANY = tables("classes", max_members=12) | tables("values", max_members=12)
SEARCH = st.sampled_from(SEARCHES)
METHODS = ("fixed_share", "exponential", "window")


def vote_of(table):
    base = np.full(table.outputs.shape[2], 1.0 / table.outputs.shape[2]) if table.outputs.ndim == 3 else np.zeros(())
    kind = SoftVote if table.outputs.ndim == 3 else MeanVote
    return lambda weights: kind(base, weights)


@pytest.mark.filterwarnings("error")
@holds_for(ANY, SEARCH)
def test_searched_weights_are_on_the_simplex(table, method):
    for weights in (best_weights(table, np.arange(table.n_rows), method), searched_weights(table, method)):
        assert np.isfinite(weights).all() and (weights >= 0.0).all()
        assert abs(weights.sum() - 1.0) < 1e-9


@pytest.mark.filterwarnings("error")
@holds_for(tables("classes", max_members=12), SEARCH)
def test_votes_are_probabilities_and_their_loss_is_bounded(table, method):
    make = vote_of(table)
    for fold, output in said_by_votes(table, method, make).items():
        assert np.isfinite(output).all() and output.min() >= FLOOR * 0.999
        np.testing.assert_allclose(output.sum(axis=1), 1.0)
        assert len(output) == (table.fold == fold).sum()
    pool = make(searched_weights(table, method))
    parts, base = pool.contributions(table.outputs)
    output = pool.combine(table.outputs)
    odds = np.log(output[:, 1:] / output[:, :1])
    np.testing.assert_allclose(base + parts.sum(axis=0), odds, atol=1e-6)
    shares = HardVote(pool.base, pool.weights).combine(table.outputs)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)


@pytest.mark.filterwarnings("error")
@holds_for(ANY, st.sampled_from(["simplex", "greedy"]))
def test_a_search_is_no_worse_than_equal_weights_on_its_rows(table, method):
    """Simplex by construction; greedy up to its steps of 1/20 and the members that a bag leaves out."""
    assume(table.outputs.ndim == 3)
    weights, equal = (
        best_weights(table, np.arange(table.n_rows), method),
        np.full(len(table.names), 1 / len(table.names)),
    )
    picked = np.maximum(table.outputs[:, np.arange(table.n_rows), table.target], FLOOR)
    found, plain = (-table.weight @ np.log(np.maximum(w @ picked, FLOOR)) for w in (weights, equal))
    assert found <= plain + (1e-9 if method == "simplex" else 0.25 * table.weight.sum()) + 1e-9 * abs(plain)


@holds_for(ANY, st.sampled_from(["simplex", "performance"]), st.randoms(use_true_random=False))
def test_permuting_members_permutes_searched_votes(table, method, random):
    order = list(range(len(table.names)))
    random.shuffle(order)
    one = best_weights(table, np.arange(table.n_rows), method)
    other = best_weights(table.members(np.array(order)), np.arange(table.n_rows), method)
    outputs = table.outputs if table.outputs.ndim == 3 else table.outputs[..., None]
    mixed = [np.tensordot(w, o, axes=1) for w, o in ((one, outputs), (other, outputs[order]))]
    size = np.abs(outputs).max() if table.outputs.ndim == 2 else 1.0
    if method == "performance":
        np.testing.assert_allclose(other, one[order], atol=1e-9)
    elif table.outputs.ndim == 3:
        picked = [np.maximum(m[np.arange(table.n_rows), table.target], FLOOR) for m in mixed]
        assert abs(table.weight @ np.log(picked[0] / picked[1])) <= 1e-3 * table.n_rows
    else:
        assert np.isfinite(mixed[0]).all() and np.abs(mixed[0]).max() <= size * (1 + 1e-9)


@pytest.mark.filterwarnings("error")
@holds_for(ANY)
def test_specialists_lose_no_more_than_the_bound(table):
    pool = fit_specialists(table)
    output = pool.combine(table.outputs, table.regimes)
    assert np.isfinite(output).all() and set(np.unique(pool.weights)) <= {0.0, 1.0}
    for said in said_by_specialists(table).values():
        assert np.isfinite(said).all()
    if table.outputs.ndim == 3:
        own = -np.log(output[np.arange(table.n_rows), table.target])
        assert (own <= -np.log(pool.base[table.target]) + shift_limit(pool.base) + 1e-9).all()


@pytest.mark.filterwarnings("error")
@holds_for(ANY, st.floats(0.0, 1.0))
def test_leaders_lead_themselves(table, limit):
    leader = leaders(table, limit)
    assert (leader[leader] == leader).all()


@pytest.mark.filterwarnings("error")
@holds_for(tables("classes", max_members=8), st.sampled_from(METHODS), st.floats(0.0, 0.9))
def test_online_weights_keep_their_bound_on_any_stream(table, method, share):
    """Every label known before the next row: the regret in nats is at most the bound."""
    online = OnlineWeights(list(table.names), method=method, share=share, window=7, min_trades=2)
    n_members, n_rows, _ = table.outputs.shape
    alive = np.random.default_rng(n_rows).random((n_members, n_rows)) < 0.8
    alive[0] = True
    outputs = np.where(alive[:, :, None], table.outputs, np.nan)
    steps = np.arange(n_rows) * 2
    out = online.run(outputs, table.target, steps, steps + 1, alive=alive)
    assert np.isfinite(out).all()
    np.testing.assert_allclose(out.sum(axis=1), 1.0)
    weights = online.array()
    assert np.isfinite(weights).all() and (weights >= 0.0).all() and abs(weights.sum() - 1.0) < 1e-9
    told = online.regret()
    assert told["regret"] <= told["bound"] + 1e-6
    assert online.report().shape == (n_members, 5)


@pytest.mark.parametrize("metric", ["win_rate", "mean_profit", "sharpe"])
def test_equal_profits_are_no_infinite_skill(metric):
    online = OnlineWeights(["a", "b"], method="window", metric=metric, min_trades=2)
    rng = np.random.default_rng(0)
    for _ in range(50):
        profit = [0.1, 0.1 + 0.01 * rng.standard_normal()]
        online.observe(np.array([[0.4, 0.6], [0.4, 0.6]]), 1, profit=profit)
    assert np.isfinite(online.array()).all() and online.array()[1] > 0.4


def test_a_profit_that_cannot_be_squared_is_refused():
    online = OnlineWeights(["a"], method="window")
    with pytest.raises(InvalidInput, match="'profit'"):
        online.observe(np.array([[0.5, 0.5]]), 1, profit=[1e200])
    with pytest.raises(InvalidInput, match="'profit'"):
        online.update("a", profit=np.inf)
    assert online.report()["trades"].sum() == 0


@pytest.mark.filterwarnings("error")
@holds_for(ANY, st.floats(0.01, 0.99))
def test_conformal_limits_hold_what_they_promise(table, coverage):
    """The share of the scores within the limit is at least the coverage, or the limit is infinite."""
    first = table.outputs[0]
    score = conformal.class_scores if table.outputs.ndim == 3 else conformal.value_scores
    scores = score(first, table.target)
    limit = conformal.threshold(scores, coverage)
    assert np.isinf(limit) or np.mean(scores <= limit) >= coverage
    blocks = conformal.coverage_over_time(scores, table.begin, table.end, coverage)
    assert blocks["coverage"].between(0.0, 1.0).all()


def test_weights_that_are_scaled_change_nothing():
    table = build("classes", ["weak", "noise", "sure"], n=200, weights_of_zero=True)
    for method in SEARCHES:
        plain = best_weights(table, np.arange(200), method)
        other = best_weights(dataclasses.replace(table, weight=table.weight * 1e-200), np.arange(200), method)
        np.testing.assert_allclose(other, plain, atol=1e-6)
