"""The vector operations, each against NumPy, lane by lane."""

import numpy as np
import pytest
from numba import njit

from consilience.kernels import _hmm_lanes as lanes
from consilience.kernels._hmm_lanes import LANES

_exp, _load, _store, _larger, _smaller = lanes.exp, lanes.load, lanes.store, lanes.larger, lanes.smaller
_shrink, _exponent, _inside, _prefer = lanes.shrink, lanes.exponent, lanes.inside, lanes.prefer
_gather_square, _scatter_square, _select = lanes.gather_square, lanes.scatter_square, lanes.select
_splat, _store_bytes = lanes.splat, lanes.store_bytes


@njit
def apply_exp(x, out):
    for i in range(0, len(x), LANES):
        _store(out, i, _exp(_load(x, i)))


@njit
def apply_all(a, b, out, small):
    x, y = _load(a, 0), _load(b, 0)
    _store(out, 0, x + y)
    _store(out, 8, x - y)
    _store(out, 16, x * y)
    _store(out, 24, x / y)
    _store(out, 32, _larger(x, y))
    _store(out, 40, _smaller(x, y))
    _store(out, 48, _shrink(y))
    _store(out, 56, _exponent(y))
    _store(out, 64, _inside(_splat(3.0), x, y, x, y))
    _store(out, 72, _prefer(x, y, _splat(1.0), _splat(0.0)))
    _store_bytes(small, 0, _splat(7.0))


@njit
def square(array, rows, start, width, offset, packed, back):
    _gather_square(array, rows, start, width, offset, packed, 8)
    _scatter_square(back, rows, start, width, offset, packed, 8)


@njit
def choose(mask, a, b, out):
    _store(out, 0, _select(_load(mask, 0), _load(a, 0), _load(b, 0)))


def test_squares_go_from_rows_to_lanes_and_back():
    rng = np.random.default_rng(0)
    array, rows = rng.standard_normal(200), rng.permutation(np.arange(0, 32, 4))
    packed, back = np.zeros(80), np.zeros(200)
    square(array, rows, 1, 5, 3, packed, back)
    np.testing.assert_array_equal(
        packed[8:72].reshape(8, 8), [[array[(row + 1) * 5 + 3 + i] for row in rows] for i in range(8)]
    )
    assert (packed[:8] == 0).all() and (packed[72:] == 0).all()
    taken = np.zeros(200, bool)
    taken[[(row + 1) * 5 + 3 + i for row in rows for i in range(8)]] = True
    np.testing.assert_array_equal(back, np.where(taken, array, 0.0))


def test_select_takes_lanes_whose_mask_is_not_zero():
    out = np.empty(8)
    choose(np.array([0.0, 1.0, -1.0, 0.0, np.nan, 1e-300, -0.0, 2.0]), np.arange(8.0), -np.arange(8.0), out)
    np.testing.assert_array_equal(out, [0, 1, 2, -3, 4, 5, -6, 7])


def test_exp_is_as_exact_as_its_argument():
    """A last place of x is |x| · 1.1e-16 of exp(x), to which a few last places of the result come."""
    x = np.concatenate([-np.logspace(-300, np.log10(707.9), 4000), np.linspace(-708, 0, 4000), [0.0] * 8])
    x = x[: len(x) // LANES * LANES]
    out = np.empty_like(x)
    apply_exp(x, out)
    assert (np.abs(out / np.exp(x) - 1) <= 1e-15 + 1.2e-16 * np.abs(x)).all()


def test_exp_of_very_negative_numbers_is_zero():
    x = np.array([-708.5, -1e3, -1e300, -np.inf, -709.0, -745.0, -1e10, 0.0])
    out = np.empty_like(x)
    apply_exp(x, out)
    np.testing.assert_array_equal(out, [0.0] * 7 + [1.0])


@pytest.mark.parametrize("seed", range(3))
def test_every_operation(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(0, 6, 8), rng.uniform(0, 6, 8)
    out, small = np.zeros(80), np.zeros(8, np.uint8)
    apply_all(a, b, out, small)
    np.testing.assert_allclose(out[:8], a + b)
    np.testing.assert_allclose(out[8:16], a - b)
    np.testing.assert_allclose(out[16:24], a * b)
    np.testing.assert_allclose(out[24:32], a / b)
    np.testing.assert_array_equal(out[32:40], np.maximum(a, b))
    np.testing.assert_array_equal(out[40:48], np.minimum(a, b))
    assert ((b * out[48:56] >= 1) & (b * out[48:56] < 2)).all()
    np.testing.assert_array_equal(out[48:56] * 2 ** out[56:64], 1.0)
    np.testing.assert_array_equal(out[64:72], np.where((a <= 3) & (b > 3), a, b))
    np.testing.assert_array_equal(out[72:80], a > b)
    assert (small == 7).all()


def test_a_nan_does_not_hide_the_low_water_mark():
    a, b = np.full(8, 0.5), np.full(8, np.nan)
    out, small = np.zeros(80), np.zeros(8, np.uint8)
    apply_all(a, b, out, small)
    np.testing.assert_array_equal(out[40:48], 0.5)
