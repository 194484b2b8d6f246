"""The compiled LSTM of ``consilience.kernels`` as an operation of JAX on the CPU, with its gradient."""

import os
import threading
import warnings
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp

_FORWARD, _BACKWARD = "consilience_lstm_forward", "consilience_lstm_backward"


_lock = threading.Lock()


def available() -> bool:
    """Whether this process can compile the kernel and this JAX can call it; where not, it says why, once."""
    with _lock:
        return _registered()


@cache
def _registered() -> bool:
    from numba import config

    if config.DISABLE_JIT or os.name != "posix":
        return False
    try:
        from consilience.kernels import _lstm_call

        for name, function in ((_FORWARD, _lstm_call.forward), (_BACKWARD, _lstm_call.backward)):
            jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(function.address), platform="cpu")
    except Exception as error:  # an unknown compiler, another interface: the loop in keras.ops does the same, slower
        reason = str(error).strip().partition("\n")[0]
        warnings.warn(
            f"The compiled LSTM is not used, so training is slower: {type(error).__name__}: {reason}",
            RuntimeWarning,
            stacklevel=3,
        )
        return False
    return True


@jax.custom_vjp
def fused_lstm(x: Any, kernel: Any, recurrent: Any, bias: Any) -> Any:
    """Hidden states (batch, steps, units) of windows (batch, steps, features), all float32.

    kernel (features, 4 · units), recurrent (units, 4 · units), bias (4 · units,); gates in the order input, forget,
    cell, output. Ask ``available`` first.
    """
    return _forward(x, kernel, recurrent, bias, 1)[0]


def _forward(x: Any, kernel: Any, recurrent: Any, bias: Any, kept_steps: int) -> tuple[Any, Any]:
    from consilience.kernels import _lstm_blocks as blocks

    (n, steps, features), units = x.shape, recurrent.shape[0]
    out = (
        _floats(n, steps, units),
        _floats(kept_steps, blocks.kept_size(n, 1, units)),
        _floats(blocks.packed_size(features, units, False)),
        _floats(blocks.scratch_size(n, features, units, False)),
    )
    hidden, kept, _, _ = jax.ffi.ffi_call(_FORWARD, out)(x, kernel, recurrent, bias)
    return hidden, kept


def _floats(*shape: int) -> Any:
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def _forward_for_gradient(x: Any, kernel: Any, recurrent: Any, bias: Any) -> tuple[Any, Any]:
    rows, first, second = x.value, kernel.value, recurrent.value
    hidden, kept = _forward(rows, first, second, bias.value, rows.shape[1])
    # the last part says by its length whether anybody asks for the gradient by x
    return hidden, (rows, first, second, hidden, kept, (jnp.zeros(()),) if x.perturbed else ())


def _backward(saved: Any, upstream: Any) -> tuple[Any, Any, Any, Any]:
    from consilience.kernels import _lstm_blocks as blocks

    *given, asked = saved
    x, kernel, recurrent = given[:3]
    (n, _, features), units = x.shape, recurrent.shape[0]
    if isinstance(upstream, jax.custom_derivatives.SymbolicZero):
        upstream = jnp.zeros(upstream.shape, jnp.float32)
    out = [
        *(_floats(*shape) for shape in (kernel.shape, recurrent.shape, (4 * units,))),
        _floats(blocks.packed_size(features, units, True)),
        _floats(blocks.scratch_size(n, features, units, True)),
        _floats(blocks.partial_size(n, features, units)),
    ]
    if asked:
        out.append(_floats(*x.shape))
    d_kernel, d_recurrent, d_bias, _, _, _, *d_x = jax.ffi.ffi_call(_BACKWARD, tuple(out))(upstream, *given)
    return d_x[0] if asked else jnp.zeros_like(x), d_kernel, d_recurrent, d_bias


fused_lstm.defvjp(_forward_for_gradient, _backward, symbolic_zeros=True)
