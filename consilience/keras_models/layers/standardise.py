"""Standardisation of inputs and targets as layers, for networks that leave this package."""

from typing import Any

import keras
import numpy as np
from keras import ops

from consilience.keras_models.scaling import LIMIT


class Standardise(keras.layers.Layer):
    """``(x - mean) / scale``, clipped to ±10, as ``scaling.Scaler`` does outside the network.

    Args:
        mean, scale: (features,) float64.

    Call arguments:
        x: (..., features).

    Example:

    >>> [float(v) for v in Standardise(np.array([1.0]), np.array([2.0]))(ops.convert_to_tensor([[5.0], [1e9]]))[:, 0]]
    [2.0, 10.0]

    The mean is taken off in two float32 parts, so that its own rounding does not show; the second part after the
    scaling, or a graph optimizer would join the two again.
    """

    def __init__(self, mean: np.ndarray, scale: np.ndarray, **kwargs: Any) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.mean, self.scale = np.asarray(mean, np.float64), np.asarray(scale, np.float64)

    def call(self, x: Any) -> Any:
        coarse = self.mean.astype(np.float32)
        rest = (self.mean - coarse) / self.scale
        scaled = (x - _tensor(coarse)) * _tensor(1.0 / self.scale) - _tensor(rest)
        return ops.clip(scaled, -LIMIT, LIMIT)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mean": self.mean.tolist(), "scale": self.scale.tolist()}


class Unstandardise(keras.layers.Layer):
    """``x · scale + mean``: standardised targets in their own units.

    Args:
        mean, scale: (targets,) float64.

    Call arguments:
        x: (..., targets).

    Example:

    >>> [float(v) for v in Unstandardise(np.array([1.0]), np.array([2.0]))(ops.convert_to_tensor([[2.0]]))[0]]
    [5.0]
    """

    def __init__(self, mean: np.ndarray, scale: np.ndarray, **kwargs: Any) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.mean, self.scale = np.asarray(mean, np.float64), np.asarray(scale, np.float64)

    def call(self, x: Any) -> Any:
        return x * _tensor(self.scale) + _tensor(self.mean)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mean": self.mean.tolist(), "scale": self.scale.tolist()}


def _tensor(values: np.ndarray) -> Any:
    return ops.convert_to_tensor(values.astype(np.float32))
