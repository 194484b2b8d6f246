"""Where Baum–Welch starts, which start it keeps, and what it does to degenerate covariances."""

import numpy as np
import pytest

from consilience.kernels import hmm
from consilience.kernels.hmm_parameters import COVARIANCE_TYPES, HMMParameters
from consilience.kernels.hmm_training import (
    Priors,
    Trained,
    _positive_definite,
    best_of,
    initial_parameters,
    train,
    volatility_parameters,
)
from tests.kernels.test_hmm import parameters, rows


def test_the_best_start_is_the_one_that_ends_best():
    """A history ends before the last maximisation: a start that had far to go may have gone it in that step."""
    X = rows(200, 2)
    starts = np.array([0, 200])
    candidates = [parameters(3, 2, seed=seed) for seed in range(4)]
    scores = [hmm.forward_filter(X, p)[1] for p in candidates]
    misleading = [Trained(p, (-score,), True) for p, score in zip(candidates, scores)]
    best = best_of(X, starts, misleading)
    assert best.parameters is candidates[int(np.argmax(scores))]
    assert best_of(X, starts, misleading[:1]) is misleading[0]
    assert best_of(X, starts, [misleading[1]] * 2) is misleading[1]


def test_the_history_holds_what_each_iteration_began_with():
    X, first = rows(150, 2), parameters(3, 2)
    starts = np.array([0, 100, 150])
    trained = train(X, starts, first, priors=Priors(), n_iter=3, tol=-np.inf)
    assert trained.history[0] == pytest.approx(hmm.forward_filter(X, first, [100, 50])[1], rel=1e-12)
    shorter = train(X, starts, first, priors=Priors(), n_iter=2, tol=-np.inf)
    assert trained.history[2] == pytest.approx(hmm.forward_filter(X, shorter.parameters, [100, 50])[1], rel=1e-12)
    assert not trained.converged and train(X, starts, first, priors=Priors(), n_iter=90, tol=1.0).converged


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_starting_from_volatility_puts_calm_rows_before_wild_ones(covariance_type):
    rng = np.random.default_rng(0)
    wild = np.repeat([0, 1, 0, 1], 100)
    X = rng.standard_normal((400, 2)) * np.where(wild, 6.0, 1.0)[:, None] + 10.0
    p = volatility_parameters(X, np.array([0, 150, 400]), 2, covariance_type, 1e-10)
    assert isinstance(p, HMMParameters) and p.means.shape == (2, 2)
    calm, restless = p.full_covars
    if covariance_type == "tied":
        np.testing.assert_array_equal(calm, restless)
    else:
        assert np.trace(restless) > 5 * np.trace(calm)
        np.testing.assert_allclose(p.means[0], X[wild == 0].mean(axis=0), atol=0.5)
    np.testing.assert_allclose(p.transmat, [[0.9, 0.1], [0.1, 0.9]], rtol=1e-12)
    np.testing.assert_array_equal(p.startprob, [0.5, 0.5])


@pytest.mark.parametrize("lengths", [[1] * 6, [2, 3, 1], [6]])
@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize("n_states", [1, 3, 6])
def test_starts_from_few_or_constant_rows_are_valid_parameters(lengths, covariance_type, n_states):
    starts = np.concatenate([[0], np.cumsum(lengths)])
    for X in (rows(6, 2), np.full((6, 2), 3.0)):
        for p in (
            volatility_parameters(X, starts, n_states, covariance_type, 1e-6),
            initial_parameters(X, starts, n_states, covariance_type, 1e-6, np.random.RandomState(0)),
        ):
            assert (
                HMMParameters.checked(p.startprob, p.transmat, p.means, p.covars, covariance_type).n_states == n_states
            )


def test_smoothing_of_volatility_does_not_cross_sequences():
    X = np.concatenate([np.full(30, 0.0), np.tile([8.0, -8.0], 15)])[:, None]
    p = volatility_parameters(X, np.array([0, 30, 60]), 2, "diag", 1e-10)
    np.testing.assert_allclose(p.means[0], 0.0)
    assert p.covars[0, 0] < 0.02 * p.covars[1, 0]


def test_positive_definite_matrices_are_left_alone():
    root = np.random.default_rng(0).standard_normal((4, 3, 3))
    covariances = root @ root.transpose(0, 2, 1) + np.eye(3)
    floor = np.full(3, 1e-10)
    assert _positive_definite(covariances, floor) is covariances
    assert _positive_definite(covariances[0], floor) is not None


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e8])
def test_eigenvalues_below_the_floor_are_raised_to_it(scale):
    """In units of each column's floor, so that columns of different scales are treated alike."""
    unit = np.array([1.0, 1e3, 1e-3]) * scale
    floor = (1e-3 * unit) ** 2
    vectors, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))
    broken = (vectors * [2.0, 1e-14, -1e-9]) @ vectors.T * unit[:, None] * unit
    repaired = _positive_definite(np.array([broken, np.diag(unit**2)]), floor)
    np.linalg.cholesky(repaired)
    np.testing.assert_array_equal(repaired, repaired.transpose(0, 2, 1))
    values = np.linalg.eigvalsh(repaired[0] / unit[:, None] / unit)
    np.testing.assert_allclose(values, [1e-6, 1e-6, 2.0], rtol=1e-6)
    np.testing.assert_allclose(repaired[1], np.diag(unit**2), rtol=1e-12)


@pytest.mark.parametrize("covariance_type", ["full", "tied"])
def test_a_state_that_collapses_keeps_a_density(covariance_type):
    """Rows on a line: every covariance is singular without the floor."""
    X = np.outer(np.random.default_rng(0).standard_normal(60), [1.0, 2.0])
    trained = train(
        X, np.array([0, 60]), parameters(2, 2, covariance_type), priors=Priors(covars_prior=0.0), n_iter=30, tol=-np.inf
    )
    assert np.isfinite(trained.history).all()
    np.linalg.cholesky(trained.parameters.full_covars)
