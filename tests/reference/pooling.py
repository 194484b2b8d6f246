"""Slow, obvious versions of what consilience.ensemble computes fast."""

import numpy as np
from scipy.optimize import minimize


def pooled_logits(base, centre, weights, outputs, clip=1e-3):
    """Row by row, class by class."""
    n_members, n_rows, n_classes = outputs.shape
    logits = np.zeros((n_rows, n_classes))
    for i in range(n_rows):
        for c in range(n_classes):
            logits[i, c] = np.log(base[c])
            for m in range(n_members):
                said = min(max(outputs[m, i, c], clip), 1 - clip)
                logits[i, c] += weights[m] * (np.log(said) - np.log(base[c]) - centre[m, c])
    return logits


def pooled(base, centre, weights, outputs):
    logits = pooled_logits(base, centre, weights, outputs)
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def fit_non_negative(objective, n_members, start=0.1):
    """Minimise over non-negative weights by a general-purpose optimiser, from a fixed start."""
    found = minimize(
        objective, np.full(n_members, start), bounds=[(0, None)] * n_members, method="L-BFGS-B", options={"ftol": 1e-15}
    )
    return found.x
