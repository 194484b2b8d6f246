"""The fast way against the slow one: cuts, lanes, threads, extremes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import config

from consilience.base import InvalidInput
from consilience.kernels import _hmm_log, _hmm_verdict, hmm, hmm_scaled, hmm_segments, hmm_viterbi
from consilience.kernels.hmm_parameters import COVARIANCE_TYPES, HMMParameters
from consilience.kernels.hmm_scaled import FILTER, GATHER, SMOOTH, ScaledPass
from tests.kernels.test_hmm import parameters, rows

JIT = not config.DISABLE_JIT


def slow(X, p, starts):
    """Filtered, smoothed, transitions, log-likelihood and best path by the recursions in log space."""
    log_b = hmm.log_density(X, p)
    with np.errstate(divide="ignore"):
        log_start, log_trans = np.log(p.startprob), np.log(p.transmat)
    alpha, gamma, xi = np.empty_like(log_b), np.empty_like(log_b), np.zeros_like(log_trans)
    log_likelihood = _hmm_log.forward(log_b, starts, log_start, log_trans, alpha)
    _hmm_log.backward(log_b, starts, log_trans, alpha, gamma, xi)
    path = np.empty(len(X), np.int64)
    best = _hmm_log.viterbi(log_b, starts, log_start, log_trans, path)
    return np.exp(alpha), gamma, xi, log_likelihood, best, path


def sticky(k, d, stay, covariance_type="diag", seed=0, spread=1.0):
    p = parameters(k, d, covariance_type, seed, spread=spread)
    transmat = np.full((k, k), (1 - stay) / max(k - 1, 1))
    np.fill_diagonal(transmat, stay if k > 1 else 1.0)
    return HMMParameters.checked(p.startprob, transmat, p.means, p.covars, covariance_type)


def agree(X, p, starts):
    filtered, smoothed, transitions, log_likelihood, best, path = slow(X, p, starts)
    lengths = np.diff(starts)
    proba, value = hmm.forward_filter(X, p, lengths)
    np.testing.assert_allclose(proba, filtered, atol=1e-11)
    assert value == pytest.approx(log_likelihood, rel=1e-12, abs=1e-9)
    proba, value = hmm.forward_backward(X, p, lengths)
    np.testing.assert_allclose(proba, smoothed, atol=1e-11)
    assert value == pytest.approx(log_likelihood, rel=1e-12, abs=1e-9)
    statistics = hmm.Expectation(X, starts).step(p)
    np.testing.assert_allclose(statistics.transitions, transitions, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(statistics.occupancy, smoothed.sum(axis=0), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(statistics.start, smoothed[starts[:-1]].sum(axis=0), rtol=1e-10, atol=1e-10)
    for state in range(p.n_states):
        centred = X - p.means[state]
        np.testing.assert_allclose(statistics.moment1[state], smoothed[:, state] @ centred, rtol=1e-8, atol=1e-8)
    value, states = hmm.viterbi(X, p, lengths)
    assert value == pytest.approx(best, rel=1e-12, abs=1e-8)
    np.testing.assert_array_equal(states, path)


@pytest.mark.skipif(not JIT, reason="30,000 rows take minutes without the JIT")
@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize(("k", "d", "n"), [(4, 4, 30_000), (1, 1, 5_000), (16, 3, 5_000), (3, 32, 3_000)])
def test_long_sequences(covariance_type, k, d, n):
    p = sticky(k, d, 0.95, covariance_type)
    agree(rows(n, d), p, np.array([0, n]))


@settings(max_examples=15 if JIT else 4, deadline=None)
@given(
    k=st.integers(1, 5),
    d=st.integers(1, 3),
    lengths=st.lists(st.integers(1, 600 if JIT else 40), min_size=1, max_size=20 if JIT else 9),
    stay=st.sampled_from([0.3, 0.9, 0.99]),
    covariance_type=st.sampled_from(COVARIANCE_TYPES),
    seed=st.integers(0, 1000),
)
def test_ragged_sequences(k, d, lengths, stay, covariance_type, seed):
    p = sticky(k, d, stay, covariance_type, seed)
    agree(rows(sum(lengths), d, seed), p, np.concatenate([[0], np.cumsum(lengths)]))


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_ties_go_to_the_lower_state(k):
    """Equal states: whatever is written out or looped over, the path is the lowest of the best ones."""
    p = HMMParameters.checked(np.full(k, 1 / k), np.full((k, k), 1 / k), np.zeros((k, 1)), np.ones(k), "spherical")
    _, states = hmm.viterbi(rows(100, 1), p)
    np.testing.assert_array_equal(states, 0)


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("covariance_type", ["diag", "full"])
def test_every_number_of_states(k, covariance_type):
    """Three uneven sequences, so that lanes end at different steps of a block."""
    agree(rows(530, 2), sticky(k, 2, 0.9, covariance_type), np.array([0, 250, 500, 530]))


@pytest.mark.skipif(not JIT, reason="long")
@pytest.mark.parametrize("stay", [0.999, 0.99999, 1 - 1e-9])
def test_a_memory_longer_than_the_overlap_is_noticed(stay):
    """States that hardly differ and hardly change: 128 rows decide nothing, and the cuts must say so."""
    p = sticky(3, 1, stay, "spherical", spread=0.02)
    X = rows(5_000, 1)
    agree(X, p, np.array([0, len(X)]))


@pytest.mark.skipif(not JIT, reason="long")
@pytest.mark.parametrize("lengths", [[40_000], [5_000, 3, 700], [500] * 30])
@pytest.mark.parametrize("k", [2, 4, 6])
def test_clear_states_are_cut_once(lengths, k, monkeypatch):
    """Edges that are not kept where they should be would only cost time: longer overlaps, then log space."""
    p = sticky(k, 3, 0.9)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    X = rows(starts[-1], 3)
    for mode in (FILTER, SMOOTH, GATHER):
        scaled = ScaledPass(X, starts)
        assert scaled.run(p, mode) is not None
        assert scaled._overlap == hmm_segments.FIRST_OVERLAP
    cuts = []
    monkeypatch.setattr(hmm_viterbi, "cut", lambda *args: cuts.append(args) or hmm_segments.cut(*args))
    assert hmm_viterbi.best_path(X, starts, p) is not None
    assert len(cuts) == 1


@pytest.mark.skipif(not JIT, reason="long")
def test_the_check_of_the_cuts_is_needed(monkeypatch):
    p = sticky(3, 1, 0.9999, "spherical", spread=0.02)
    X = rows(5_000, 1)
    monkeypatch.setattr(hmm_scaled, "settle", lambda *args: (_hmm_verdict.settle(*args)[0], _hmm_verdict.HELD))
    monkeypatch.setattr(hmm_viterbi, "_agrees", lambda *args: True)
    with pytest.raises(AssertionError):
        agree(X, p, np.array([0, len(X)]))


@pytest.mark.skipif(not JIT, reason="long")
def test_results_do_not_depend_on_the_number_of_threads(monkeypatch):
    p = sticky(4, 3, 0.95)
    X = rows(40_000, 3)
    results = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(hmm_segments, "n_threads", lambda threads=threads: threads)
        statistics = hmm.Expectation(X, np.array([0, len(X)])).step(p)
        results.append((*hmm.forward_filter(X, p), *hmm.forward_backward(X, p), *hmm.viterbi(X, p), statistics.moment2))
    for other in results[1:]:
        for a, b in zip(results[0], other):
            np.testing.assert_array_equal(a, b)


@pytest.mark.skipif(not JIT, reason="long")
def test_a_million_rows_sum_to_one():
    p = sticky(3, 1, 0.97, "spherical")
    X = rows(1_000_000, 1)
    for proba, log_likelihood in (hmm.forward_filter(X, p), hmm.forward_backward(X, p)):
        np.testing.assert_allclose(proba.sum(axis=1), 1.0, rtol=0, atol=1e-12)
        assert np.isfinite(log_likelihood)


@pytest.mark.parametrize("kind", ["float32", "fortran", "strided", "integers"])
def test_input_layouts(kind):
    p = sticky(3, 2, 0.9)
    X = np.round(rows(64, 2) * 4)
    other = {
        "float32": X.astype(np.float32),
        "fortran": np.asfortranarray(X),
        "strided": np.repeat(X, 2, axis=0)[::2],
        "integers": X.astype(np.int64),
    }[kind]
    np.testing.assert_array_equal(hmm.forward_filter(other, p)[0], hmm.forward_filter(X, p)[0])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 7, 299])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_a_row_that_is_not_finite_is_refused_wherever_it_is(bad, row, k):
    """The fast kernels do not look for it; their likelihood must."""
    p = sticky(k, 2, 0.9)
    X = rows(300, 2)
    X[row, 1] = bad
    for infer in (hmm.forward_filter, hmm.forward_backward, hmm.viterbi):
        with pytest.raises(InvalidInput, match="finite"):
            infer(X, p)
    with pytest.raises(InvalidInput, match="finite"):
        hmm.Expectation(X, np.array([0, len(X)])).step(p)


@pytest.mark.parametrize("scale", [1e-150, 1e-12, 1e5, 1e150])
@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_scales_and_offsets(scale, offset):
    """A change of units shifts the log-likelihood by a constant and nothing else."""
    p = sticky(3, 2, 0.9)
    X = rows(100, 2)
    q = HMMParameters.checked(p.startprob, p.transmat, (p.means + offset) * scale, p.covars * scale**2, "diag")
    one, other = hmm.forward_backward(X, p), hmm.forward_backward((X + offset) * scale, q)
    np.testing.assert_allclose(one[0], other[0], atol=1e-9)
    assert other[1] == pytest.approx(one[1] - X.size * np.log(scale), rel=1e-9)


def test_rows_that_underflow_go_to_log_space():
    """Left-to-right states and a row 40 deviations away: scaling loses the state that log space keeps."""
    p = HMMParameters.checked([1 - 1e-12, 1e-12], [[1.0, 0.0], [0.0, 1.0]], [[0.0], [100.0]], [1.0, 1.0], "spherical")
    X = np.concatenate([np.zeros(30), np.full(40, 100.0)])[:, None]
    assert ScaledPass(X, np.array([0, len(X)])).run(p, FILTER) is None
    assert ScaledPass(X, np.array([0, len(X)])).run(p, SMOOTH) is None
    agree(X, p, np.array([0, len(X)]))


def test_a_row_far_from_every_state_is_still_a_row():
    p = sticky(3, 2, 0.9)
    X = rows(50, 2)
    X[20] = 100.0
    agree(X, p, np.array([0, len(X)]))


@settings(max_examples=50, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40_000), min_size=1, max_size=30),
    overlap=st.sampled_from([1, 128, 10_000]),
)
def test_segments_cover_every_row_once(lengths, overlap):
    starts = np.concatenate([[0], np.cumsum(lengths)])
    segments = hmm_segments.cut(starts, overlap)
    owned = np.zeros(starts[-1], int)
    cuts = 0
    for table, opening in zip(segments.tables, segments.opening):
        for first, last, low, high, ends in table.T:
            owned[first + low : first + high] += 1
            sequence = np.searchsorted(starts, first, side="right") - 1
            if high > low:
                assert starts[sequence] <= first and first + last < starts[sequence + 1]
                assert ends == high - (first + high == starts[sequence + 1])
                cuts += first + low > starts[sequence]
        assert opening.dtype == bool
    assert (owned == 1).all()
    assert len(segments.before) == len(segments.after) == cuts
