"""Causal self-attention and the Transformer block around it."""

from typing import Any

import keras
from keras import ops

from consilience.keras_models.device import accelerated
from consilience.keras_models.layers.dropout import StepDropout
from consilience.keras_models.layers.positions import rotate


class CausalSelfAttention(keras.layers.Layer):
    """Multi-head attention in which a row sees itself and earlier rows only.

    Args:
        heads: number of heads; divides the width.
        rotary: turn queries and keys by their positions.

    Call arguments:
        x: (batch, window, width).

    On a GPU ``keras.ops.dot_product_attention`` is used, which picks flash attention where the card and the shapes allow it.
    """

    def __init__(self, heads: int, rotary: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads, self.rotary = heads, rotary

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        width = input_shape[-1]
        assert width is not None
        self.project = keras.layers.Dense(3 * width, use_bias=False, name="project", dtype=self.dtype_policy)
        self.project.build(input_shape)
        self.merge = keras.layers.Dense(width, name="merge", dtype=self.dtype_policy)
        self.merge.build(input_shape)
        self.built = True

    def call(self, x: Any) -> Any:
        window, width = x.shape[1], x.shape[2]
        heads, depth = self.heads, width // self.heads
        qkv = ops.reshape(self.project(x), (-1, window, 3 * heads, depth))
        query, key, value = qkv[:, :, :heads], qkv[:, :, heads : 2 * heads], qkv[:, :, 2 * heads :]
        if self.rotary:
            query, key = rotate(query), rotate(key)
        if accelerated():
            mixed = ops.dot_product_attention(query, key, value, is_causal=True)
        else:
            mixed = _attend(query, key, value, window, depth)
        return self.merge(ops.reshape(mixed, (-1, window, width)))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "heads": self.heads, "rotary": self.rotary}


def _attend(query: Any, key: Any, value: Any, window: int, depth: int) -> Any:
    """Plain attention over (batch, window, heads, depth), for the CPU."""
    query, key, value = (ops.transpose(part, (0, 2, 1, 3)) for part in (query, key, value))
    scores = ops.matmul(query * depth**-0.5, ops.transpose(key, (0, 1, 3, 2)))
    steps = ops.arange(window)
    future = steps[None, :] > steps[:, None]
    weights = ops.softmax(ops.cast(ops.where(future, -1e9, ops.cast(scores, "float32")), "float32"), axis=-1)
    return ops.transpose(ops.matmul(ops.cast(weights, value.dtype), value), (0, 2, 1, 3))


class TransformerBlock(keras.layers.Layer):
    """Pre-norm block: attention, then a feed-forward layer of twice the width, each added to its input.

    Args:
        heads, rotary: of the attention.
        dropout: rate on both additions while training.

    Call arguments:
        x: (batch, window, width).

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

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        width = input_shape[-1]
        assert width is not None
        self.widen = keras.layers.Dense(2 * width, activation="gelu", name="widen", dtype=self.dtype_policy)
        self.narrow = keras.layers.Dense(width, name="narrow", dtype=self.dtype_policy)
        for layer in (self.norm_attention, self.attention, self.norm_forward, self.widen):
            layer.build(input_shape)
        self.narrow.build((*input_shape[:-1], 2 * width))
        self.built = True

    def call(self, x: Any, training: bool = False) -> Any:
        x = x + self.drop(self.attention(self.norm_attention(x)), training=training)
        return x + self.drop(self.narrow(self.widen(self.norm_forward(x))), training=training)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "heads": self.heads, "dropout": self.rate, "rotary": self.rotary}
