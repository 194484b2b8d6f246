from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consilience.ensemble.expert_advice import (
    best_sequence_loss,
    exponential_bound,
    exponential_step,
    fixed_share_bound,
    normalise,
    share_step,
)

seeds = st.integers(0, 10_000)


def play(proba, codes, share=0.0):
    """Total log loss of the mixture and (n, n_members) losses of the members."""
    log_weights, own, losses = np.zeros(len(proba)), 0.0, []
    for row, code in enumerate(codes):
        step = -np.log(normalise(log_weights) @ proba[:, row, code])
        own += step
        losses.append(-np.log(proba[:, row, code]))
        log_weights = share_step(exponential_step(log_weights, losses[-1], step), share)
    return own, np.array(losses)


def draw(seed, n_members=4, n=60):
    rng = np.random.default_rng(seed)
    return rng.dirichlet([0.5, 0.5], (n_members, n)).clip(1e-3, 1 - 1e-3), rng.integers(0, 2, n)


@settings(max_examples=50)
@given(seeds)
def test_exponential_weights_keep_their_bound_whatever_comes(seed):
    proba, codes = draw(seed)
    own, losses = play(proba, codes)
    assert own <= losses.sum(axis=0).min() + exponential_bound(4) + 1e-9


@settings(max_examples=50)
@given(seeds, st.integers(0, 3), st.sampled_from([0.001, 0.02, 0.3]))
def test_fixed_share_keeps_its_bound_against_changing_members(seed, n_switches, share):
    proba, codes = draw(seed)
    own, losses = play(proba, codes, share)
    best = best_sequence_loss(losses, n_switches)
    assert own <= best + fixed_share_bound(4, len(codes), n_switches, share) + 1e-9


def test_best_sequence_by_trying_all():
    losses = np.random.default_rng(0).random((6, 3))
    for n_switches in range(3):
        totals = [
            sum(losses[t, m] for t, m in enumerate(path))
            for path in product(range(3), repeat=6)
            if sum(a != b for a, b in pairwise(path)) <= n_switches
        ]
        assert best_sequence_loss(losses, n_switches) == pytest.approx(min(totals))


def test_steps_are_bayes_rule_and_share_gives_back():
    prior = np.array([0.2, 0.3, 0.5])
    likelihood = np.array([0.9, 0.5, 0.1])
    posterior = normalise(exponential_step(np.log(prior), -np.log(likelihood), 0.3))
    np.testing.assert_allclose(posterior, prior * likelihood / (prior * likelihood).sum())
    np.testing.assert_allclose(normalise(share_step(np.log(prior), 0.1)), 0.9 * prior + 0.05 * (1 - prior), rtol=1e-12)


def test_an_absent_member_keeps_its_share():
    prior, losses = np.array([0.2, 0.3, 0.5]), np.array([0.1, 2.0, np.nan])
    alive = np.array([True, True, False])
    own = -np.log(normalise(np.log(prior), alive)[:2] @ np.exp(-losses[:2]))
    after = normalise(exponential_step(np.log(prior), losses, own, alive))
    assert after[2] == pytest.approx(0.5) and after[0] > 0.2
