"""Choosing, among a query's nearest rows, those that lie far enough apart in time."""

import numpy as np

from consilience.kernels._compiling import called


@called
def spaced(
    distances: np.ndarray,
    candidates: np.ndarray,
    positions: np.ndarray,
    assets: np.ndarray,
    spacing: int,
    own: np.ndarray,
    out_distances: np.ndarray,
    out_indices: np.ndarray,
) -> None:
    """Walk each query's candidates (m, c), nearest first, and accept up to k of them.

    A candidate is passed over when it is the query's own row (own[q], or -1), or when it is less than ``spacing`` bars
    away from an accepted row of the same asset. positions and assets (n,) describe the reference rows; the outputs
    (m, k) are padded with inf and -1.
    """
    k = out_indices.shape[1]
    for q in range(candidates.shape[0]):
        taken = 0
        for c in range(candidates.shape[1]):
            if taken == k:
                break
            row = candidates[q, c]
            free = row != own[q]
            for t in range(taken):
                other = out_indices[q, t]
                if assets[other] == assets[row] and abs(positions[other] - positions[row]) < spacing:
                    free = False
                    break
            if free:
                out_indices[q, taken] = row
                out_distances[q, taken] = distances[q, c]
                taken += 1
        for t in range(taken, k):
            out_indices[q, t] = -1
            out_distances[q, t] = np.inf
