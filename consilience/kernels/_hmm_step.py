"""One step of the filter on one new row, for streams: no allocation, one small block of parameters."""

import math

import numpy as np

from consilience.kernels._compiling import called


@called
def step(model: np.ndarray, state: np.ndarray, x: np.ndarray, out: np.ndarray) -> float:
    """Fill out (K,) with P(state | rows so far, x); give log P(x | rows so far), -inf if the model excludes x.

    Parameters
    ----------
    model : K, D, 1 for diagonal whitening, then transmat (K·K), log normalisers (K), means (K·D), whitening (flat).
    state : (K,) the prior of this row's state if it is the first, else the last row's ``out`` (may be ``out`` itself).
    x : (D,). out : (K + K·2 + D,), the first K being the answer, the rest scratch.

    ``state`` is multiplied by transmat here; for a first row pass the prior and a model whose transmat is the identity.
    """
    k, d = int(model[0]), int(model[1])
    diagonal = model[2] == 1.0
    trans, constant, mean = 3, 3 + k * k, 3 + k * k + k
    white = mean + k * d
    expected, density, centred = k, 2 * k, 3 * k
    top = -np.inf
    for j in range(k):
        p = 0.0
        for i in range(k):
            p += state[i] * model[trans + i * k + j]
        out[expected + j] = p
        total = 0.0
        if diagonal:
            for i in range(d):
                z = (x[i] - model[mean + i]) * model[white + i]
                total += z * z
            white += d
        else:
            for i in range(d):
                out[centred + i] = x[i] - model[mean + i]
                z = 0.0
                for e in range(i + 1):
                    z += out[centred + e] * model[white + e]
                white += i + 1
                total += z * z
        mean += d
        log_b = model[constant + j] - 0.5 * total
        out[density + j] = log_b
        if log_b > top and p > 0:
            top = log_b
    scale = 0.0
    for j in range(k):
        out[j] = out[expected + j] * math.exp(min(out[density + j] - top, 0.0)) if out[expected + j] > 0 else 0.0
        scale += out[j]
    if scale < 1e-280:  # the likelier states were all but excluded: weigh in log space
        top = -np.inf
        for j in range(k):
            if out[expected + j] > 0:
                out[density + j] += math.log(out[expected + j])
                top = max(top, out[density + j])
        scale = 0.0
        for j in range(k):
            out[j] = math.exp(out[density + j] - top) if out[expected + j] > 0 else 0.0
            scale += out[j]
    if not scale > 0 or top == -np.inf:
        return -np.inf
    for j in range(k):
        out[j] /= scale
    return top + math.log(scale)


@called
def steps(model: np.ndarray, state: np.ndarray, X: np.ndarray, out: np.ndarray) -> float:
    """``step`` on each row of X (n, D), ``state`` (3·K + D,) carried along; filtered rows into out (n, K)."""
    total = 0.0
    k = int(model[0])
    for t in range(len(X)):
        total += step(model, state, X[t], state)
        out[t] = state[:k]
    return total
