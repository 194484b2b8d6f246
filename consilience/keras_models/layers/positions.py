"""Where in the window a row stands: sinusoidal or learned vectors to add, or rotary angles for queries and keys.

Positions count from the end: the newest real row of every window has position ``window - 1``, however short the window.
"""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from consilience.keras_models.layers.initial import SmallNormal


class SinusoidalPositions(keras.layers.Layer):
    """Adds fixed sines and cosines of the position.

    Call arguments:
        x: (batch, window, width), width even. lengths: (batch,) real rows.

    >>> SinusoidalPositions()(ops.zeros((1, 4, 6)), ops.ones((1,), "int32") * 4).shape == (1, 4, 6)
    True

    Reference: Vaswani et al. (2017), Attention is all you need, section 3.5.
    """

    def call(self, x: Any, lengths: Any) -> Any:
        window, width = x.shape[1], x.shape[2]
        table = np.concatenate([np.sin(_angles(window, width)), np.cos(_angles(window, width))], axis=1)
        return x + ops.cast(_shifted(ops.convert_to_tensor(table.astype("float32")), lengths, window), x.dtype)


class LearnedPositions(keras.layers.Layer):
    """Adds one trained vector per position.

    Call arguments:
        x: (batch, window, width). lengths: (batch,) real rows.

    Example:

    >>> LearnedPositions()(ops.zeros((1, 4, 6)), ops.ones((1,), "int32") * 4).shape == (1, 4, 6)
    True
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.table = self.add_weight(name="table", shape=input_shape[1:], initializer=SmallNormal())

    def call(self, x: Any, lengths: Any) -> Any:
        return x + ops.cast(_shifted(ops.convert_to_tensor(self.table), lengths, x.shape[1]), x.dtype)


def rotate(x: Any, window: int, at: Any = None) -> Any:
    """Rotary positions: turns each pair of channels by an angle that grows with the position.

    x: (batch, window, heads, width) with an even width; or, with ``at`` (batch, window) one-hot over positions,
    (batch, 1, heads, width), one row of each window. Products of two rotated vectors depend on the distance between
    their positions only, so left-aligned windows need no shift.

    >>> x = ops.ones((1, 2, 1, 4))
    >>> bool(ops.all(ops.isclose(rotate(x, 2)[:, 0], x[:, 0]))), bool(ops.all(ops.isclose(rotate(x, 2)[:, 1], x[:, 1])))
    (True, False)

    Reference: Su et al. (2021), RoFormer.
    """
    width = x.shape[3]
    angles = _angles(window, width).astype("float32")
    turned = []
    for table in (np.cos(angles), np.sin(angles)):
        rows = (
            ops.convert_to_tensor(table)[None] if at is None else ops.matmul(at, ops.convert_to_tensor(table))[:, None]
        )
        turned.append(ops.cast(rows[:, :, None, :], x.dtype))
    cos, sin = turned
    first, second = x[..., : width // 2], x[..., width // 2 :]
    return ops.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def _angles(window: int, width: int) -> np.ndarray:
    """(window, width // 2): position / 10000^(2i / width)."""
    rates = np.exp(-math.log(10_000.0) * np.arange(0, width, 2) / width)
    return np.arange(window)[:, None] * rates


def _shifted(table: Any, lengths: Any, window: int) -> Any:
    """Rows of the table (window, width) for each left-aligned window, (batch, window, width).

    A product with a one-hot matrix, since the gradient of a gather (a scatter) is slow on a CPU.
    """
    places = ops.convert_to_tensor(np.arange(window, dtype="int32")[None, :])
    steps = places + (window - ops.cast(lengths, "int32"))[:, None]
    return ops.matmul(ops.one_hot(ops.minimum(steps, window - 1), window, dtype=table.dtype), table)
