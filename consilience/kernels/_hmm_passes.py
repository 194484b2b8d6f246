"""One thread's share of a pass over the segments: forwards, and backwards for smoothing or gathering."""

import numpy as np
from numba import njit

from consilience.kernels._hmm_gather import gather
from consilience.kernels._hmm_lanes import LANES
from consilience.kernels._hmm_scaled import HIGH, LAST_STEP, LOW, backward, forward, pack, unpack

_CACHED = {"cache": True, "nogil": True, "error_model": "numpy"}

FILTER, SMOOTH, GATHER = range(3)
ALPHA_BEFORE, ALPHA_LAST, WEIGHT_FIRST, WEIGHT_AFTER = range(4)  # what is kept of each segment's edges


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
    steps: np.ndarray,
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
    smooth: bool,
    packed: np.ndarray,
    density: np.ndarray,
    alpha: np.ndarray,
    out: np.ndarray,
    summaries: np.ndarray,
    edges: np.ndarray,
) -> None:
    """Filter or smooth the given groups in one thread; what is written belongs to these groups alone.

    Parameters
    ----------
    groups : numbers of the groups. steps, tables, bounds, first, summaries, edges : one row per group.
    X : (n·D,). out : (n·K,). packed, density, alpha : scratch for the longest group.
    """
    k = len(constant)
    for g in groups:
        table = tables[g]
        pack(X, d, table, steps[g], packed)
        forward(
            packed, steps[g], bounds[g], first[g], transmat, d, means, whitening, constant, diagonal, watch,
            density, alpha, summaries[g],
        )  # fmt: skip
        keep_edge(alpha, k, table, ALPHA_BEFORE, edges[g])
        keep_edge(alpha, k, table, ALPHA_LAST, edges[g])
        if smooth:
            backward(steps[g], bounds[g], transmat, k, density, alpha, summaries[g, 5 * LANES :])
            keep_edge(density, k, table, WEIGHT_FIRST, edges[g])
            keep_edge(density, k, table, WEIGHT_AFTER, edges[g])
        unpack(alpha, k, table, steps[g], out)


@njit(**_CACHED)
def run_gather(
    groups: np.ndarray,
    steps: np.ndarray,
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
    filled: bool,
    offsets: np.ndarray,
    packed: np.ndarray,
    density: np.ndarray,
    alpha: np.ndarray,
    sums: np.ndarray,
    summaries: np.ndarray,
    edges: np.ndarray,
) -> None:
    """The expectation step of the given groups in one thread.

    Parameters
    ----------
    groups : numbers of the groups. steps (multiples of BLOCK), tables, bounds, first, sums, summaries, edges : one row
        per group.
    packed : lanes of X, from ``offsets`` on for each group; filled here unless ``filled`` says that they are.
    """
    k = len(constant)
    for g in groups:
        table = tables[g]
        lanes = packed[offsets[g] :]
        if not filled:
            pack(X, d, table, steps[g], lanes)
        forward(
            lanes, steps[g], bounds[g], first[g], transmat, d, means, whitening, constant, diagonal, watch,
            density, alpha, summaries[g],
        )  # fmt: skip
        keep_edge(alpha, k, table, ALPHA_BEFORE, edges[g])
        keep_edge(alpha, k, table, ALPHA_LAST, edges[g])
        gather(
            steps[g], bounds[g], transmat, k, density, alpha, lanes, d, means, diagonal, sums[g],
            summaries[g, 5 * LANES :],
        )  # fmt: skip
        keep_edge(density, k, table, WEIGHT_FIRST, edges[g])
        keep_edge(density, k, table, WEIGHT_AFTER, edges[g])
