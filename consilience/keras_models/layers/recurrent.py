"""LSTM over a window: cuDNN's where there is a GPU, elsewhere a loop whose input projection is one matrix product."""

from typing import Any

import keras
from keras import ops

from consilience.keras_models.device import accelerated
from consilience.keras_models.layers.initial import GlorotUniform, Orthogonal
from consilience.keras_models.layers.recurrence import compiled_lstm, lstm_recurrence, lstm_states, only_predicts


class CausalLSTM(keras.layers.Layer):
    """One LSTM layer, the whole sequence out.

    Args:
        units: size of the hidden state.

    Call arguments:
        x: (batch, steps, features).

    Returns (batch, steps, units). The weights are those of ``keras.layers.LSTM`` (gates in the order input, forget,
    cell, output; forget bias 1), so both paths give the same numbers. Keras's own loop multiplies each step's input by
    the kernel inside the loop; here that is one large product before it, and only the recurrent product stays inside.
    On jax the loop's gradient is written out as well (``lstm_recurrence``); training on a CPU in float32 calls a
    compiled kernel instead, and a prediction ``lstm_states``.

    Example:

    >>> CausalLSTM(8)(ops.ones((2, 5, 3))).shape == (2, 5, 8)
    True

    Reference: Hochreiter & Schmidhuber (1997), Long short-term memory; Gers et al. (2000) for the forget gate.
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        start = {"kernel_initializer": GlorotUniform(), "recurrent_initializer": Orthogonal()}
        self.lstm = keras.layers.LSTM(units, return_sequences=True, name="cell", dtype=self.dtype_policy, **start)
        self.loop = keras.layers.RNN(
            _ProjectedCell(self.lstm.cell, units, name="step", dtype=self.dtype_policy),
            return_sequences=True,
            name="loop",
            dtype=self.dtype_policy,
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.lstm.build(input_shape)
        self.loop.build((*input_shape[:-1], 4 * self.units))
        self.built = True

    def call(self, x: Any) -> Any:
        if accelerated():
            return self.lstm(x)
        cell = self.lstm.cell
        kernel, bias = (ops.cast(w, self.compute_dtype) for w in (cell.kernel, cell.bias))
        fused = compiled_lstm() if self.compute_dtype == "float32" else None
        if fused is not None:
            return fused(x, kernel, cell.recurrent_kernel.value, bias)
        if not only_predicts() and keras.backend.backend() != "jax":
            return self.loop(ops.add(ops.matmul(x, kernel), bias))
        states = lstm_states if only_predicts() else lstm_recurrence
        z = ops.add(ops.matmul(ops.transpose(x, (1, 0, 2)), kernel), bias)
        return ops.transpose(states(z, ops.cast(cell.recurrent_kernel, self.compute_dtype)), (1, 0, 2))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


class _ProjectedCell(keras.layers.Layer):
    """The LSTM step whose input is already multiplied by the kernel: z (batch, 4 · units), states (hidden, memory)."""

    def __init__(self, source: Any, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.units = self.output_size = units
        self.state_size = [units, units]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.built = True

    def call(self, z: Any, states: Any) -> tuple[Any, list[Any]]:
        hidden, memory = states
        z = ops.add(z, ops.matmul(hidden, ops.cast(self.source.recurrent_kernel, self.compute_dtype)))
        admit, forget, candidate, emit = ops.split(z, 4, axis=-1)
        memory = ops.sigmoid(forget) * memory + ops.sigmoid(admit) * ops.tanh(candidate)
        hidden = ops.sigmoid(emit) * ops.tanh(memory)
        return hidden, [hidden, memory]

    def get_initial_state(self, batch_size: Any = None) -> list[Any]:
        return [ops.zeros((batch_size, self.units), dtype=self.compute_dtype) for _ in range(2)]
