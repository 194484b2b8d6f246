"""Exact float64 Lorentzian distances, one pair at a time.

d(x, y) = Σ log(1+|xᵢ−yᵢ|) = log Π(1+|xᵢ−yᵢ|). The product minus one, s, is carried instead of the product: with
a = |xᵢ−yᵢ|, s ← s + a(1+s) adds only positive terms, so its relative error stays near 4·D·2⁻⁵³ at every scale, and a
distance costs one logarithm.
"""

import numpy as np
from numba import njit

from consilience.kernels._compiling import INNER, called

_FLUSH = 1e150  # take the logarithm of what was multiplied so far before it can overflow
_HUGE = 1e100


@njit(**INNER)
def distance(x: np.ndarray, y: np.ndarray) -> float:
    """Distance of two rows (d,) of finite float64 at any scale."""
    total = 0.0
    s = 0.0
    for i in range(x.shape[0]):
        a = abs(x[i] - y[i])
        if a > _HUGE:
            # Half the difference cannot overflow where the difference does.
            total += np.log(abs(0.5 * x[i] - 0.5 * y[i])) + np.log(2.0)
        else:
            s += a * (1.0 + s)
            if s > _FLUSH:
                total += np.log1p(s)
                s = 0.0
    return total + np.log1p(s)


@njit(**INNER)
def insert(distances: np.ndarray, indices: np.ndarray, d: float, index: int) -> None:
    """Put (d, index) into its place in an ascending list, if it is better than the last entry; equal d go by index."""
    place = distances.shape[0] - 1
    if not (d < distances[place] or (d == distances[place] and index < indices[place])):
        return
    while place > 0 and (distances[place - 1] > d or (distances[place - 1] == d and indices[place - 1] > index)):
        distances[place] = distances[place - 1]
        indices[place] = indices[place - 1]
        place -= 1
    distances[place] = d
    indices[place] = index


@called
def exact_pairs(X: np.ndarray, Y: np.ndarray, start: int, stop: int, out: np.ndarray) -> None:
    """Fill rows start:stop of out (n, m) with the distances of the rows of X (n, d) and Y (m, d)."""
    for i in range(start, stop):
        for j in range(Y.shape[0]):
            out[i, j] = distance(X[i], Y[j])
