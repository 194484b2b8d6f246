"""The recursions against enumeration of every path."""

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consilience.base import InvalidInput
from consilience.kernels import hmm
from consilience.kernels.hmm_parameters import COVARIANCE_TYPES, HMMParameters
from tests.reference import hmm as reference


def parameters(k, d, covariance_type="diag", seed=0, *, zeros=False, spread=1.5):
    rng = np.random.default_rng(seed)
    transmat = rng.dirichlet(np.ones(k), k)
    startprob = rng.dirichlet(np.ones(k))
    if zeros and k > 1:
        transmat = np.triu(transmat)
        transmat /= transmat.sum(axis=1, keepdims=True)
        startprob = np.eye(k)[0]
    root = rng.standard_normal((k, d, d)) * 0.5
    full = root @ root.transpose(0, 2, 1) + 0.5 * np.eye(d)
    covars = {
        "spherical": rng.uniform(0.3, 2, k),
        "diag": rng.uniform(0.3, 2, (k, d)),
        "full": full,
        "tied": full[0],
    }[covariance_type]
    return HMMParameters.checked(startprob, transmat, spread * rng.standard_normal((k, d)), covars, covariance_type)


def rows(n, d, seed=0):
    return 1.5 * np.random.default_rng([seed, 1]).standard_normal((n, d))


def oracle(p, X):
    return reference.log_densities(X, p.means, p.full_covars), p.startprob, p.transmat


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize(("k", "d"), [(1, 1), (2, 3), (3, 2)])
def test_log_density_is_scipys(covariance_type, k, d):
    p = parameters(k, d, covariance_type)
    X = rows(20, d)
    expected = reference.log_densities(X, p.means, p.full_covars)
    np.testing.assert_allclose(hmm.log_density(X, p), expected, rtol=1e-12)


@settings(max_examples=30, deadline=None)
@given(
    k=st.integers(1, 3),
    d=st.integers(1, 3),
    n=st.integers(1, 8),
    covariance_type=st.sampled_from(COVARIANCE_TYPES),
    zeros=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_inference_is_the_sum_over_all_paths(k, d, n, covariance_type, zeros, seed):
    p = parameters(k, d, covariance_type, seed, zeros=zeros)
    X = rows(n, d, seed)
    case = oracle(p, X)
    log_likelihood = reference.log_likelihood(*case)
    proba, filtered_likelihood = hmm.forward_filter(X, p)
    np.testing.assert_allclose(proba, reference.filtered(*case), atol=1e-12)
    assert filtered_likelihood == pytest.approx(log_likelihood, rel=1e-12)
    gamma, smoothed_likelihood = hmm.forward_backward(X, p)
    np.testing.assert_allclose(gamma, reference.smoothed(*case), atol=1e-12)
    assert smoothed_likelihood == pytest.approx(log_likelihood, rel=1e-12)
    log_probability, path = hmm.viterbi(X, p)
    expected, best = reference.best_path(*case)
    assert log_probability == pytest.approx(expected, rel=1e-12)
    np.testing.assert_array_equal(path, best)
    statistics = hmm.Expectation(X, np.array([0, n])).step(p)
    np.testing.assert_allclose(statistics.transitions, reference.transitions(*case), atol=1e-11)
    np.testing.assert_allclose(statistics.start, gamma[0], atol=1e-12)
    np.testing.assert_allclose(statistics.occupancy, gamma.sum(axis=0), rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_moments_are_taken_about_the_old_means(covariance_type):
    p = parameters(3, 2, covariance_type, 1)
    X = rows(50, 2)
    statistics = hmm.Expectation(X, np.array([0, 20, 50])).step(p)
    gamma, _ = hmm.forward_backward(X, p, [20, 30])
    for k in range(3):
        centred = X - p.means[k]
        np.testing.assert_allclose(statistics.moment1[k], gamma[:, k] @ centred, rtol=1e-11)
        second = (gamma[:, k, None] * centred).T @ centred
        expected = np.diagonal(second) if p.whitening.ndim == 2 else second
        np.testing.assert_allclose(statistics.moment2[k], expected, rtol=1e-11, atol=1e-12)


def test_lengths_separate_sequences():
    p = parameters(3, 2, seed=3)
    X = rows(30, 2)
    parts = np.split(X, [7, 8, 20])
    lengths = [len(part) for part in parts]
    for function in (hmm.forward_filter, hmm.forward_backward):
        whole, total = function(X, p, lengths)
        each = [function(part, p) for part in parts]
        np.testing.assert_allclose(whole, np.concatenate([proba for proba, _ in each]), atol=1e-13)
        assert total == pytest.approx(sum(value for _, value in each), rel=1e-13)
    total, path = hmm.viterbi(X, p, lengths)
    each = [hmm.viterbi(part, p) for part in parts]
    np.testing.assert_array_equal(path, np.concatenate([states for _, states in each]))
    assert total == pytest.approx(sum(value for value, _ in each), rel=1e-13)


def test_relabelling_states_permutes_the_outputs():
    p = parameters(4, 2, "full", 5)
    X = rows(60, 2)
    order = np.array([2, 0, 3, 1])
    q = p.permuted(order)
    np.testing.assert_allclose(hmm.forward_filter(X, q)[0], hmm.forward_filter(X, p)[0][:, order], atol=1e-13)
    np.testing.assert_allclose(hmm.forward_backward(X, q)[0], hmm.forward_backward(X, p)[0][:, order], atol=1e-13)
    np.testing.assert_array_equal(order[hmm.viterbi(X, q)[1]], hmm.viterbi(X, p)[1])


def test_evidence_that_a_double_cannot_hold_as_a_probability():
    """Left-to-right states: the second one's share falls to e^-5000 before the rows that prove it."""
    p = HMMParameters.checked([1 - 1e-9, 1e-9], np.eye(2), [[0.0], [100.0]], [1.0, 1.0], "spherical")
    X = np.array([[0.0], [100.0], [100.0], [60.0]])
    proba, log_likelihood = hmm.forward_filter(X, p)
    np.testing.assert_allclose(proba, [[1, 0], [1, 0], [0, 1], [0, 1]], atol=1e-8)
    assert log_likelihood == pytest.approx(
        float(np.log(1e-9) - 0.5 * (100**2 + 40**2) - 2 * np.log(2 * np.pi)), rel=1e-12
    )
    np.testing.assert_allclose(hmm.forward_backward(X, p)[0], [[0, 1]] * 4, atol=1e-12)
    assert hmm.viterbi(X, p)[1].tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("window", [1, 2, 5, 50])
def test_the_windowed_filter_sees_exactly_its_window(window):
    p = parameters(3, 2, seed=2)
    X = rows(8, 2)
    start = np.array([0.2, 0.3, 0.5])
    log_b = reference.log_densities(X, p.means, p.full_covars)
    expected = reference.windowed(log_b, start, p.transmat, window)
    np.testing.assert_allclose(hmm.windowed_filter(X, p, start, window), expected, atol=1e-12)
    two = hmm.windowed_filter(X, p, start, window, [3, 5])
    np.testing.assert_allclose(two[3:], hmm.windowed_filter(X[3:], p, start, window), atol=0)


@pytest.mark.parametrize("lengths", [[3, 3], [10, 0], [-1, 11], [5.0, 5.0], [], 10, [[5, 5]], "ab"])
def test_wrong_lengths_are_named(lengths):
    with pytest.raises(InvalidInput, match="lengths"):
        hmm.forward_filter(rows(10, 2), parameters(2, 2), lengths)


@pytest.mark.parametrize("function", [hmm.forward_filter, hmm.forward_backward, hmm.viterbi])
@pytest.mark.parametrize(
    "X", [np.zeros((0, 2)), np.zeros((5, 3)), np.zeros(5), np.full((5, 2), np.nan), np.full((5, 2), np.inf)]
)
def test_wrong_rows_are_named(function, X):
    with pytest.raises(InvalidInput, match="X must"):
        function(X, parameters(2, 2))


def test_docstrings():
    result = doctest.testmod(hmm)
    assert result.attempted and not result.failed


def test_impossible_rows_are_an_error_and_not_nan():
    p = HMMParameters.checked([1, 0], np.eye(2), [[0.0], [1.0]], [1e-300, 1.0], "spherical")
    with pytest.raises(InvalidInput, match="probability 0"):
        hmm.forward_filter(np.array([[1e200]]), p)
