"""The recurrent half of an LSTM with its gradient written out, for compilers that take a loop as it stands."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
from keras import ops

_use: ContextVar[str] = ContextVar("consilience_lstm", default="")


@contextmanager
def traced_for(use: str) -> Iterator[None]:
    """What is traced inside is a program for this process alone, for "training" on one processor or "prediction".

    It may call what an exported network, or one whose batch is shared among devices, must not: for training the
    compiled LSTM of ``consilience.kernels``, for prediction ``lstm_states``.
    """
    token = _use.set(use)
    try:
        yield
    finally:
        _use.reset(token)


def compiled_lstm() -> Any:
    """That LSTM, (x, kernel, recurrent kernel, bias) -> hidden states, or None where it is not to be used."""
    if _use.get() != "training":
        return None
    from consilience.keras_models._jax_lstm import available, fused_lstm

    return fused_lstm if available() else None


def only_predicts() -> bool:
    """Whether a prediction is traced that stays in this process."""
    return _use.get() == "prediction"


def lstm_states(z: Any, kernel: Any) -> Any:
    """As ``lstm_recurrence``, for predictions alone: nothing is kept for a gradient.

    On TensorFlow Keras's own loop takes twice the time for one row, and ``ops.scan`` does not take two states. They are
    one array here: XLA runs this loop's few operations one after the other, and those of two arrays on several threads,
    which costs more than they do.
    """
    n_steps, batch = z.shape[:2]
    units = kernel.shape[0]

    def step(number: Any, state: Any, out: Any) -> Any:
        gates = ops.add(ops.slice(z, (number, 0, 0), (1, batch, 4 * units))[0], ops.matmul(state[0], kernel))
        admit, forget, candidate, emit = ops.split(gates, 4, axis=-1)
        memory = ops.sigmoid(forget) * state[1] + ops.sigmoid(admit) * ops.tanh(candidate)
        hidden = ops.sigmoid(emit) * ops.tanh(memory)
        return number + 1, ops.stack([hidden, memory]), ops.slice_update(out, (number, 0, 0), hidden[None])

    start = (0, ops.zeros((2, batch, units), dtype=z.dtype), ops.zeros((n_steps, batch, units), dtype=z.dtype))
    return ops.while_loop(lambda number, *_: number < n_steps, step, start)[2]


def lstm_recurrence(z: Any, kernel: Any) -> Any:
    """Hidden states (steps, batch, units) of an LSTM whose inputs are already multiplied by their kernel.

    Parameters
    ----------
    z : (steps, batch, 4 · units), inputs times kernel plus bias, gates in the order input, forget, cell, output.
    kernel : (units, 4 · units), the recurrent kernel.

    What automatic differentiation would do inside the loop is done outside it, over all steps at once: the kernel's
    gradient is one large matrix product instead of one small product and sum per step, and all factors of the backward
    recursion that do not depend on it are worked out beforehand. The gates are one array each, since XLA computes the
    parts of a concatenation element by element. A sigmoid is ``(tanh(x / 2) + 1) / 2``, the cheaper of its forms.

    Reference: Appleyard, Kociský & Blunsom (2016), Optimizing performance of recurrent neural networks on GPUs.
    """
    return ops.custom_gradient(_with_gradient)(z, kernel)


def _with_gradient(z: Any, kernel: Any) -> tuple[Any, Any]:
    units = kernel.shape[0]
    # the argument of the three sigmoids is halved here, once
    halved = ops.cast(ops.convert_to_tensor(np.repeat(np.array([0.5, 0.5, 1.0, 0.5], np.float32), units)), z.dtype)
    zero = ops.zeros((z.shape[1] or ops.shape(z)[1], units), dtype=z.dtype)
    inner = kernel * halved

    def step(carry: Any, parts: Any) -> Any:
        hidden, memory = carry
        admit, forget, candidate, emit = (
            ops.tanh(ops.add(own, product))
            for own, product in zip(parts, ops.split(ops.matmul(hidden, inner), 4, axis=-1))
        )
        admit, forget, emit = (0.5 * gate + 0.5 for gate in (admit, forget, emit))
        memory = forget * memory + admit * candidate
        hidden = emit * ops.tanh(memory)
        return (hidden, memory), (hidden, memory, admit, forget, candidate, emit)

    _, (hidden, *rest) = ops.scan(step, (zero, zero), tuple(ops.split(z * halved, 4, axis=-1)))

    def gradient(upstream: Any) -> tuple[Any, Any]:
        return _backward(upstream, kernel, hidden, *rest)

    return hidden, gradient


def _backward(
    upstream: Any, kernel: Any, hidden: Any, memory: Any, admit: Any, forget: Any, candidate: Any, emit: Any
) -> tuple[Any, Any]:
    """Gradients by z and by the kernel, of ``upstream`` (steps, batch, units) times the hidden states."""
    zero = ops.zeros_like(hidden[0])
    before, squashed = _earlier(memory), ops.tanh(memory)
    # what the gradients of hidden state and memory are multiplied by on their way to each gate's argument
    to_gates = (
        candidate * admit * (1 - admit),
        before * forget * (1 - forget),
        admit * (1 - candidate * candidate),
        squashed * emit * (1 - emit),
    )
    to_memory = emit * (1 - squashed * squashed)
    turned = ops.transpose(kernel)

    def step(carry: Any, parts: Any) -> Any:
        d_hidden, d_memory = carry
        above, admitted, forgotten, proposed, emitted, reach, keep = parts
        d_hidden = d_hidden + above
        d_memory = d_memory + d_hidden * reach
        d_gates = [d_memory * admitted, d_memory * forgotten, d_memory * proposed, d_hidden * emitted]
        return (ops.matmul(ops.concatenate(d_gates, axis=-1), turned), d_memory * keep), (d_hidden, d_memory)

    _, (d_hidden, d_memory) = ops.scan(step, (zero, zero), (upstream, *to_gates, to_memory, forget), reverse=True)
    d_z = ops.concatenate([*(d_memory * factor for factor in to_gates[:3]), d_hidden * to_gates[3]], axis=-1)
    rows = (-1, hidden.shape[-1])
    d_kernel = ops.matmul(ops.transpose(ops.reshape(_earlier(hidden), rows)), ops.reshape(d_z, (-1, d_z.shape[-1])))
    return d_z, d_kernel


def _earlier(states: Any) -> Any:
    """Each step's state before it: zeros first, the last left out."""
    return ops.concatenate([ops.zeros_like(states[:1]), states[:-1]], axis=0)
