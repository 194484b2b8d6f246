"""The definition of overlapping label intervals, spelt out pair by pair."""

import numpy as np


def overlapping_pairs(start, end, train, test) -> int:
    """How many (train, test) pairs of closed intervals [start, end] share an instant."""
    a, b = start[train][:, None], end[train][:, None]
    return int(((a <= end[test]) & (start[test] <= b)).sum())


def widen(start, end, steps, embargo):
    """Intervals widened by a number of steps, one by one."""
    out = []
    for a, b in zip(start, end):
        first = max(0, int(np.flatnonzero(steps == a)[0]) - embargo)
        last = min(len(steps) - 1, int(np.flatnonzero(steps <= b)[-1]) + embargo)
        out.append((steps[first], max(b, steps[last])))
    return np.array(out).T
