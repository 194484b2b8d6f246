import dataclasses

import numpy as np

from consilience.ensemble.shrinkage import blocks, fit_pool, fit_pool_before, walk_forward
from tests.support.tables import log_loss, table


def test_where_there_is_nothing_to_find_the_pool_says_the_base_rate():
    for seed in range(5):
        data, later = table(signal=0.0, seed=seed, n_members=8), table(signal=0.0, seed=100 + seed, n_members=8, n=5000)
        pool = fit_pool(data)
        excess = log_loss(pool.combine(later.outputs), later.target) - log_loss(
            np.tile(pool.base, (5000, 1)), later.target
        )
        assert excess < 0.001


def test_where_there_is_something_the_pool_beats_base_rate_and_equal_vote():
    for seed in range(3):
        data, later = table(signal=1.0, seed=seed), table(signal=1.0, seed=100 + seed, n=5000)
        pool = fit_pool(data)
        found = log_loss(pool.combine(later.outputs), later.target)
        assert found < log_loss(np.tile(pool.base, (5000, 1)), later.target) - 0.03
        assert found < log_loss(later.outputs.mean(axis=0), later.target) - 0.005


def test_useless_members_get_less_weight():
    data = table(signal=1.5, n=4000)
    outputs = data.outputs.copy()
    outputs[0] = table(signal=0.0, n=4000, seed=77).outputs[0]
    pool = fit_pool(dataclasses.replace(data, outputs=outputs))
    assert pool.weights[0, 0] < 0.2 * pool.weights[0, 1:].min()


def test_the_walk_learns_from_labels_known_before_the_block_only():
    """Changing whatever was not yet known when a fold began leaves its pool as it was: no leak, seen row by row."""
    data = table(n=600, horizon=7)
    start = int(data.begin[data.fold == 2].min())
    unknown = ~data.known_before(start)
    target, outputs = data.target.copy(), data.outputs.copy()
    target[unknown] = 1 - target[unknown]
    outputs[:, unknown] = outputs[:, unknown][:, :, ::-1]
    assert (unknown & (data.begin < start)).sum() == 7
    other = dataclasses.replace(data, target=target, outputs=outputs)
    pools = [fit_pool_before(each, walk_forward(each), 2) for each in (data, other)]
    for field in ("base", "centre", "weights"):
        np.testing.assert_array_equal(getattr(pools[0], field), getattr(pools[1], field))
    later = [fit_pool_before(each, walk_forward(each), 3) for each in (data, other)]
    assert not np.allclose(later[0].weights, later[1].weights), "the check must be able to fail"


def test_the_first_fold_has_no_pool():
    data = table(n=600)
    assert fit_pool_before(data, walk_forward(data), 0) is None


def test_blocks_are_in_time_order_and_cut_folds():
    data = table(n=603)
    block, starts = blocks(data)
    assert (np.diff(block) >= 0).all() and len(starts) == 15
    for fold in range(5):
        assert data.begin[data.fold == fold].min() in starts


def test_a_member_that_others_repeat_too_loudly_gets_a_negative_weight():
    """Two members share a component that is not in the truth; a third is that component alone."""
    rng = np.random.default_rng(0)
    data = table(n=4000)
    common, truth = rng.standard_normal((2, 4000))
    codes = (rng.random(4000) < 1 / (1 + np.exp(-1.5 * truth))).astype(int)
    said = np.stack([truth + common, truth + common + 0.1 * rng.standard_normal(4000), common, np.zeros(4000)])
    outputs = 1 / (1 + np.exp(-np.stack([-said, said], axis=-1) * 0.8))
    pool = fit_pool(dataclasses.replace(data, outputs=outputs, target=codes))
    assert pool.weights[0, 2] < -0.3 and pool.weights[0, :2].sum() > 1.0
