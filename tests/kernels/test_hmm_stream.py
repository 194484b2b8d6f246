import doctest
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import config

from consilience.base import InvalidInput
from consilience.kernels import GaussianHMM, _hmm_step, hmm, hmm_stream
from consilience.kernels.hmm_parameters import COVARIANCE_TYPES, HMMParameters
from consilience.kernels.hmm_stream import HMMStream
from tests.kernels.test_hmm import parameters, rows


@settings(max_examples=25, deadline=None)
@given(
    k=st.integers(1, 4),
    d=st.integers(1, 3),
    n=st.integers(1, 40),
    covariance_type=st.sampled_from(COVARIANCE_TYPES),
    zeros=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_a_stream_equals_the_batch(k, d, n, covariance_type, zeros, seed):
    p = parameters(k, d, covariance_type, seed, zeros=zeros)
    X = rows(n, d, seed)
    stream, state, streamed = HMMStream(p), None, []
    for x in X:
        state = stream.step(state, x)
        streamed.append(state)
    np.testing.assert_allclose(streamed, hmm.forward_filter(X, p)[0], atol=1e-12)


def test_the_compiled_loop_gives_the_log_likelihood():
    p = parameters(3, 2, "full")
    X = rows(50, 2)
    stream = HMMStream(p)
    first = stream.step(None, X[0])
    state = np.concatenate([first, np.zeros(2 * 3 + 2)])
    out = np.empty((49, 3))
    total = _hmm_step.steps(stream._model, state, X[1:], out)
    np.testing.assert_allclose(out, hmm.forward_filter(X, p)[0][1:], atol=1e-12)
    expected = hmm.forward_filter(X, p)[1] - hmm.forward_filter(X[:1], p)[1]
    assert total == pytest.approx(expected, rel=1e-12)


def test_a_far_row_is_weighed_in_log_space():
    p = HMMParameters.checked([1 - 1e-12, 1e-12], np.eye(2), [[0.0], [60.0]], [1.0, 1.0], "spherical")
    stream = HMMStream(p)
    state = stream.step(stream.step(None, [10.0]), [50.0])
    np.testing.assert_allclose(state, [1, 0], atol=1e-9)
    np.testing.assert_allclose(stream.step(state, [60.0]).sum(), 1)


@pytest.mark.skipif(config.DISABLE_JIT, reason="whole fits")
def test_a_model_steps_after_fit_and_sees_new_parameters():
    X = rows(100, 2)
    model = GaussianHMM(2, random_state=0).fit(X)
    state = model.step(None, X[0])
    np.testing.assert_allclose(state, model.predict_proba(X[:1])[0], atol=1e-12)
    np.testing.assert_allclose(model.step(state, X[1]), model.predict_proba(X[:2])[1], atol=1e-12)
    with pytest.raises(ValueError, match="read-only"):
        model.means_[0, 0] = 9.0
    model.means_ = model.means_ + 1.0
    np.testing.assert_allclose(model.step(None, X[0]), model.predict_proba(X[:1])[0], atol=1e-12)
    np.testing.assert_allclose(model.fit(X + 3).step(None, X[0]), model.predict_proba(X[:1])[0], atol=1e-12)


@pytest.mark.parametrize("x", [[1.0], [1.0, np.nan], [[1.0, 2.0]], [1.0, np.inf], ["a", "b"], [[1.0], 2.0], {}, None])
def test_wrong_rows_are_named(x):
    with pytest.raises(InvalidInput, match="'x'"):
        HMMStream(parameters(2, 2)).step(None, x)


@pytest.mark.parametrize(
    "state", [[1.0], [0.5, 0.9], [-0.5, 1.5], [np.nan, 1.0], 0.5, ["a", "b"], {0: 1.0}, [[1.0], 0.0]]
)
def test_wrong_states_are_named(state):
    with pytest.raises(InvalidInput, match="'state'"):
        HMMStream(parameters(2, 2)).step(state, [0.0, 0.0])


@pytest.mark.skipif(config.DISABLE_JIT, reason="only compiled code runs without the interpreter's lock")
def test_threads_that_share_a_stream_do_not_disturb_each_other():
    p = parameters(16, 32, "full", spread=0.2)  # a step of some microseconds, so that steps meet
    X = rows(600, 32)
    stream = HMMStream(p)

    def filtered(part):
        state, answers = None, []
        for x in part:
            state = stream.step(state, x)
            answers.append(state)
        return np.array(answers)

    parts = [X, X[::-1], X[200:], X[::-2]]
    expected = [filtered(part) for part in parts]
    with ThreadPoolExecutor(len(parts)) as pool:
        for _ in range(5):
            for answer, alone in zip(pool.map(filtered, parts), expected):
                np.testing.assert_array_equal(answer, alone)


def test_an_excluded_row_is_an_error():
    p = HMMParameters.checked([1.0, 0.0], np.eye(2), [[0.0], [1.0]], [1e-300, 1.0], "spherical")
    with pytest.raises(InvalidInput, match="probability 0"):
        HMMStream(p).step(None, [1e200])


def test_docstrings():
    assert doctest.testmod(hmm_stream).failed == 0
