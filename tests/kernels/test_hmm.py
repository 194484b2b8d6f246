"""The recursions against enumeration of every path."""

import doctest

import numpy as np
import pytest
from hmmlearn.hmm import GaussianHMM as Peer
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import config

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


@settings(max_examples=40 if not config.DISABLE_JIT else 6, deadline=None)
@given(
    order=st.integers(1, 6).flatmap(lambda k: st.permutations(range(k))),
    d=st.integers(1, 3),
    n=st.integers(1, 90),
    covariance_type=st.sampled_from(COVARIANCE_TYPES),
    seed=st.integers(0, 10_000),
)
def test_relabelling_states_permutes_the_outputs(order, d, n, covariance_type, seed):
    p = parameters(len(order), d, covariance_type, seed)
    X = rows(n, d, seed)
    lengths = [n - n // 3, n // 3] if n // 3 else None
    order = np.array(order)
    q = p.permuted(order)
    for infer in (hmm.forward_filter, hmm.forward_backward):
        (new, new_value), (old, old_value) = infer(X, q, lengths), infer(X, p, lengths)
        np.testing.assert_allclose(new, old[:, order], atol=1e-12)
        assert new_value == pytest.approx(old_value, rel=1e-12)
    (new_value, new), (old_value, old) = hmm.viterbi(X, q, lengths), hmm.viterbi(X, p, lengths)
    np.testing.assert_array_equal(order[new], old)
    assert new_value == pytest.approx(old_value, rel=1e-12)
    new, old = hmm.expected_statistics(X, q, lengths), hmm.expected_statistics(X, p, lengths)
    assert new.log_likelihood == pytest.approx(old.log_likelihood, rel=1e-12)
    np.testing.assert_allclose(new.transitions, old.transitions[np.ix_(order, order)], rtol=1e-9, atol=1e-11)
    for name in ("start", "occupancy", "moment1", "moment2"):
        np.testing.assert_allclose(getattr(new, name), getattr(old, name)[order], rtol=1e-9, atol=1e-11, err_msg=name)


def test_statistics_are_refused_for_parameters_of_another_width():
    expectation = hmm.Expectation(rows(50, 2), np.array([0, 50]))
    with pytest.raises(InvalidInput, match="parameters"):
        expectation.step(parameters(2, 9))
    with pytest.raises(InvalidInput, match="lengths"):
        hmm.Expectation(rows(50, 2), np.array([0, 5000]))
    with pytest.raises(InvalidInput, match="'X'"):
        hmm.Expectation(rows(50, 2)[:, 0], np.array([0, 50]))


@pytest.mark.parametrize("covariance_type", ["diag", "full"])
def test_sixteen_states_of_32_features(covariance_type):
    """The largest model, against hmmlearn on SciPy's densities: neither knows our whitening, lanes or cuts."""
    p = parameters(16, 32, covariance_type, 3, spread=0.3)
    X = rows(80 if config.DISABLE_JIT else 700, 32) * 0.5
    lengths = [len(X) - 30, 30]
    log_b = reference.log_densities(X, p.means, p.full_covars)
    total, transitions, filtered, smoothed = reference.recursions(log_b, p.startprob, p.transmat, lengths)
    proba, value = hmm.forward_filter(X, p, lengths)
    np.testing.assert_allclose(proba, filtered, atol=1e-11)
    assert value == pytest.approx(total, rel=1e-12)
    np.testing.assert_allclose(hmm.forward_backward(X, p, lengths)[0], smoothed, atol=1e-11)
    peer = Peer(16, covariance_type, init_params="")
    peer.n_features = 32
    peer.startprob_, peer.transmat_, peer.means_, peer.covars_ = p.startprob, p.transmat, p.means, p.covars
    expected, path = peer.decode(X, lengths)
    log_probability, states = hmm.viterbi(X, p, lengths)
    assert log_probability == pytest.approx(expected, rel=1e-12)
    np.testing.assert_array_equal(states, path)
    statistics = hmm.expected_statistics(X, p, lengths)
    np.testing.assert_allclose(statistics.transitions, transitions, rtol=1e-8, atol=1e-11)
    centred = X[:, None, :] - p.means
    np.testing.assert_allclose(statistics.moment1, np.einsum("tk,tki->ki", smoothed, centred), rtol=1e-8, atol=1e-9)
    second = np.einsum("tk,tki,tkj->kij", smoothed, centred, centred)
    expected = np.diagonal(second, axis1=1, axis2=2) if covariance_type == "diag" else second
    np.testing.assert_allclose(statistics.moment2, expected, rtol=1e-8, atol=1e-9)


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


@pytest.mark.parametrize(
    "lengths",
    [
        [3, 3],
        [10, 0],
        [-1, 11],
        [5.0, 5.0],
        [],
        10,
        [[5, 5]],
        "ab",
        [[5], [2, 3]],
        {"a": 10},
        [True] * 10,
        [1] * 11,
        # As 64-bit numbers these add up to 10.
        [2**63 - 1, 2**63 - 1, 12],
        np.array([2**63, 2**63, 10], np.uint64),
        np.array([2**62 + 5, 2**62 + 5, 2**62, 2**62]),
    ],
)
def test_wrong_lengths_are_named(lengths):
    with pytest.raises(InvalidInput, match="lengths"):
        hmm.forward_filter(rows(10, 2), parameters(2, 2), lengths)


@pytest.mark.parametrize(
    "function", [hmm.forward_filter, hmm.forward_backward, hmm.viterbi, hmm.expected_statistics, hmm.log_density]
)
@pytest.mark.parametrize(
    "X",
    [
        np.zeros((0, 2)),
        np.zeros((5, 3)),
        np.zeros(5),
        np.full((5, 2), np.nan),
        np.full((5, 2), np.inf),
        "abc",
        [[1.0, 2.0], [1.0]],
        {"a": [1.0, 2.0]},
        [["a", "b"]],
        [[1j, 0j]],
        None,
    ],
)
def test_wrong_rows_are_named(function, X):
    with pytest.raises(InvalidInput, match="The 'X' parameter of GaussianHMM must be"):
        function(X, parameters(2, 2))


def test_docstrings():
    result = doctest.testmod(hmm)
    assert result.attempted and not result.failed


def test_impossible_rows_are_an_error_and_not_nan():
    p = HMMParameters.checked([1, 0], np.eye(2), [[0.0], [1.0]], [1e-300, 1.0], "spherical")
    with pytest.raises(InvalidInput, match="probability 0"):
        hmm.forward_filter(np.array([[1e200]]), p)
