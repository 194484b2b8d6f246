"""The Lorentzian distance and its neighbours, written for reading only."""

import math

import numpy as np


def distance(x, y) -> float:
    """Σ log(1+|xᵢ−yᵢ|), with the difference taken in halves so that it cannot overflow."""
    terms = []
    for a, b in zip(np.asarray(x, float).tolist(), np.asarray(y, float).tolist()):
        half = abs(0.5 * a - 0.5 * b)
        terms.append(math.log(half) + math.log(2.0) if half > 1e100 else math.log1p(abs(a - b)))
    return math.fsum(terms)


def distances(X, Y) -> np.ndarray:
    """All pairs, (n, m)."""
    return np.array([[distance(x, y) for y in Y] for x in X])


def neighbors(reference, queries, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Sort everything; equal distances in the order of the rows."""
    table = distances(queries, reference)
    order = np.argsort(table, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(table, order, axis=1), order


def spaced(order, positions, assets, k: int, spacing: int) -> list[int]:
    """The first k of ``order`` that are at least ``spacing`` bars from every earlier accepted one of their asset."""
    accepted: list[int] = []
    for row in order:
        if all(assets[row] != assets[a] or abs(positions[row] - positions[a]) >= spacing for a in accepted):
            accepted.append(int(row))
        if len(accepted) == k:
            break
    return accepted
