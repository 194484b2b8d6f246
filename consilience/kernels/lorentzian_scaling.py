"""Bringing features to one scale before their differences are compared."""

from dataclasses import dataclass

import numpy as np

from consilience.base import InvalidState

METHODS = ("robust", "standard", "none")
_WIDEST = 1e300  # without clipping, what would overflow stays finite
_IQR_OF_NORMAL = 1.3489795003921634  # interquartile range over standard deviation, for a normal distribution


@dataclass(frozen=True)
class Scaling:
    """(x − center) / scale, clipped to ±clip (None: not clipped).

    Attributes
    ----------
    center, scale : (d,) float64, scale > 0.
    """

    center: np.ndarray
    scale: np.ndarray
    clip: float | None

    @classmethod
    def of(cls, X: np.ndarray, method: str, clip: float | None) -> "Scaling":
        """Median and interquartile range ("robust"), mean and standard deviation ("standard"), or nothing ("none").

        The interquartile range is expressed in standard deviations of a normal distribution. A feature that has none
        (more than half of its values equal) falls back to the standard deviation, and a constant one to 1.
        """
        if method == "none":
            return cls(np.zeros(X.shape[1]), np.ones(X.shape[1]), clip)
        with np.errstate(over="ignore", invalid="ignore"):
            mean, deviation = X.mean(axis=0), X.std(axis=0)
            if method == "robust":
                low, center, high = np.quantile(X, [0.25, 0.5, 0.75], axis=0)
                spread = (high - low) / _IQR_OF_NORMAL
                scale = np.where(spread > 1e-12 * deviation, spread, deviation)
            else:
                center, scale = mean, deviation
        # At the edge of float64 the moments overflow: any finite centre and scale is better than none.
        largest = np.maximum(np.abs(X).max(axis=0), 1.0)
        center = np.where(np.isfinite(center), center, 0.0)
        scale = np.where(np.isfinite(scale), scale, largest)
        return cls(center, np.where(scale > 0, scale, 1.0), clip)

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """X (n, d) scaled and clipped, float64, finite for finite X."""
        limit = _WIDEST if self.clip is None else float(self.clip)
        with np.errstate(over="ignore"):
            return np.clip((X - self.center) / self.scale, -limit, limit)

    def check(self, n_features: int) -> None:
        """Refuse a stored scaling that could not have come from ``of``."""
        for name, array in (("center", self.center), ("scale", self.scale)):
            if array.shape != (n_features,) or array.dtype != np.float64 or not np.isfinite(array).all():
                raise InvalidState(f"The stored {name} must be {n_features} finite float64 numbers.")
        if not (self.scale > 0).all():
            raise InvalidState("The stored scale must be positive.")
