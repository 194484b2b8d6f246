"""LSTM over a window: cuDNN's where there is a GPU, elsewhere a loop whose input projection is one matrix product."""

from typing import Any

import keras
from keras import ops

from consilience.keras_models.device import accelerated


class CausalLSTM(keras.layers.Layer):
    """One LSTM layer, the whole sequence out.

    Args:
        units: size of the hidden state.

    Call arguments:
        x: (batch, steps, features).

    Returns (batch, steps, units). The weights are those of ``keras.layers.LSTM`` (gates in the order input, forget, cell,
    output; forget bias 1), so both paths give the same numbers. Keras's own loop multiplies each step's input by the kernel
    inside the loop; here that is one large product before it, and only the recurrent product stays inside.

    Example:

    >>> CausalLSTM(8)(ops.ones((2, 5, 3))).shape == (2, 5, 8)
    True

    Reference: Hochreiter & Schmidhuber (1997), Long short-term memory; Gers et al. (2000) for the forget gate.
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.lstm = keras.layers.LSTM(units, return_sequences=True, name="cell", dtype=self.dtype_policy)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.lstm.build(input_shape)
        self.built = True

    def call(self, x: Any) -> Any:
        if accelerated():
            return self.lstm(x)
        cell = self.lstm.cell
        kernel, recurrent, bias = (
            ops.cast(w, self.compute_dtype) for w in (cell.kernel, cell.recurrent_kernel, cell.bias)
        )
        units = self.units
        projected = ops.transpose(ops.add(ops.matmul(x, kernel), bias), (1, 0, 2))

        def step(carry: tuple[Any, Any], z: Any) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
            hidden, memory = carry
            z = z + ops.matmul(hidden, recurrent)
            gates = ops.sigmoid(z)
            candidate = ops.tanh(z[:, 2 * units : 3 * units])
            memory = gates[:, units : 2 * units] * memory + gates[:, :units] * candidate
            hidden = gates[:, 3 * units :] * ops.tanh(memory)
            return (hidden, memory), (hidden, memory)  # TensorFlow's scan wants outputs built like the carry

        zero = ops.zeros_like(projected[0, :, :units])
        _, (hidden, _) = ops.scan(step, (zero, zero), projected)
        return ops.transpose(hidden, (1, 0, 2))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}
