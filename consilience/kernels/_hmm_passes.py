"""One thread's share of a pass over the segments: forwards, and backwards for smoothing or gathering."""

import numpy as np
from numba import njit

from consilience.kernels._hmm_gather import BLOCK, gather
from consilience.kernels._hmm_lanes import LANES
from consilience.kernels._hmm_scaled import HIGH, LAST_STEP, LOW, backward, forward, pack, unpack

_CACHED = {"cache": True, "nogil": True, "error_model": "numpy"}

FILTER, SMOOTH, GATHER = range(3)
ALPHA_BEFORE, ALPHA_LAST, WEIGHT_FIRST, WEIGHT_AFTER = range(4)  # what is kept of each segment's edges


@njit(**_CACHED)
def padded(steps: int) -> int:
    """The next multiple of BLOCK."""
    return (steps + BLOCK - 1) // BLOCK * BLOCK


@njit(**_CACHED)
def keep_edge(values: np.ndarray, k: int, table: np.ndarray, which: int, edges: np.ndarray) -> None:
    """Copy each lane's K values of one step at its segment's edge to edges[which, lane], if there is such a step."""
    for lane in range(LANES):
        if which == ALPHA_BEFORE:
            step = table[LOW, lane] - 1
        elif which == ALPHA_LAST:
            step = table[HIGH, lane] - 1
        elif which == WEIGHT_FIRST:
            step = table[LOW, lane]
        else:
            step = table[HIGH, lane]
        if 0 <= step <= table[LAST_STEP, lane]:
            for j in range(k):
                edges[which, lane, j] = values[(step * k + j) * LANES + lane]


@njit(**_CACHED)
def run(
    groups: np.ndarray,
    tables: np.ndarray,
    bounds: np.ndarray,
    first: np.ndarray,
    X: np.ndarray,
    d: int,
    transmat: np.ndarray,
    means: np.ndarray,
    whitening: np.ndarray,
    constant: np.ndarray,
    diagonal: bool,
    watch: bool,
    mode: int,
    filled: bool,
    offsets: np.ndarray,
    packed: np.ndarray,
    density: np.ndarray,
    alpha: np.ndarray,
    out: np.ndarray,
    sums: np.ndarray,
    summaries: np.ndarray,
    edges: np.ndarray,
) -> None:
    """Work through the given groups in one thread; what is written belongs to these groups alone.

    Parameters
    ----------
    groups : numbers of the groups. tables, bounds, first, sums, summaries, edges : one row per group.
    X : (n·D,). out : (n·K,), unless gathering. density, alpha : scratch for the longest group.
    packed : lanes of X, from ``offsets`` on for each group; filled here unless ``filled`` says that they are.
    """
    k = len(constant)
    for g in groups:
        table = tables[g]
        steps = padded(table[LAST_STEP].max() + 1)
        lanes = packed[offsets[g] :]
        if not filled:
            pack(X, d, table, steps, lanes)
        forward(
            lanes, steps, bounds[g], first[g], transmat, d, means, whitening, constant, diagonal, watch,
            density, alpha, summaries[g],
        )  # fmt: skip
        keep_edge(alpha, k, table, ALPHA_BEFORE, edges[g])
        keep_edge(alpha, k, table, ALPHA_LAST, edges[g])
        water = summaries[g, 5 * LANES :]
        if mode == GATHER:
            gather(
                steps, bounds[g], transmat, k, density, alpha, lanes, d, means, diagonal, sums[g], water
            )  # fmt: skip
        elif mode == SMOOTH:
            backward(steps, bounds[g], transmat, k, density, alpha, water)
        if mode != FILTER:
            keep_edge(density, k, table, WEIGHT_FIRST, edges[g])
            keep_edge(density, k, table, WEIGHT_AFTER, edges[g])
        if mode != GATHER:
            unpack(alpha, k, table, steps, out)
