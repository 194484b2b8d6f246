"""The LSTM kernel on arrays, against the equations in float64, with and without the JIT."""

import numpy as np
import pytest
from numba import config

from consilience.kernels._lstm import lstm_backward, lstm_forward
from tests.reference import lstm as reference

SHAPES = [(1, 1, 1, 1), (5, 4, 3, 5), (33, 7, 20, 32), (70, 9, 33, 17), (32, 5, 1, 40), (64, 20, 96, 64)]


def draw(n, steps, features, units, seed=0, size=0.4):
    rng = np.random.default_rng(seed)
    shapes = (n, steps, features), (features, 4 * units), (units, 4 * units), (4 * units,), (n, steps, units)
    return [(size * rng.standard_normal(shape)).astype(np.float32) for shape in shapes]


@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_equations(shape):
    x, kernel, recurrent, bias, upstream = draw(*shape)
    hidden, kept = lstm_forward(x, kernel, recurrent, bias)
    expected, states = reference.forward(*(a.astype(float) for a in (x, kernel, recurrent, bias)))
    np.testing.assert_allclose(hidden, expected, atol=2e-6)
    found = lstm_backward(upstream, x, kernel, recurrent, hidden, kept)
    exact = reference.backward(*(a.astype(float) for a in (upstream, x, kernel, recurrent)), states)
    for ours, theirs in zip(found, exact):
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * max(1.0, np.abs(theirs).max()))


def test_the_reference_gradient_is_the_slope_of_the_reference():
    x, kernel, recurrent, bias, upstream = (a.astype(float) for a in draw(3, 4, 2, 3))
    _, states = reference.forward(x, kernel, recurrent, bias)
    gradients = reference.backward(upstream, x, kernel, recurrent, states)
    rng = np.random.default_rng(1)
    for number, gradient in enumerate(gradients):
        direction, values = rng.standard_normal(gradient.shape), [x, kernel, recurrent, bias]
        sums = []
        for side in (1e-6, -1e-6):
            moved = [v + side * direction if i == number else v for i, v in enumerate(values)]
            sums.append((reference.forward(*moved)[0] * upstream).sum())
        np.testing.assert_allclose((gradient * direction).sum(), (sums[0] - sums[1]) / 2e-6, rtol=1e-6)


def test_a_window_is_computed_alike_wherever_it_stands():
    x, kernel, recurrent, bias, _ = draw(70, 6, 5, 9)
    every = lstm_forward(x, kernel, recurrent, bias)[0]
    for rows in ([0], [31, 32, 33], range(40, 70)):
        one = lstm_forward(np.ascontiguousarray(x[list(rows)]), kernel, recurrent, bias)[0]
        if config.DISABLE_JIT:
            np.testing.assert_allclose(one, every[list(rows)], atol=1e-6)
        else:
            assert np.array_equal(one, every[list(rows)])


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="one form only")
def test_what_is_not_asked_for_changes_nothing():
    x, kernel, recurrent, bias, upstream = draw(70, 6, 5, 9)
    hidden, kept = lstm_forward(x, kernel, recurrent, bias)
    assert np.array_equal(lstm_forward(x, kernel, recurrent, bias, keep=False)[0], hidden)
    whole = lstm_backward(upstream, x, kernel, recurrent, hidden, kept)
    part = lstm_backward(upstream, x, kernel, recurrent, hidden, kept, of_inputs=False)
    assert part[0] is None
    assert all(np.array_equal(a, b) for a, b in zip(part[1:], whole[1:]))


def test_extremes_saturate_and_a_nan_stays_in_its_window():
    x, kernel, recurrent, bias, _ = draw(40, 5, 4, 8, size=1.0)
    x[3] = 1e30
    x[7, 2, 1] = np.nan
    hidden = lstm_forward(x, kernel, recurrent, bias)[0]
    assert np.isnan(hidden[7, 2:]).all()
    sound = np.delete(hidden, 7, axis=0)
    assert np.isfinite(sound).all()
    assert np.abs(sound).max() <= 1.0 + 1e-6
