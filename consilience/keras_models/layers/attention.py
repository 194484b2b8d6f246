"""Causal self-attention and the Transformer block around it."""

from typing import Any

import keras
import numpy as np
from keras import ops

from consilience.keras_models.device import accelerated
from consilience.keras_models.layers.dropout import StepDropout
from consilience.keras_models.layers.gelu import gelu
from consilience.keras_models.layers.initial import dense
from consilience.keras_models.layers.positions import rotate


class CausalSelfAttention(keras.layers.Layer):
    """Multi-head attention in which a row sees itself and earlier rows only.

    Args:
        heads: number of heads; divides the width.
        rotary: turn queries and keys by their positions.

    Call arguments:
        x: (batch, window, width).
        newest: None, or (batch, window) float, one-hot: only that row's output is computed, (batch, 1, width).

    Returns (batch, window, width), or (batch, 1, width).

    On a GPU ``keras.ops.dot_product_attention`` is used, which picks flash attention where card and shapes allow it.

    Example:

    >>> CausalSelfAttention(2, rotary=True)(ops.ones((3, 5, 8))).shape == (3, 5, 8)
    True

    Reference: Vaswani et al. (2017), Attention is all you need, section 3.2.
    """

    def __init__(self, heads: int, rotary: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads, self.rotary = heads, rotary

    def build(self, x_shape: tuple[int | None, ...], newest_shape: Any = None) -> None:
        width = x_shape[-1]
        assert width is not None
        self.project = dense(3 * width, use_bias=False, name="project", dtype=self.dtype_policy)
        self.project.build(x_shape)
        self.merge = dense(width, name="merge", dtype=self.dtype_policy)
        self.merge.build(x_shape)
        self.built = True

    def call(self, x: Any, newest: Any = None) -> Any:
        window, width = x.shape[1], x.shape[2]
        heads, depth = self.heads, width // self.heads
        if newest is not None:
            return self._newest(x, newest, window, width)
        qkv = ops.reshape(self.project(x), (-1, window, 3 * heads, depth))
        query, key, value = qkv[:, :, :heads], qkv[:, :, heads : 2 * heads], qkv[:, :, 2 * heads :]
        if self.rotary:
            query, key = rotate(query, window), rotate(key, window)
        if accelerated():
            mixed = ops.dot_product_attention(query, key, value, is_causal=True)
        else:
            mixed = _attend(query, key, value, window, depth)
        return self.merge(ops.reshape(mixed, (-1, window, width)))

    def _newest(self, x: Any, newest: Any, window: int, width: int) -> Any:
        """The output of one row per window, (batch, 1, width): its query against all rows up to it.

        The products are taken in the order that leaves out keys and values of all rows: (x K)·q = x·(K q), and
        Σ w (x V) = (Σ w x) V. That is a quarter of the time. Keys that are rotated, each by its position, are made.
        """
        heads, depth = self.heads, width // self.heads
        kernel = ops.reshape(ops.cast(self.project.kernel, self.compute_dtype), (width, 3, heads, depth))
        of_query, of_key, of_value = kernel[:, 0], kernel[:, 1], kernel[:, 2]
        query = ops.einsum("bc,chd->bhd", pick(x, newest)[:, 0], of_query) * depth**-0.5
        if self.rotary:
            query = rotate(query[:, None], window, newest)
            key = rotate(ops.einsum("btc,chd->bthd", x, of_key), window)
            scores = ops.sum(query * key, axis=-1)
        else:
            scores = ops.einsum("btc,bhc->bth", x, ops.einsum("bhd,chd->bhc", query, of_key))
        later = ops.cumsum(newest, axis=1) - newest
        weights = ops.softmax(ops.where(later[:, :, None] > 0.5, -1e9, ops.cast(scores, "float32")), axis=1)
        seen = ops.einsum("bth,btc->bhc", ops.cast(weights, x.dtype), x)
        mixed = ops.einsum("bhc,chd->bhd", seen, of_value)
        return self.merge(ops.reshape(mixed, (-1, 1, width)))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "heads": self.heads, "rotary": self.rotary}


def pick(x: Any, newest: Any) -> Any:
    """The row of each window that ``newest`` (batch, window) marks, (batch, 1, width)."""
    return ops.sum(x * ops.cast(newest, x.dtype)[:, :, None], axis=1, keepdims=True)


def _attend(query: Any, key: Any, value: Any, window: int, depth: int) -> Any:
    """Plain attention over (batch, window, heads, depth), for the CPU."""
    query, key, value = (ops.transpose(part, (0, 2, 1, 3)) for part in (query, key, value))
    scores = ops.matmul(query * depth**-0.5, ops.transpose(key, (0, 1, 3, 2)))
    future = ops.convert_to_tensor(np.triu(np.ones((window, window), bool), 1))
    weights = ops.softmax(ops.cast(ops.where(future, -1e9, ops.cast(scores, "float32")), "float32"), axis=-1)
    return ops.transpose(ops.matmul(ops.cast(weights, value.dtype), value), (0, 2, 1, 3))


class TransformerBlock(keras.layers.Layer):
    """Pre-norm block: attention, then a feed-forward layer of twice the width, each added to its input.

    Args:
        heads, rotary: of the attention.
        dropout: rate on both additions while training.

    Call arguments:
        x: (batch, window, width).
        newest: None, or (batch, window) one-hot: the output of that row alone, (batch, 1, width), for less than half
            the work. The last block of a network that reads only its newest row runs so.

    Example:

    >>> newest = ops.one_hot(ops.convert_to_tensor([4, 0, 2]), 5)
    >>> block, x = TransformerBlock(2), ops.ones((3, 5, 8))
    >>> block(x).shape == (3, 5, 8), block(x, newest).shape == (3, 1, 8)
    (True, True)

    Reference: Xiong et al. (2020), On layer normalization in the Transformer architecture.
    """

    def __init__(self, heads: int, dropout: float = 0.0, rotary: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads, self.rate, self.rotary = heads, dropout, rotary
        policy = self.dtype_policy
        self.norm_attention = keras.layers.LayerNormalization(epsilon=1e-5, name="norm_attention", dtype=policy)
        self.attention = CausalSelfAttention(heads, rotary, name="attention", dtype=policy)
        self.norm_forward = keras.layers.LayerNormalization(epsilon=1e-5, name="norm_forward", dtype=policy)
        self.drop = StepDropout(dropout, name="drop", dtype=policy)

    def build(self, x_shape: tuple[int | None, ...], newest_shape: Any = None) -> None:
        width = x_shape[-1]
        assert width is not None
        self.widen = dense(2 * width, activation=gelu, name="widen", dtype=self.dtype_policy)
        self.narrow = dense(width, name="narrow", dtype=self.dtype_policy)
        for layer in (self.norm_attention, self.attention, self.norm_forward, self.widen):
            layer.build(x_shape)
        self.narrow.build((*x_shape[:-1], 2 * width))
        self.built = True

    def call(self, x: Any, newest: Any = None, training: bool = False) -> Any:
        mixed = self.attention(self.norm_attention(x), newest)
        if newest is not None:
            x = pick(x, newest)
        x = x + self.drop(mixed, training=training)
        return x + self.drop(self.narrow(self.widen(self.norm_forward(x))), training=training)

    def compute_output_shape(self, x_shape: Any, newest_shape: Any = None) -> Any:
        return x_shape if newest_shape is None else (x_shape[0], 1, x_shape[2])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "heads": self.heads, "dropout": self.rate, "rotary": self.rotary}
