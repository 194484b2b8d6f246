"""An order of rows in which every 64 that follow each other lie close together."""

import numpy as np

from consilience.kernels._lorentzian_lanes import LANES

_SAMPLE = 512


def compact_order(values: np.ndarray) -> np.ndarray:
    """Order the rows of values (n, d) by repeated median splits of the widest feature, down to blocks of 64.

    Each split falls on a multiple of 64, so that blocks are full except the last one.

    Returns
    -------
    (n,) int64, a permutation.
    """
    columns = np.ascontiguousarray(values.T)
    order = np.arange(len(values), dtype=np.int64)
    stack = [(0, len(values))]
    while stack:
        start, stop = stack.pop()
        if stop - start <= LANES:
            continue
        rows = order[start:stop]
        column = columns[_widest(columns, rows)][rows]
        half = ((stop - start) // LANES + 1) // 2 * LANES
        order[start:stop] = rows[np.argpartition(column, half - 1)]
        stack += [(start, start + half), (start + half, stop)]
    return order


def _widest(columns: np.ndarray, rows: np.ndarray) -> int:
    """The feature whose values, in a sample of the rows, lie farthest from their middle, as the distance sees it."""
    sample = columns[:, rows[:: max(1, len(rows) // _SAMPLE)]]
    middle = np.median(sample, axis=1, keepdims=True)
    with np.errstate(over="ignore"):
        return int(np.log1p(np.abs(sample - middle)).sum(axis=1).argmax())
