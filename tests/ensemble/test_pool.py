import numpy as np
import pytest

from consilience.ensemble.pool import LinearPool, LogOddsPool
from consilience.ensemble.pool_fitting import LogLoss
from tests.reference.pooling import pooled
from tests.support.tables import log_loss, table


def random_pool(seed, n_members=4, n_classes=3):
    rng = np.random.default_rng(seed)
    base = rng.dirichlet(np.ones(n_classes) * 3)
    return LogOddsPool(base, rng.standard_normal((n_members, n_classes)), rng.random((1, n_members)))


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_pool_against_the_reference(n_classes):
    pool = random_pool(1, n_classes=n_classes)
    outputs = np.random.default_rng(2).dirichlet(np.ones(n_classes), (4, 20))
    np.testing.assert_allclose(
        pool.combine(outputs), pooled(pool.base, pool.centre, pool.weights[0], outputs), atol=1e-12
    )


def test_weights_of_zero_say_the_base_rate():
    pool = LogOddsPool(np.array([0.2, 0.8]), np.ones((3, 2)), np.zeros((1, 3)))
    outputs = np.random.default_rng(0).dirichlet([1, 1], (3, 6))
    np.testing.assert_allclose(pool.combine(outputs), np.tile(pool.base, (6, 1)))


@pytest.mark.parametrize("n_classes", [2, 4])
def test_contributions_sum_to_the_log_odds(n_classes):
    pool = random_pool(3, n_classes=n_classes)
    outputs = np.random.default_rng(2).dirichlet(np.ones(n_classes) * 0.2, (4, 200))
    proba = pool.combine(outputs)
    members, base = pool.contributions(outputs)
    np.testing.assert_allclose(base + members.sum(axis=0), np.log(proba[:, 1:] / proba[:, :1]), atol=1e-9)


def test_linear_contributions_sum_to_the_value():
    pool = LinearPool(np.array(0.3), np.array([1.0, -1.0]), np.array([[0.5, 0.2]]))
    outputs = np.random.default_rng(0).standard_normal((2, 9))
    members, base = pool.contributions(outputs)
    np.testing.assert_allclose(base + members.sum(axis=0), pool.combine(outputs), atol=1e-12)


def test_a_member_that_is_always_too_high_does_not_move_the_base_rate():
    data = table(n=500, signal=0.0, noise=0.0)
    biased = data.outputs.copy()
    biased[:, :, 1] = 0.8
    biased[:, :, 0] = 0.2
    loss = LogLoss(biased, data.target, data.weight, data.prior)
    anchor = loss.anchor(np.arange(500))
    said = LogOddsPool(anchor.base, anchor.centre, np.full((1, 4), 0.5)).combine(biased)
    np.testing.assert_allclose(said, np.tile(anchor.base, (500, 1)), atol=1e-9)
    assert log_loss(said, data.target) < 0.7
