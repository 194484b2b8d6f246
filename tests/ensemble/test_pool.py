import numpy as np
import pytest
from scipy.optimize import minimize

from consilience.ensemble.pool import LinearPool, LogLoss, LogOddsPool, SquaredLoss
from tests.ensemble.tables import log_loss, table
from tests.reference.pooling import fit_non_negative, pooled, pooled_logits


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


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("ridge", [0.0, 5.0])
def test_newton_finds_what_a_general_optimiser_finds(n_classes, ridge):
    data = table(n=400, n_classes=n_classes, seed=4)
    loss, rows = LogLoss(data.outputs, data.target, data.weight, data.prior), np.arange(400)
    base, centre = loss.anchor(rows)
    goal = np.full(4, 0.25)

    def objective(w):
        logits = pooled_logits(base, centre, w, data.outputs)
        picked = logits[rows, data.target] - np.log(np.exp(logits).sum(axis=1))
        return -picked.sum() + ridge / 2 * ((w - goal) ** 2).sum()

    found = loss.fit(loss.design(rows, base, centre), rows, base, goal, ridge, np.zeros(4))
    expected = fit_non_negative(objective, 4)
    assert objective(found) <= objective(expected) + 1e-6
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_squared_fit_is_non_negative_least_squares():
    rng = np.random.default_rng(0)
    outputs = rng.standard_normal((3, 300))
    target = 0.7 * outputs[0] - 0.5 * outputs[1] + 0.1 * rng.standard_normal(300) + 2.0
    loss, rows = SquaredLoss(outputs, target, np.ones(300), np.zeros(0)), np.arange(300)
    base, centre = loss.anchor(rows)
    found = loss.fit(loss.design(rows, base, centre), rows, base, np.zeros(3), 0.0, np.zeros(3))

    def objective(w):
        return ((target - base - w @ (outputs - centre[:, None])) ** 2).sum()

    np.testing.assert_allclose(found, fit_non_negative(objective, 3), atol=1e-4)
    assert found[1] == 0.0


def test_sample_weights_count_like_repeated_rows():
    data = table(n=200, seed=5)
    twice = np.repeat(np.arange(200), np.where(np.arange(200) % 3 == 0, 2, 1))
    weight = np.where(np.arange(200) % 3 == 0, 2.0, 1.0)
    fits = []
    for loss, rows in (
        (LogLoss(data.outputs, data.target, weight, data.prior), np.arange(200)),
        (LogLoss(data.outputs[:, twice], data.target[twice], np.ones(len(twice)), data.prior), np.arange(len(twice))),
    ):
        base, centre = loss.anchor(rows)
        fits.append(loss.fit(loss.design(rows, base, centre), rows, base, np.zeros(4), 1.0, np.zeros(4)))
    np.testing.assert_allclose(fits[0], fits[1], atol=1e-6)


def test_a_member_that_is_always_too_high_does_not_move_the_base_rate():
    data = table(n=500, signal=0.0, noise=0.0)
    biased = data.outputs.copy()
    biased[:, :, 1] = 0.8
    biased[:, :, 0] = 0.2
    loss = LogLoss(biased, data.target, data.weight, data.prior)
    base, centre = loss.anchor(np.arange(500))
    said = LogOddsPool(base, centre, np.full((1, 4), 0.5)).combine(biased)
    np.testing.assert_allclose(said, np.tile(base, (500, 1)), atol=1e-9)
    assert log_loss(said, data.target) < 0.7


def test_signed_fits_reach_the_optimum_of_the_plain_problem():
    data = table(n=400, n_classes=3, seed=6)
    loss, rows = LogLoss(data.outputs, data.target, data.weight, data.prior), np.arange(400)
    base, centre = loss.anchor(rows)
    design = loss.design(rows, base, centre)
    design[0] *= -1.0

    def objective(w):
        return loss.losses(design, rows, base, w).sum() + 0.5 * (w @ w)

    found = loss.fit(design, rows, base, np.zeros(4), 1.0, np.zeros(4), signed=True)
    expected = minimize(objective, np.zeros(4)).x
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert found[0] < 0 and objective(found) <= objective(expected) + 1e-6
