"""Feature attention: each row decides how much of each of its features goes on."""

from typing import Any

import keras
from keras import ops


class FeatureGate(keras.layers.Layer):
    """Multiplies the features of a row by weights that the row itself gives: ``n_features · softmax(W x + b)``.

    Call arguments:
        x: (batch, window, features). With zero weights every feature passes unchanged (a gate of 1).

    Returns the shape of x.

    Example:

    >>> [float(v) for v in FeatureGate()(ops.convert_to_tensor([[[2.0, 5.0]]]))[0, 0]]
    [2.0, 5.0]

    Reference: the variable selection of Lim et al. (2021), Temporal fusion transformers, reduced to its gate.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.score = keras.layers.Dense(
            input_shape[-1], kernel_initializer="zeros", name="score", dtype=self.dtype_policy
        )
        self.score.build(input_shape)
        self.built = True

    def call(self, x: Any) -> Any:
        return x * (ops.softmax(self.score(x), axis=-1) * x.shape[-1])
