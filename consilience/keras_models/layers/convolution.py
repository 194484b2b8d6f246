"""Dilated causal convolutions with a residual connection."""

from typing import Any

import keras
from keras import ops

from consilience.keras_models.layers.dropout import StepDropout
from consilience.keras_models.layers.initial import GlorotUniform, dense


class CausalConvolution(keras.layers.Layer):
    """One dilated causal convolution, as a single matrix product over its shifted inputs.

    Args:
        filters: channels out. kernel_size: taps. dilation: rows between two taps.

    Call arguments:
        x: (batch, window, channels). Rows before the first count as zero.

    Returns (batch, window, filters).

    Example:

    >>> CausalConvolution(4, kernel_size=3, dilation=2)(ops.ones((2, 6, 3))).shape == (2, 6, 4)
    True

    XLA's convolution gradients on a CPU are an order of magnitude slower than this product of the same numbers.
    """

    def __init__(self, filters: int, kernel_size: int = 3, dilation: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters, self.kernel_size, self.dilation = filters, kernel_size, dilation

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        channels = input_shape[-1]
        assert channels is not None
        shape = (self.kernel_size * channels, self.filters)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=GlorotUniform())
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")
        self.built = True

    def call(self, x: Any) -> Any:
        window = x.shape[1]
        reach = (self.kernel_size - 1) * self.dilation
        padded = ops.pad(x, ((0, 0), (reach, 0), (0, 0)))
        taps = [padded[:, tap * self.dilation : tap * self.dilation + window] for tap in range(self.kernel_size)]
        kernel, bias = (ops.cast(w, self.compute_dtype) for w in (self.kernel, self.bias))
        return ops.add(ops.matmul(ops.concatenate(taps, axis=-1), kernel), bias)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.filters)

    def get_config(self) -> dict[str, Any]:
        own = {"filters": self.filters, "kernel_size": self.kernel_size, "dilation": self.dilation}
        return {**super().get_config(), **own}


class CausalConvolutionBlock(keras.layers.Layer):
    """Two dilated causal convolutions, each normalised, added to the input.

    Args:
        filters: channels out. kernel_size: taps of each convolution. dilation: rows between two taps.
        dropout: rate after each convolution while training.

    Call arguments:
        x: (batch, window, channels).

    Returns (batch, window, filters).

    Example:

    >>> CausalConvolutionBlock(4, dilation=2)(ops.ones((2, 6, 3))).shape == (2, 6, 4)
    True

    Reference: Bai, Kolter & Koltun (2018), An empirical evaluation of generic convolutional and recurrent networks.
    """

    def __init__(
        self, filters: int, kernel_size: int = 3, dilation: int = 1, dropout: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.filters, self.kernel_size, self.dilation, self.rate = filters, kernel_size, dilation, dropout
        policy = self.dtype_policy

        def convolution(name: str) -> Any:
            return CausalConvolution(filters, kernel_size, dilation, name=name, dtype=policy)

        self.first, self.second = convolution("first"), convolution("second")
        self.norm_first = keras.layers.LayerNormalization(epsilon=1e-5, name="norm_first", dtype=policy)
        self.norm_second = keras.layers.LayerNormalization(epsilon=1e-5, name="norm_second", dtype=policy)
        self.drop = StepDropout(dropout, name="drop", dtype=policy)
        self.match: Any = None

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        inner = (*input_shape[:-1], self.filters)
        if input_shape[-1] != self.filters:
            self.match = dense(self.filters, name="match", dtype=self.dtype_policy)
            self.match.build(input_shape)
        self.first.build(input_shape)
        for layer in (self.norm_first, self.second, self.norm_second):
            layer.build(inner)
        self.built = True

    def call(self, x: Any, training: bool = False) -> Any:
        y = self.drop(ops.relu(self.norm_first(self.first(x))), training=training)
        y = self.drop(ops.relu(self.norm_second(self.second(y))), training=training)
        return y + (x if self.match is None else self.match(x))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.filters)

    def get_config(self) -> dict[str, Any]:
        own = {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "dilation": self.dilation,
            "dropout": self.rate,
        }
        return {**super().get_config(), **own}
