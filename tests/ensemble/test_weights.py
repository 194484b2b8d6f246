import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consilience.ensemble.weights import (
    FLOOR,
    base_rate_loss,
    greedy_weights,
    log_loss_of,
    log_losses,
    performance_weights,
    picked_probabilities,
    shrink_to_equal,
    simplex_weights,
    simplex_weights_of_values,
    squared_loss_of,
)
from tests.reference.pooling import fit_non_negative
from tests.support.tables import table

seeds = st.integers(0, 1000)


def picked(seed, n=300, **options):
    data = table(n=n, seed=seed, signal=1.2, **options)
    return picked_probabilities(data.outputs, data.target)


def mixture_loss(weights, given):
    return -np.log(np.maximum(weights @ given, FLOOR)).mean()


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_simplex_weights_are_the_optimum(seed):
    given_, weight = picked(seed), np.ones(300)
    found = simplex_weights(given_, weight)
    assert found.min() >= 0 and found.sum() == pytest.approx(1.0)
    free = fit_non_negative(lambda w: mixture_loss(w / max(w.sum(), 1e-9), given_), 4, start=0.25)
    assert mixture_loss(found, given_) <= mixture_loss(free / free.sum(), given_) + 1e-5


def test_simplex_of_values_finds_planted_weights():
    rng = np.random.default_rng(0)
    outputs = rng.standard_normal((3, 2000))
    target = np.array([0.2, 0.0, 0.8]) @ outputs
    np.testing.assert_allclose(simplex_weights_of_values(outputs, target, np.ones(2000)), [0.2, 0, 0.8], atol=1e-3)


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_greedy_selection_is_no_worse_than_its_best_member_in_sample(seed):
    given_ = picked(seed)
    found = greedy_weights(given_, log_loss_of(np.ones(300)), n_bags=1, bag_fraction=1.0)
    assert found.sum() == pytest.approx(1.0) and found.min() >= 0
    assert mixture_loss(found, given_) <= min(mixture_loss(row, given_) for row in np.eye(4)) + 1e-9


def test_greedy_selection_step_by_step():
    """Against the loop of the paper, written out."""
    given_ = picked(3)
    chosen, losses = [], []
    for _ in range(20):
        tries = [mixture_loss(np.bincount([*chosen, m], minlength=4) / (len(chosen) + 1), given_) for m in range(4)]
        chosen.append(int(np.argmin(tries)))
        losses.append(min(tries))
    best = int(np.argmin(losses)) + 1
    expected = np.bincount(chosen[:best], minlength=4) / best
    found = greedy_weights(given_, log_loss_of(np.ones(300)), n_bags=1, bag_fraction=1.0)
    np.testing.assert_allclose(found, expected)


def test_bags_spread_the_weight_and_seeds_repeat():
    given_ = picked(0)
    loss = log_loss_of(np.ones(300))
    assert (greedy_weights(given_, loss) > 0).sum() >= (
        greedy_weights(given_, loss, n_bags=1, bag_fraction=1.0) > 0
    ).sum()
    np.testing.assert_array_equal(
        greedy_weights(given_, loss, random_state=4), greedy_weights(given_, loss, random_state=4)
    )


def test_squared_losses():
    target, weight = np.array([1.0, 3.0]), np.array([3.0, 1.0])
    np.testing.assert_allclose(squared_loss_of(target, weight)(np.array([[0.0, 0.0], [1.0, 3.0]])), [3.0, 0.0])


def test_performance_and_base_rate():
    codes = np.array([0, 0, 0, 1])
    assert base_rate_loss(codes, 3, np.ones(4)) == pytest.approx(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))
    proba = np.array([[[0.9, 0.1]] * 4])
    losses = log_losses(picked_probabilities(proba, codes), np.array([1.0, 1.0, 0.0, 2.0]))
    assert losses[0] == pytest.approx(-(2 * np.log(0.9) + 2 * np.log(0.1)) / 4)
    np.testing.assert_allclose(performance_weights(np.array([0.9, 0.8]), 0.7), [0.5, 0.5])


def test_shrinkage_ends_at_equal():
    np.testing.assert_allclose(shrink_to_equal(np.array([0.7, 0.3, 0.0]), 1.0), 1 / 3)
