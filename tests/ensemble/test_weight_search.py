import dataclasses

import numpy as np
import pytest

from consilience.ensemble.combine import soft_vote
from consilience.ensemble.weight_search import SEARCHES, best_weights, searched_weights, strength_of
from tests.support.tables import log_loss, table


def with_useless(n_useless=2, **options):
    data = table(n_members=4, **options)
    outputs = data.outputs.copy()
    outputs[:n_useless] = 0.5
    return dataclasses.replace(data, outputs=outputs)


@pytest.mark.parametrize("method", SEARCHES)
def test_useless_members_lose_weight_when_there_is_evidence(method):
    data = with_useless(signal=1.2, noise=0.1, n=4000)
    weights = searched_weights(data, method)
    assert weights.sum() == pytest.approx(1.0) and weights.min() >= 0
    assert weights[:2].max() < weights[2:].min()


@pytest.mark.parametrize("method", SEARCHES)
def test_on_noise_the_search_stays_near_equal_and_no_better(method):
    """20 seeds of nothing: no combination is significantly better than equal weights on rows it has not seen."""
    gains, distance = [], []
    for seed in range(20):
        data, later = table(signal=0.0, seed=seed, n=1000), table(signal=0.0, seed=500 + seed, n=2000)
        weights = searched_weights(data, method)
        gains.append(
            log_loss(later.outputs.mean(axis=0), later.target)
            - log_loss(soft_vote(later.outputs, weights), later.target)
        )
        searched = np.abs(best_weights(data, np.arange(1000), method) - 0.25).sum()
        if searched > 0:
            distance.append(np.abs(weights - 0.25).sum() / searched)
    spread = np.std(gains, ddof=1)
    assert spread == 0 or np.mean(gains) / (spread / np.sqrt(20)) < 2.5
    assert not distance or np.mean(distance) < 0.8, "shrinkage pulls towards equal"


def test_strength_is_chosen_on_rows_that_the_weights_did_not_see():
    data = table(signal=0.0, n=400)
    assert strength_of(data, "simplex") > 0.5
    assert strength_of(with_useless(signal=2.5, noise=0.1, n=4000), "simplex") < 0.3


def test_values():
    rng = np.random.default_rng(0)
    data = table(n=1000)
    outputs = rng.standard_normal((4, 1000))
    target = outputs[0] + 0.3 * rng.standard_normal(1000)
    data = dataclasses.replace(data, outputs=outputs, target=target, prior=np.zeros(0))
    for method in SEARCHES:
        assert searched_weights(data, method).argmax() == 0
