import dataclasses

import numpy as np
import pytest

from consilience.ensemble.bayes import Scored, common_movement, half_on_the_first, posterior_shares, repetition
from consilience.ensemble.selection import fit_specialists
from consilience.ensemble.shrinkage import BASE_ONLY, fit_pool, posterior, scored_rows, walk_forward
from consilience.ensemble.weight_search import searched_weights
from tests.support.tables import table


def scored(n=500, n_assets=1, seed=0, common=0.0, horizon=1):
    """Losses of three candidates on n time steps of some assets; ``common`` of their variance is shared by all."""
    rng = np.random.default_rng(seed)
    own, shared = rng.standard_normal((n, n_assets, 3)), rng.standard_normal((n, 1, 3))
    losses = 0.7 + 0.1 * (np.sqrt(1 - common) * own + np.sqrt(common) * shared).reshape(-1, 3)
    begin = np.repeat(np.arange(n), n_assets)
    return Scored(losses, np.ones(n * n_assets), begin, np.full(n * n_assets, horizon), False)


def copied(data, n_copies):
    """The same table with every row there n_copies times, as if that many assets moved as one."""
    rows = np.repeat(np.arange(data.n_rows), n_copies)
    return dataclasses.replace(data.only(rows), rows=np.arange(len(rows)), prior=data.prior * n_copies)


def test_shares_are_bayes_rule():
    one = scored()
    prior = half_on_the_first(3)
    likelihood = np.exp(-(one.losses - one.losses.mean(axis=1, keepdims=True)).sum(axis=0))
    expected = prior * likelihood / (prior @ likelihood)
    np.testing.assert_allclose(posterior_shares(one, prior), expected, rtol=1e-9)


def test_where_nothing_was_scored_the_prior_stays():
    empty = Scored(np.zeros((0, 3)), np.zeros(0), np.zeros(0, int), np.zeros(0), False)
    np.testing.assert_array_equal(posterior_shares(empty, half_on_the_first(3)), [0.5, 0.25, 0.25])


def test_squared_errors_count_in_units_of_the_variance():
    one = dataclasses.replace(scored(), squared=True)
    million = dataclasses.replace(one, losses=one.losses * 1e6)
    prior = half_on_the_first(3)
    np.testing.assert_allclose(posterior_shares(one, prior), posterior_shares(million, prior), rtol=1e-9)


def test_overlapping_labels_count_once():
    assert repetition(scored()) == 1.0
    assert repetition(scored(horizon=20)) == 20.0
    data = table(signal=1.0, n=600)
    wide = dataclasses.replace(data, end=data.begin + 40)
    walk = walk_forward(data)
    assert posterior(wide, walk)[BASE_ONLY] > posterior(data, walk)[BASE_ONLY]


def test_labels_reach_over_steps_after_the_last_row_that_is_known():
    """What is known early is few rows, of which the last reach over steps that nobody has a label of yet."""
    data = table(n=600, horizon=20)
    rows = data.known_before(70)
    assert rows.sum() == 50 and (scored_rows(data, np.zeros((600, 2)), rows).reach == 20).all()


@pytest.mark.parametrize("n_assets, common, expected", [(1, 0.0, 1.0), (5, 0.0, 1.0), (5, 0.5, 3.0), (20, 1.0, 20.0)])
def test_common_movement_is_the_design_effect(n_assets, common, expected):
    """1 + (m - 1) · ρ for m assets of correlation ρ."""
    found = common_movement(scored(4000, n_assets, common=common))
    assert found == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_assets_that_move_as_one_are_few_witnesses_however_few_the_steps(n):
    """A thousand stocks on one day tell of one day, which is too little to estimate how alike they are."""
    assert common_movement(scored(n, 1000, common=1.0)) == pytest.approx(1000, rel=1e-6)


def test_the_candidate_that_repeats_itself_most_sets_the_scale():
    """A wild one whose rows are independent must not hide that another says one thing a hundred times."""
    one, own = scored(400, 20, common=1.0), np.random.default_rng(9)
    one.losses[:, 2] = one.losses[:, 0] + own.standard_normal(len(one.weight))
    assert common_movement(one) == pytest.approx(20, rel=1e-6)


def test_the_order_of_the_rows_plays_no_part():
    one = scored(300, 4, common=0.5)
    mixed = np.random.default_rng(1).permutation(len(one.weight))
    parts = {name: getattr(one, name)[mixed] for name in ("losses", "weight", "begin", "reach")}
    assert common_movement(dataclasses.replace(one, **parts)) == pytest.approx(common_movement(one), rel=1e-9)


def test_a_forecast_of_differences_between_assets_is_not_held_for_a_repeated_one():
    """What it says of one asset it takes back of the other: together they say less than alone, and count in full."""
    one = scored(500)
    both = np.stack([one.losses, 1.4 - one.losses], axis=1).reshape(-1, 3)
    times = np.repeat(one.begin, 2)
    assert common_movement(Scored(both, np.ones(1000), times, np.ones(1000), False)) == 1.0


@pytest.mark.parametrize("n_copies", [3, 10])
@pytest.mark.parametrize("signal", [0.0, 0.25])
def test_a_row_said_many_times_is_one_witness(n_copies, signal):
    """Assets that move as one must change neither what a stack, nor a vote, nor a specialist believes."""
    one = table(n=900, signal=signal, seed=3)
    many = copied(one, n_copies)
    shares = posterior(one, walk_forward(one))
    assert 0.02 < shares[BASE_ONLY] < 0.99, "neither answer is certain, so that repetition would show"
    np.testing.assert_allclose(posterior(many, walk_forward(many)), shares, atol=0.005)
    np.testing.assert_allclose(fit_pool(many).weights, fit_pool(one).weights, atol=0.005)
    np.testing.assert_allclose(searched_weights(many, "simplex"), searched_weights(one, "simplex"), atol=1e-6)


def test_a_specialist_needs_rows_that_do_not_repeat_each_other():
    """In a regime of few rows the best member of all rows stays, however often these rows are said."""
    one = table(n=900, signal=0.5, seed=4)
    few = (np.arange(900) % 30 == 0).astype(float)
    one = dataclasses.replace(one, regimes=np.stack([1.0 - few, few], axis=1))
    chosen, many = fit_specialists(one).weights, copied(one, 30)
    np.testing.assert_array_equal(fit_specialists(many).weights, chosen)
    rows = np.arange(many.n_rows)
    apart = dataclasses.replace(many, begin=rows, end=rows + 1)
    assert not np.array_equal(fit_specialists(apart).weights, chosen), "the check must be able to fail"
