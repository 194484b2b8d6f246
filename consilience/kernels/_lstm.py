"""An LSTM over windows and its gradient, arrays in, arrays out: what a compiled JAX program calls, for tests."""

import numpy as np
from numba import config

if not config.DISABLE_JIT:
    from consilience.kernels import _lstm_blocks as blocks


def _work(x: np.ndarray, units: int, kept_steps: int, **arrays: np.ndarray | None) -> np.ndarray:
    w = np.zeros(blocks.N_WORDS, np.int64)
    w[blocks.N], w[blocks.STEPS], w[blocks.FEATURES] = x.shape
    w[blocks.UNITS], w[blocks.KEPT_STEPS], w[blocks.BLOCKS] = units, kept_steps, blocks.n_blocks(len(x))
    for name, array in {"x": x, **arrays}.items():
        if array is not None:
            assert array.dtype == np.float32 and array.flags.c_contiguous
            w[blocks.WORK.index(name)] = array.ctypes.data
    return w


def _empty(size: int) -> np.ndarray:
    return np.full(size, np.nan, np.float32)  # what nobody wrote is seen


def lstm_forward(
    x: np.ndarray, kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray, keep: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Hidden states (n, steps, units), and what ``lstm_backward`` needs of them; all float32.

    Parameters
    ----------
    x : (n, steps, features). kernel (features, 4 · units), recurrent (units, 4 · units), bias (4 · units,), gates in
        the order input, forget, candidate, output.
    """
    (n, steps, features), units = x.shape, len(recurrent)
    if config.DISABLE_JIT:
        return _forward_in_numpy(x, kernel, recurrent, bias)
    hidden, kept_steps = np.empty((n, steps, units), np.float32), steps if keep else 1
    kept = _empty(blocks.kept_size(n, kept_steps, units))
    packed, scratch = (
        _empty(blocks.packed_size(features, units, False)),
        _empty(blocks.scratch_size(n, features, units, False)),
    )
    given = {"kernel": kernel, "recurrent": recurrent, "bias": bias, "kept": kept}
    w = _work(x, units, kept_steps, **given, hidden=hidden, packed=packed, scratch=scratch)
    for part in (blocks._pack_forward, blocks._take_blocks):
        part.ctypes(w.ctypes.data)
    return hidden, kept


def lstm_backward(
    upstream: np.ndarray,
    x: np.ndarray,
    kernel: np.ndarray,
    recurrent: np.ndarray,
    hidden: np.ndarray,
    kept: np.ndarray,
    of_inputs: bool = True,
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray, np.ndarray]:
    """Gradients by x (or None), kernel, recurrent kernel and bias of ``upstream`` times the hidden states."""
    (n, steps, features), units = x.shape, len(recurrent)
    if config.DISABLE_JIT:
        return _backward_in_numpy(upstream, x, kernel, recurrent, hidden, kept)
    out = np.empty_like(x) if of_inputs else None, np.empty_like(kernel), np.empty_like(recurrent)
    d_bias = np.empty(4 * units, np.float32)
    packed, scratch = (
        _empty(blocks.packed_size(features, units, True)),
        _empty(blocks.scratch_size(n, features, units, True)),
    )
    partial = _empty(blocks.partial_size(n, features, units))
    given = {"kernel": kernel, "recurrent": recurrent, "hidden": hidden, "kept": kept, "upstream": upstream}
    made = {"d_x": out[0], "d_kernel": out[1], "d_recurrent": out[2], "d_bias": d_bias}
    w = _work(x, units, steps, **given, **made, packed=packed, scratch=scratch, partial=partial)
    w[blocks.BACKWARD] = 1
    for part in (blocks._pack_backward, blocks._take_blocks, blocks._add_partial):
        part.ctypes(w.ctypes.data)
    return (*out, d_bias)


def _forward_in_numpy(
    x: np.ndarray, kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """``kept`` is (steps, 5, n, units) here: the gates and the memory."""
    units = len(recurrent)
    hidden = memory = np.zeros((len(x), units), np.float32)
    states, kept = [], []
    for step in range(x.shape[1]):
        z = x[:, step] @ kernel + hidden @ recurrent + bias
        admit, forget, candidate, emit = np.split(z, 4, axis=1)
        admit, forget, emit = (0.5 * np.tanh(0.5 * gate) + 0.5 for gate in (admit, forget, emit))
        candidate = np.tanh(candidate)
        memory = forget * memory + admit * candidate
        hidden = emit * np.tanh(memory)
        states.append(hidden)
        kept.append(np.stack([admit, forget, candidate, emit, memory]))
    return np.stack(states, axis=1), np.stack(kept)


def _backward_in_numpy(
    upstream: np.ndarray, x: np.ndarray, kernel: np.ndarray, recurrent: np.ndarray, hidden: np.ndarray, kept: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    d_x, d_kernel, d_recurrent = np.empty_like(x), np.zeros_like(kernel), np.zeros_like(recurrent)
    d_bias, nothing = np.zeros(kernel.shape[1], np.float32), np.zeros_like(hidden[:, 0])
    d_hidden = d_memory = nothing
    for step in range(x.shape[1] - 1, -1, -1):
        admit, forget, candidate, emit, memory = kept[step]
        d_hidden, squashed = d_hidden + upstream[:, step], np.tanh(memory)
        d_memory = d_memory + d_hidden * emit * (1 - squashed**2)
        before = kept[step - 1, 4] if step else nothing
        d_gates = np.concatenate(
            [
                d_memory * candidate * admit * (1 - admit),
                d_memory * before * forget * (1 - forget),
                d_memory * admit * (1 - candidate**2),
                d_hidden * squashed * emit * (1 - emit),
            ],
            axis=1,
        )
        d_kernel += x[:, step].T @ d_gates
        d_recurrent += (hidden[:, step - 1] if step else nothing).T @ d_gates
        d_bias += d_gates.sum(axis=0)
        d_x[:, step] = d_gates @ kernel.T
        d_hidden, d_memory = d_gates @ recurrent.T, d_memory * forget
    return d_x, d_kernel, d_recurrent, d_bias
