"""Losses of one row each, in ``keras.ops``: what training minimises and what early stopping watches."""

from typing import Any

from keras import ops


def cross_entropy(target: Any, logits: Any) -> Any:
    """Negative log probability of the true class, (batch,); target (batch,) int codes, logits (batch, classes)."""
    logits = ops.cast(logits, "float32")
    chosen = ops.sum(logits * ops.one_hot(target, logits.shape[-1], dtype="float32"), axis=-1)
    return ops.logsumexp(logits, axis=-1) - chosen


def squared_error(target: Any, values: Any) -> Any:
    """Mean over targets of the squared error, (batch,)."""
    return ops.mean(ops.square(ops.cast(values, "float32") - target), axis=-1)


def huber(target: Any, values: Any) -> Any:
    """Squared up to 1 (the standard deviation of the target), linear beyond: outliers pull less. (batch,)."""
    error = ops.abs(ops.cast(values, "float32") - target)
    return ops.mean(ops.where(error < 1.0, 0.5 * ops.square(error), error - 0.5), axis=-1)


LOSSES = {"cross_entropy": cross_entropy, "squared_error": squared_error, "huber": huber}
