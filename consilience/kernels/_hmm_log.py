"""Hidden Markov recursions in log space, one row after another: exact wherever the numbers fit, and not in a hurry.

They take the log densities (n, K) of the rows and serve where scaled probabilities would underflow; the fast kernels
are checked against them. Sequences are given by ``starts`` (m + 1,), the first row of each and the end.
"""

import math

import numpy as np
from numba import njit

from consilience.kernels._compiling import INNER, called


@called
def log_density(
    X: np.ndarray, means: np.ndarray, whitening: np.ndarray, log_normalizer: np.ndarray, out: np.ndarray
) -> None:
    """log N(x; mean, covariance) of every row and state, diagonal whitening (K, D)."""
    n, d = X.shape
    for t in range(n):
        for k in range(len(means)):
            total = 0.0
            for i in range(d):
                z = (X[t, i] - means[k, i]) * whitening[k, i]
                total += z * z
            out[t, k] = log_normalizer[k] - 0.5 * total


@called
def log_density_full(
    X: np.ndarray, means: np.ndarray, whitening: np.ndarray, log_normalizer: np.ndarray, out: np.ndarray
) -> None:
    """The same with triangular whitening (K, D, D)."""
    n, d = X.shape
    for t in range(n):
        for k in range(len(means)):
            total = 0.0
            for i in range(d):
                z = 0.0
                for j in range(i + 1):
                    z += whitening[k, i, j] * (X[t, j] - means[k, j])
                total += z * z
            out[t, k] = log_normalizer[k] - 0.5 * total


@njit(**INNER)
def _log_sum(values: np.ndarray) -> float:
    top = values.max()
    if top == -np.inf:
        return top
    total = 0.0
    for value in values:
        total += math.exp(value - top)
    return top + math.log(total)


@called
def forward(
    log_b: np.ndarray, starts: np.ndarray, log_start: np.ndarray, log_trans: np.ndarray, alpha: np.ndarray
) -> float:
    """Fill alpha (n, K) with log P(state_t | rows up to t); give the log-likelihood of all sequences."""
    k = len(log_start)
    row = np.empty(k)
    terms = np.empty(k)
    total = 0.0
    for s in range(len(starts) - 1):
        for t in range(starts[s], starts[s + 1]):
            for j in range(k):
                if t == starts[s]:
                    row[j] = log_start[j] + log_b[t, j]
                else:
                    for i in range(k):
                        terms[i] = alpha[t - 1, i] + log_trans[i, j]
                    row[j] = _log_sum(terms) + log_b[t, j]
            scale = _log_sum(row)
            total += scale
            for j in range(k):
                alpha[t, j] = row[j] - scale if scale > -np.inf else -np.inf
    return total


@called
def backward(
    log_b: np.ndarray, starts: np.ndarray, log_trans: np.ndarray, alpha: np.ndarray, gamma: np.ndarray, xi: np.ndarray
) -> None:
    """Fill gamma (n, K) with P(state_t | all rows) and add the expected transitions to xi (K, K)."""
    k = log_b.shape[1]
    beta = np.zeros(k)
    ahead = np.empty(k)
    terms = np.empty(k)
    for s in range(len(starts) - 1):
        beta[:] = 0.0
        for t in range(starts[s + 1] - 1, starts[s] - 1, -1):
            if t < starts[s + 1] - 1:
                for j in range(k):
                    ahead[j] = beta[j] + log_b[t + 1, j]
                for i in range(k):
                    for j in range(k):
                        terms[j] = log_trans[i, j] + ahead[j]
                    beta[i] = _log_sum(terms)
                norm = _log_sum(alpha[t] + beta)
                if norm > -np.inf:
                    for i in range(k):
                        for j in range(k):
                            xi[i, j] += math.exp(alpha[t, i] + log_trans[i, j] + ahead[j] - norm)
                top = beta.max()
                if top > -np.inf:
                    beta -= top
            norm = _log_sum(alpha[t] + beta)
            for j in range(k):
                gamma[t, j] = math.exp(alpha[t, j] + beta[j] - norm) if norm > -np.inf else np.nan


@called
def viterbi(
    log_b: np.ndarray, starts: np.ndarray, log_start: np.ndarray, log_trans: np.ndarray, path: np.ndarray
) -> float:
    """Fill path (n,) with the most probable states; give its log-probability. Ties go to the lower state."""
    k = len(log_start)
    back = np.empty(log_b.shape, np.uint8)
    delta = np.empty(k)
    new = np.empty(k)
    total = 0.0
    for s in range(len(starts) - 1):
        for t in range(starts[s], starts[s + 1]):
            for j in range(k):
                if t == starts[s]:
                    new[j] = log_start[j] + log_b[t, j]
                    continue
                best = delta[0] + log_trans[0, j]
                arg = 0
                for i in range(1, k):
                    value = delta[i] + log_trans[i, j]
                    if value > best:
                        best = value
                        arg = i
                back[t, j] = arg
                new[j] = best + log_b[t, j]
            delta[:] = new
        state = int(np.argmax(delta))
        total += delta[state]
        for t in range(starts[s + 1] - 1, starts[s] - 1, -1):
            path[t] = state
            if t > starts[s]:
                state = back[t, state]
    return total


@called
def windowed_filter(
    log_b: np.ndarray, starts: np.ndarray, start: np.ndarray, transmat: np.ndarray, window: int, out: np.ndarray
) -> None:
    """P(state_t | rows t-window+1 … t), the first of them having the prior ``start``: out (n, K), rows sum to 1.

    Where all of a row's density lies on states that the previous rows exclude, the filter starts anew at that row.
    """
    k = len(start)
    b = np.empty_like(log_b)
    for t in range(len(log_b)):
        top = log_b[t, 0]
        for j in range(1, k):
            top = max(top, log_b[t, j])
        for j in range(k):
            b[t, j] = math.exp(log_b[t, j] - top)
    state = np.empty(k)
    new = np.empty(k)
    for s in range(len(starts) - 1):
        for t in range(starts[s], starts[s + 1]):
            first = max(starts[s], t - window + 1)
            # up to the first full window, each row continues the filter of the row before
            for u in range(t if t < starts[s] + window else first, t + 1):
                total = 0.0
                for j in range(k):
                    p = start[j]
                    if u > first:
                        p = 0.0
                        for i in range(k):
                            p += state[i] * transmat[i, j]
                    new[j] = p * b[u, j]
                    total += new[j]
                if total < 1e-290:
                    total = 0.0
                    for j in range(k):
                        new[j] = b[u, j]
                        total += b[u, j]
                for j in range(k):
                    state[j] = new[j] / total
            for j in range(k):
                out[t, j] = state[j]
