"""Standardisation inside a network: mean and deviation of the training rows, applied to every later row."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from consilience.base import InvalidState

_BLOCK = 2_048  # rows at a time, so that no second float64 copy of X is ever held
LIMIT = 10.0  # standard deviations; a wilder value says no more than this, and must not blow the network up


@dataclass(frozen=True)
class Scaler:
    """``(x - mean) / scale``, clipped to ±10, as float32. mean, scale: (n_columns,) float64, scale > 0."""

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray) -> Self:
        """From training rows (n, n_columns); a constant column keeps scale 1."""
        mean = values.mean(axis=0)
        total = np.zeros_like(mean)
        for first in range(0, len(values), _BLOCK):
            total += ((values[first : first + _BLOCK] - mean) ** 2).sum(axis=0)
        scale = np.sqrt(total / len(values))
        small = scale <= 1e-12 * np.maximum(1.0, np.abs(mean))
        return cls(mean, np.where(small, 1.0, scale))

    def transform(self, values: np.ndarray) -> np.ndarray:
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
