"""The bounds that ``ensemble.shrinkage`` states, on tables of degenerate members."""

import dataclasses

import numpy as np
import pytest
from hypothesis import assume
from hypothesis import strategies as st

from consilience.ensemble.own_record import said_by_pools
from consilience.ensemble.pool import REACH, shift_limit
from consilience.ensemble.pool_fitting import WEIGHT_LIMIT, LogLoss
from consilience.ensemble.shrinkage import EQUAL, candidates, fit_pool, fit_pool_before, walk_forward
from tests.support.campaign import holds_for
from tests.support.degenerate_tables import build, tables

ANY = tables("classes") | tables("values")


def row_losses(table, output):
    """(n,) log loss, or squared error in units of the largest target."""
    if table.outputs.ndim == 3:
        return -np.log(output[np.arange(len(output)), table.target])
    return ((output - table.target) / (np.abs(table.target).max() or 1.0)) ** 2


def base_losses(table, pool):
    return row_losses(
        table, np.tile(pool.base, (table.n_rows, 1)) if table.outputs.ndim == 3 else np.asarray(pool.base)
    )


@pytest.mark.filterwarnings("error")
@holds_for(ANY)
def test_weights_are_finite_and_within_their_limit(table):
    weights = fit_pool(table).weights
    assert np.isfinite(weights).all()
    assert np.abs(weights).max() <= WEIGHT_LIMIT * (1.0 + 1e-9)


@pytest.mark.filterwarnings("error")
@holds_for(ANY)
def test_predictions_are_finite_and_contributions_sum_to_them(table):
    pool = fit_pool(table)
    output = pool.combine(table.outputs, table.regimes)
    parts, base = pool.contributions(table.outputs, table.regimes)
    assert np.isfinite(output).all() and np.isfinite(parts).all()
    if table.outputs.ndim == 3:
        np.testing.assert_allclose(output.sum(axis=1), 1.0)
        odds = np.log(output[:, 1:] / output[:, :1])
        np.testing.assert_allclose(base + parts.sum(axis=0), odds, rtol=1e-6, atol=1e-6)
    else:
        np.testing.assert_allclose(base + parts.sum(axis=0), output, rtol=1e-6, atol=1e-9 * np.abs(output).max())


@holds_for(ANY)
def test_training_loss_is_at_most_the_base_rates(table):
    pool = fit_pool(table)
    ours = table.weight @ row_losses(table, pool.combine(table.outputs, table.regimes))
    base = table.weight @ base_losses(table, pool)
    assert ours <= base + 1e-9 * (base + table.n_rows)


@holds_for(ANY)
def test_no_row_loses_more_than_the_bound(table):
    """Out of fold too, where the members are constant early, sure, and then wrong."""
    pools = [(fit_pool(table), np.ones(table.n_rows, bool))]
    walk = walk_forward(table)
    for fold in np.unique(table.fold):
        pool = fit_pool_before(table, walk, fold)
        if pool is not None:
            pools.append((pool, table.fold == fold))
    for pool, inside in pools:
        rows = table.only(np.flatnonzero(inside))
        output = pool.combine(rows.outputs, rows.regimes)
        if table.outputs.ndim == 3:
            assert (row_losses(rows, output) <= base_losses(rows, pool) + shift_limit(pool.base) + 1e-9).all()
        else:
            assert (np.abs(output - pool.base) <= pool.limit * (1.0 + 1e-12)).all()
            assert pool.limit <= REACH * 2.0 * np.abs(table.target).max() * (1.0 + 1e-12)


@holds_for(ANY, st.randoms(use_true_random=False))
def test_permuting_members_permutes_weights(table, random):
    order = list(range(len(table.names)))
    random.shuffle(order)
    pool, other = fit_pool(table), fit_pool(table.members(np.array(order)))
    np.testing.assert_allclose(other.weights, pool.weights[:, order], rtol=1e-4, atol=1e-5)


def alike_before_a_block_only(table):
    """Whether some members agree on the rows known before a block, but not later: nothing could tell them apart."""
    walk = walk_forward(table)
    flat = table.outputs.reshape(len(table.names), table.n_rows, -1)
    whole = [[np.array_equal(a, b) for b in flat] for a in flat]
    for start in walk.starts:
        known = table.known_before(int(start))
        if not known.any():
            continue
        part = [[np.ptp(a[known] - b[known], axis=0).max() < 0.05 for b in flat] for a in flat]
        if part != whole:
            return True
    return False


@holds_for(tables("classes", max_members=6), st.integers(0, 5))
def test_a_copy_of_a_member_changes_nothing(table, which):
    assume(not alike_before_a_block_only(table))
    copied = np.array([*range(len(table.names)), which % len(table.names)])
    twice = dataclasses.replace(table, names=(*table.names, "copy"), outputs=table.outputs[copied])
    losses = [row_losses(t, fit_pool(t).combine(t.outputs, t.regimes)) for t in (table, twice)]
    assert abs(np.average(losses[0] - losses[1], weights=table.weight)) < 1e-6


@holds_for(tables("classes", max_members=6))
def test_members_that_hardly_move_have_hardly_any_effect(table):
    """The bound on the equal candidate: n·ε²·m·PRIOR_SD²."""
    loss, rows = LogLoss(table.outputs, table.target, table.weight, table.prior), np.arange(table.n_rows)
    anchor = loss.anchor(rows)
    found = candidates(loss, table.regimes, rows, anchor, np.zeros((12, table.regimes.shape[1], len(table.names))))
    assume(found is not None)
    design = loss.design(rows, anchor)
    largest = np.abs(design).max()
    moved = np.abs(np.tensordot(found[EQUAL, 0], design, axes=1)).max()
    assert moved <= table.weight.sum() * largest**2 * len(table.names) * 9.0 * (1.0 + 1e-9)


def test_early_folds_that_are_constant_teach_nothing():
    """What broke before: weights of 1e15 from rounding residues, and a log loss of 8 to 18."""
    for seed in range(5):
        table = build("classes", ["sure", "noise"], n=200, early_constant=True, seed=seed)
        for fold, output in said_by_pools(table).items():
            inside = table.only(np.flatnonzero(table.fold == fold))
            assert row_losses(inside, output).mean() < 0.8


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
def test_values_of_any_scale_are_combined_alike(scale):
    ordinary = build("values", ["weak", "noise"], n=200)
    table = build("values", ["weak", "noise"], n=200, scale=scale)
    np.testing.assert_allclose(fit_pool(table).weights, fit_pool(ordinary).weights, rtol=1e-9)


@pytest.mark.parametrize("size", [20, 50, 200, 1000])
def test_noise_costs_little_out_of_fold(size):
    """On exchangeable rows the mean excess over the base rate is below 10 / n, over 20 draws of any members."""
    excess = []
    for seed in range(20):
        names = np.random.default_rng(seed).choice(["noise", "sure", "constant", "tiny", "far"], 4).tolist()
        table = build("classes", names, n=size, seed=seed)
        for fold, output in said_by_pools(table).items():
            inside = table.only(np.flatnonzero(table.fold == fold))
            known = table.known_before(int(inside.begin.min()))
            counts = table.prior + np.bincount(table.target[known], minlength=2) + 0.5
            excess.append((row_losses(inside, output) + np.log(counts / counts.sum())[inside.target]).mean())
    assert not excess or np.mean(excess) <= 10.0 / size
