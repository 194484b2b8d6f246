"""The table of distances: against the oracle at every scale, and the laws of a metric."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consilience.kernels import lorentzian_distances
from tests.reference import lorentzian as oracle


@pytest.mark.parametrize("n, m, d", [(1, 1, 1), (4, 32, 3), (5, 33, 10), (9, 70, 64), (3, 2, 100)])
@pytest.mark.parametrize("scale", [1e-300, 1e-12, 1e-8, 1e-4, 1.0, 1e5, 1e20, 1e300])
def test_scales(n, m, d, scale):
    rng = np.random.default_rng(n + d)
    X, Y = scale * rng.standard_normal((n, d)), scale * rng.standard_normal((m, d))
    Y[0] = X[0]
    np.testing.assert_allclose(lorentzian_distances(X, Y), oracle.distances(X, Y), rtol=1e-13)


def test_each_magnitude_of_one_difference():
    # One feature: log1p of every magnitude, near 0, near 1, near powers of two.
    base = np.concatenate(
        [10.0 ** np.arange(-20, 21), 2.0 ** np.arange(-60, 60), np.sqrt(0.5) * 2.0 ** np.arange(1, 60)]
    )
    values = np.concatenate([base, np.nextafter(base, 0), np.nextafter(base, np.inf), np.linspace(0, 3, 1000)])
    table = lorentzian_distances([[0.0]], values[:, None])[0]
    np.testing.assert_allclose(table, np.log1p(values), rtol=3e-14)


def test_offset_costs_no_accuracy():
    rng = np.random.default_rng(0)
    X, Y = 1e9 + rng.standard_normal((6, 5)), 1e9 + rng.standard_normal((40, 5))
    np.testing.assert_allclose(lorentzian_distances(X, Y), oracle.distances(X, Y), rtol=1e-13)


@pytest.mark.parametrize("unit", [1.0, 2.0**-6])
def test_threads_order_and_type_change_nothing(unit):
    rng = np.random.default_rng(1)
    X, Y = (unit * rng.integers(-500, 500, (n, 12)) for n in (203, 1501))
    Y[::7] = X[rng.integers(0, len(X), len(Y[::7]))]
    Y[::14] += (
        2.0**-13
    )  # near pairs are measured in another way, and so are those that are worked on together with them
    expected = lorentzian_distances(X, Y, n_threads=1)
    whole = X.astype(int) if unit == 1.0 else X
    for x, y in [(X, Y), (np.asfortranarray(X), Y.astype(np.float32)), (whole, np.repeat(Y, 2, axis=0)[::2])]:
        np.testing.assert_array_equal(lorentzian_distances(x, y, n_threads=2), expected)


def test_one_argument_means_all_pairs_of_it():
    X = np.random.default_rng(2).standard_normal((40, 3))
    table = lorentzian_distances(X)
    np.testing.assert_array_equal(table, lorentzian_distances(X, X))
    assert (np.diag(table) == 0).all()


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), d=st.integers(1, 12), exponent=st.integers(-12, 8))
def test_it_is_a_metric(seed, d, exponent):
    rng = np.random.default_rng(seed)
    X = 10.0**exponent * rng.standard_cauchy((6, d))
    table = lorentzian_distances(X)
    np.testing.assert_allclose(table, table.T, rtol=1e-15, err_msg="symmetry")
    longest = table[:, :, None] + table[None, :, :]  # via the middle index
    assert (table[:, None, :] <= longest * (1 + 1e-12)).all(), "triangle inequality"
    assert (table[~np.eye(6, dtype=bool)] > 0).all()
    # Translation by a power of two that keeps every bit of X.
    whole = np.round(X / 10.0**exponent * 64)
    np.testing.assert_array_equal(lorentzian_distances(whole + 4096.0), lorentzian_distances(whole))


@pytest.mark.parametrize(
    "X, Y, named",
    [
        ([[np.nan]], [[0.0]], "'X'"),
        ([[0.0]], [[np.inf]], "'Y'"),
        ([[0.0]], [[0.0, 1.0]], "'Y'"),
        ([0.0], None, "'X'"),
        (np.empty((0, 3)), None, "'X'"),
    ],
)
def test_bad_arguments_are_named(X, Y, named):
    with pytest.raises(ValueError, match=named):
        lorentzian_distances(X, Y)
