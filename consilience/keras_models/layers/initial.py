"""Starting values of kernels, drawn with numpy: on a device, Keras's own compile a program for every new shape."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops


def glorot_uniform(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Uniform float32 values of a kernel (…, in, out), bounded by √(6 / (fan in + fan out)).

    >>> bool(abs(glorot_uniform((100, 50), np.random.default_rng(0))).max() <= 0.2)
    True

    Reference: Glorot & Bengio (2010), Understanding the difficulty of training deep feedforward neural networks.
    """
    taps = math.prod(shape[:-2])
    limit = math.sqrt(6.0 / (taps * (shape[-2] + shape[-1])))
    return rng.uniform(-limit, limit, shape).astype(np.float32)


def orthogonal(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Float32 (n, k · n): k orthogonal matrices side by side, as the gates of a recurrent kernel are.

    >>> q = orthogonal((8, 16), np.random.default_rng(0))[:, 8:]
    >>> bool(np.allclose(q @ q.T, np.eye(8), atol=1e-5))
    True

    Reference: Saxe, McClelland & Ganguli (2014), Exact solutions to the nonlinear dynamics of learning in deep linear
    neural networks.
    """
    n, blocks = shape[0], []
    for _ in range(shape[1] // n):
        q, r = np.linalg.qr(rng.standard_normal((n, n)))
        blocks.append(q * np.sign(np.diag(r)))
    return np.concatenate(blocks, axis=1).astype(np.float32)


def small_normal(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Normal float32 values with a standard deviation of 0.02, for tables of positions."""
    return (0.02 * rng.standard_normal(shape)).astype(np.float32)


class _Drawn(keras.initializers.Initializer):
    """A rule of this module as a Keras initializer; ``keras.utils.set_random_seed`` seeds it."""

    rule: Any

    def __call__(self, shape: Any, dtype: Any = None, **_: Any) -> Any:
        rng = np.random.default_rng(np.random.randint(2**31))
        return ops.convert_to_tensor(type(self).rule(tuple(shape), rng), dtype)


@keras.saving.register_keras_serializable("consilience")
class GlorotUniform(_Drawn):
    """``glorot_uniform`` as an initializer."""

    rule = staticmethod(glorot_uniform)


@keras.saving.register_keras_serializable("consilience")
class Orthogonal(_Drawn):
    """``orthogonal`` as an initializer."""

    rule = staticmethod(orthogonal)


@keras.saving.register_keras_serializable("consilience")
class SmallNormal(_Drawn):
    """``small_normal`` as an initializer."""

    rule = staticmethod(small_normal)


def dense(units: int, **kwargs: Any) -> Any:
    """A dense layer that starts from ``glorot_uniform``."""
    return keras.layers.Dense(units, kernel_initializer=GlorotUniform(), **kwargs)
