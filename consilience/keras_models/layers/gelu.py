"""The exact GELU, by ``erf``, or by elementary operations where a file must be read by another program."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from keras import ops

_elementary: ContextVar[bool] = ContextVar("consilience_elementary", default=False)


def gelu(x: Any) -> Any:
    """``x · Φ(x)``, Φ the standard normal distribution function.

    By ``erf``: Keras's own goes through ``erfc``, for which ONNX has no operation.

    Reference: Hendrycks & Gimpel (2016), Gaussian error linear units.

    >>> [round(float(v), 6) for v in gelu(ops.convert_to_tensor([-1.0, 0.0, 2.0]))]
    [-0.158655, 0.0, 1.9545]
    """
    erf = _erf if _elementary.get() else ops.erf
    return 0.5 * x * (1.0 + erf(x * 0.5**0.5))


@contextmanager
def elementary_operations() -> Iterator[None]:
    """What is traced inside holds no ``erf``: jax writes it as an operation that TensorFlow's reader does not know."""
    token = _elementary.set(True)
    try:
        yield
    finally:
        _elementary.reset(token)


def _erf(x: Any) -> Any:
    """erf to 1.5e-7, Abramowitz & Stegun (1964), formula 7.1.26."""
    size = ops.abs(x)
    t = 1.0 / (1.0 + 0.3275911 * size)
    series = 0.0
    for factor in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = (series + factor) * t
    return ops.sign(x) * (1.0 - series * ops.exp(-ops.square(size)))
