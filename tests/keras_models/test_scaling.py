"""Standardisation against the formula, and stored scalers refused."""

import numpy as np
import pytest

from consilience.base import InvalidState
from consilience.keras_models.scaling import LIMIT, Scaler

pytestmark = pytest.mark.xdist_group("keras")


def test_mean_and_deviation_over_many_blocks():
    values = np.random.default_rng(0).standard_normal((5_001, 3)) * [1.0, 1e-3, 1e4] + [0.0, 5.0, -1e6]
    scaler = Scaler.fit(values)
    np.testing.assert_allclose(scaler.mean, values.mean(axis=0))
    np.testing.assert_allclose(scaler.scale, values.std(axis=0))
    scaled = scaler.transform(values)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, (values - values.mean(axis=0)) / values.std(axis=0), atol=1e-5)
    np.testing.assert_allclose(scaler.inverse(scaled.astype(np.float64)), values, rtol=1e-5, atol=1e-5)


def test_a_constant_column_keeps_its_scale_and_wild_values_are_clipped():
    values = np.c_[np.full(50, 7.0), np.r_[np.zeros(49), 1.0]]
    scaler = Scaler.fit(values)
    assert scaler.scale[0] == 1.0
    assert scaler.transform(np.array([[7.0, 1e9], [7.0, -1e9]])).tolist() == [[0.0, LIMIT], [0.0, -LIMIT]]


def test_given_rows_are_not_changed():
    values = np.ones((4, 2))
    Scaler(np.zeros(2), np.full(2, 2.0)).transform(values)
    assert (values == 1.0).all()


@pytest.mark.parametrize(
    ("mean", "scale"),
    [
        (np.zeros(3), np.ones(2)),
        (np.zeros(2, np.float32), np.ones(2)),
        (np.array([0.0, np.inf]), np.ones(2)),
        (np.zeros(2), np.array([1.0, 0.0])),
        (np.zeros(2), np.array([1.0, -1.0])),
    ],
)
def test_stored_scalers_are_checked(mean, scale):
    with pytest.raises(InvalidState):
        Scaler.restore(mean, scale, 2)
