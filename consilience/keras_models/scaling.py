"""Standardisation inside a network: mean and deviation of the training rows, applied to every later row."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from consilience.base import InvalidState
from consilience.base.magnitude import SMALLEST, magnitude

_BLOCK = 2_048  # rows at a time, so that no second float64 copy of X is ever held
LIMIT = 10.0  # standard deviations; a wilder value says no more than this, and must not blow the network up


@dataclass(frozen=True)
class Scaler:
    """``(x - mean) / scale``, clipped to ±10, as float32. mean, scale: (n_columns,) float64, scale > 0."""

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray, *, target: bool = False) -> Self:
        """From training rows (n, n_columns).

        A feature that is constant but for rounding keeps scale 1. Such a target gets a scale that is negligible beside
        its value, so that whatever the network puts out comes back as that value.
        """
        mean, unit = values.mean(axis=0), np.array([magnitude(column) for column in values.T])
        total = np.zeros_like(mean)
        for first in range(0, len(values), _BLOCK):
            total += (((values[first : first + _BLOCK] - mean) / unit) ** 2).sum(axis=0)
        spread = np.sqrt(total / len(values))
        varies = (spread > 1e-12) & (spread * unit > SMALLEST)
        constant = np.maximum(1e-12 * np.abs(mean), SMALLEST) if target else 1.0
        return cls(mean, np.where(varies, spread * unit, constant))

    def transform(self, values: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):  # what overflows is clipped
            scaled = values - self.mean
            scaled /= self.scale
        return np.clip(scaled, -LIMIT, LIMIT, out=scaled).astype(np.float32)

    def inverse(self, scaled: np.ndarray) -> np.ndarray:
        return scaled * self.scale + self.mean

    @classmethod
    def restore(cls, mean: np.ndarray, scale: np.ndarray, n_columns: int) -> Self:
        """From stored arrays, checked."""
        for array in (mean, scale):
            if array.shape != (n_columns,) or array.dtype != np.float64 or not np.isfinite(array).all():
                raise InvalidState(f"A stored scaler must hold {n_columns} finite float64 values per column.")
        if not (scale > 0).all():
            raise InvalidState("A stored scaler has a scale that is not positive.")
        return cls(mean, scale)
