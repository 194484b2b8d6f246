"""From log-odds to probabilities."""

import numpy as np
from scipy.special import expit


def probabilities(raw: np.ndarray) -> np.ndarray:
    """(n, n_classes) from the log-odds of the second class (n, 1), logistic, or from one score per class, softmax."""
    if raw.shape[1] == 1:
        out = np.empty((len(raw), 2))
        out[:, 1] = expit(raw[:, 0])
        np.subtract(1.0, out[:, 1], out=out[:, 0])
        return out
    out = raw - raw.max(axis=1, keepdims=True)
    np.exp(out, out=out)
    out /= out.sum(axis=1, keepdims=True)
    return out
