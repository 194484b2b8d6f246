"""Losses of one row each, in ``keras.ops``: what training minimises and what early stopping watches."""

from typing import Any

import numpy as np
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


def loss_on_host(loss: str, y: np.ndarray, out: np.ndarray) -> float:
    """The training loss on the host, in float64, unweighted."""
    if loss == "cross_entropy":
        top = out.max(axis=1)
        total = top + np.log(np.exp(out - top[:, None]).sum(axis=1))
        return float(np.mean(total - out[np.arange(len(y)), y]))
    error = np.abs(out - y)
    if loss == "huber":
        return float(np.mean(np.where(error < 1.0, 0.5 * error**2, error - 0.5)))
    return float(np.mean(error**2))
