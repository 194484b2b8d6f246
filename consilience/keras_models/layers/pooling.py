"""From a sequence to one vector, real rows only."""

from typing import Any

import keras
import numpy as np
from keras import ops

POOLINGS = ("last", "mean", "attention")


class NewestRow(keras.layers.Layer):
    """Marks the newest real row of each left-aligned window: (batch,) lengths to (batch, window) float, one-hot.

    Args:
        window: rows per window.

    Example:

    >>> [[int(v) for v in row] for row in NewestRow(3)(ops.convert_to_tensor([3, 1]))]
    [[0, 0, 1], [1, 0, 0]]
    """

    def __init__(self, window: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.window = window

    def call(self, lengths: Any) -> Any:
        return ops.one_hot(ops.cast(lengths, "int32") - 1, self.window, dtype="float32")

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape, self.window)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "window": self.window}


class SequencePooling(keras.layers.Layer):
    """The newest real row, the mean of the real rows, or a mean weighted by a learned score.

    Args:
        kind: "last", "mean" or "attention".

    Call arguments:
        x: (batch, window, width), left-aligned. lengths: (batch,) real rows, >= 1.

    Returns (batch, width).

    >>> x = ops.reshape(ops.arange(6, dtype="float32"), (1, 3, 2))
    >>> [[float(v) for v in row] for row in SequencePooling("mean")(x, ops.ones((1,), "int32") * 2)]
    [[1.0, 2.0]]
    """

    def __init__(self, kind: str = "last", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kind = kind

    def build(self, x_shape: tuple[int | None, ...], lengths_shape: Any = None) -> None:
        if self.kind == "attention":
            self.score = keras.layers.Dense(1, kernel_initializer="zeros", name="score", dtype=self.dtype_policy)
            self.score.build(x_shape)
        self.built = True

    def call(self, x: Any, lengths: Any) -> Any:
        steps = ops.convert_to_tensor(np.arange(x.shape[1], dtype="int32")[None, :])
        lengths = ops.cast(lengths, "int32")[:, None]
        if self.kind == "attention":
            scores = ops.where(steps < lengths, ops.cast(self.score(x)[:, :, 0], "float32"), -1e9)
            weights = ops.softmax(scores, axis=-1)
        else:
            used = steps < lengths if self.kind == "mean" else ops.equal(steps, lengths - 1)
            weights = ops.cast(used, "float32")
            if self.kind == "mean":
                weights = weights / ops.cast(lengths, "float32")
        return ops.sum(x * ops.cast(weights, x.dtype)[:, :, None], axis=1)

    def compute_output_shape(self, x_shape: tuple[int | None, ...], lengths_shape: Any = None) -> Any:
        return (x_shape[0], x_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "kind": self.kind}
