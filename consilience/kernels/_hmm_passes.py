"""One thread's share of a pass over the segments: forwards, and backwards for smoothing or gathering."""

import numpy as np

from consilience.kernels._compiling import Chosen, called
from consilience.kernels._hmm_emission import ALL, BLOCK, FIRST_ROW, unpack
from consilience.kernels._hmm_gather import gather
from consilience.kernels._hmm_lanes import LANES, load, store
from consilience.kernels._hmm_scaled import back_block, begin_back, forward, keep_alpha, normalized
from consilience.kernels._turns import take

FILTER, SMOOTH, GATHER = range(3)


@called
def run(
    turns: np.ndarray,
    steps: np.ndarray,
    tables: np.ndarray,
    bounds: np.ndarray,
    opens: np.ndarray,
    X: np.ndarray,
    d: int,
    startprob: np.ndarray,
    transmat: np.ndarray,
    means: np.ndarray,
    whitening: np.ndarray,
    constant: np.ndarray,
    full: Chosen,
    many: Chosen,
    watch: bool,
    smooth: Chosen,
    density: np.ndarray,
    alpha: np.ndarray,
    out: np.ndarray,
    summaries: np.ndarray,
    edges: np.ndarray,
) -> None:
    """Filter or smooth in one thread the groups whose turns it takes; what it writes belongs to these groups alone.

    Parameters
    ----------
    turns : (1,) the counter that the threads share.
    steps (multiples of BLOCK), tables, bounds, opens, summaries, edges : one row per group.
    X : (n·D,). out : (n·K,). density, alpha : scratch for the longest group.
    """
    k = len(constant)
    size = BLOCK * k * LANES
    gamma, share, weight = np.empty(size), np.empty(size), np.empty(size + k * LANES)
    packed, carried = np.empty(BLOCK * d * LANES), np.empty(2 * LANES)
    g = take(turns)
    while g < len(steps):
        table = tables[g]
        forward(
            X, table, steps[g], bounds[g], opens[g], startprob, transmat, d, means, whitening, constant, full, many,
            watch, False, packed, density, alpha, summaries[g],
        )  # fmt: skip
        keep_alpha(alpha, k, table, edges[g])
        begin_back(k, weight, carried)
        for start in range(steps[g] - BLOCK, table[FIRST_ROW, ALL] - 1, -BLOCK):
            if smooth is not None:
                back_block(
                    start,
                    table,
                    bounds[g],
                    transmat,
                    k,
                    density,
                    alpha,
                    carried,
                    gamma,
                    share,
                    weight,
                    edges[g],
                    many,
                )
            else:
                normalized(alpha, start, k, gamma)
            unpack(gamma, k, table, start, out)
        store(summaries[g], 5 * LANES, load(carried, 0))
        g = take(turns)


@called
def run_gather(
    turns: np.ndarray,
    steps: np.ndarray,
    tables: np.ndarray,
    bounds: np.ndarray,
    opens: np.ndarray,
    X: np.ndarray,
    d: int,
    startprob: np.ndarray,
    transmat: np.ndarray,
    means: np.ndarray,
    whitening: np.ndarray,
    constant: np.ndarray,
    full: Chosen,
    many: Chosen,
    watch: bool,
    packed: np.ndarray,
    density: np.ndarray,
    alpha: np.ndarray,
    sums: np.ndarray,
    summaries: np.ndarray,
    edges: np.ndarray,
) -> None:
    """The expectation step of the groups whose turns this thread takes.

    Parameters
    ----------
    turns : (1,) the counter that the threads share.
    steps (multiples of BLOCK), tables, bounds, opens, sums, summaries, edges : one row per group.
    packed, density, alpha : scratch for the longest group.
    """
    k = len(constant)
    g = take(turns)
    while g < len(steps):
        table = tables[g]
        forward(
            X, table, steps[g], bounds[g], opens[g], startprob, transmat, d, means, whitening, constant, full, many,
            watch, True, packed, density, alpha, summaries[g],
        )  # fmt: skip
        keep_alpha(alpha, k, table, edges[g])
        gather(
            steps[g], table, bounds[g], transmat, k, density, alpha, packed, d, means, full, many, sums[g],
            summaries[g, 5 * LANES :], edges[g],
        )  # fmt: skip
        g = take(turns)
