import numpy as np
import pytest
from scipy.optimize import minimize

from consilience.ensemble.pool_fitting import LogLoss, Penalty, SquaredLoss
from tests.reference.pooling import fit_non_negative, pooled_logits
from tests.support.tables import table


def pulled(goal, strength):
    return Penalty(goal, np.full(len(goal), strength), np.full(len(goal), 10.0))


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("ridge", [0.0, 5.0])
def test_newton_finds_what_a_general_optimiser_finds(n_classes, ridge):
    data = table(n=400, n_classes=n_classes, seed=4)
    loss, rows = LogLoss(data.outputs, data.target, data.weight, data.prior), np.arange(400)
    anchor = loss.anchor(rows)
    goal = np.full(4, 0.25)

    def objective(w):
        logits = pooled_logits(anchor.base, anchor.centre, w, data.outputs)
        picked = logits[rows, data.target] - np.log(np.exp(logits).sum(axis=1))
        return -picked.sum() + ridge / 2 * ((w - goal) ** 2).sum()

    found = loss.fit(loss.design(rows, anchor), rows, anchor, pulled(goal, ridge), np.zeros(4))
    expected = fit_non_negative(objective, 4)
    assert objective(found) <= objective(expected) + 1e-6
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_squared_fit_is_non_negative_least_squares():
    rng = np.random.default_rng(0)
    outputs = rng.standard_normal((3, 300))
    target = 0.7 * outputs[0] - 0.5 * outputs[1] + 0.1 * rng.standard_normal(300) + 2.0
    loss, rows = SquaredLoss(outputs, target, np.ones(300), np.zeros(0)), np.arange(300)
    anchor = loss.anchor(rows)
    found = loss.fit(loss.design(rows, anchor), rows, anchor, pulled(np.zeros(3), 0.0), np.zeros(3))

    def objective(w):
        return ((target - loss.unit * (anchor.base + w @ (outputs / loss.unit - anchor.centre[:, None]))) ** 2).sum()

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
        anchor = loss.anchor(rows)
        fits.append(loss.fit(loss.design(rows, anchor), rows, anchor, pulled(np.zeros(4), 1.0), np.zeros(4)))
    np.testing.assert_allclose(fits[0], fits[1], atol=1e-6)


def test_signed_fits_reach_the_optimum_of_the_plain_problem():
    data = table(n=400, n_classes=3, seed=6)
    loss, rows = LogLoss(data.outputs, data.target, data.weight, data.prior), np.arange(400)
    anchor = loss.anchor(rows)
    design = loss.design(rows, anchor)
    design[0] *= -1.0

    def objective(w):
        return loss.losses(design, rows, anchor, w).sum() + 0.5 * (w @ w)

    found = loss.fit(design, rows, anchor, pulled(np.zeros(4), 1.0), np.zeros(4), signed=True)
    expected = minimize(objective, np.zeros(4)).x
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert found[0] < 0 and objective(found) <= objective(expected) + 1e-6
