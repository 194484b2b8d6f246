"""What a pass over the segments comes to: the log-likelihood, if the numbers held and the cuts do not show."""

import math

import numpy as np

from consilience.kernels._compiling import called
from consilience.kernels._hmm_lanes import LANES

HELD, UNDERFLOW, CUTS_SHOW = range(3)
_AGREE = 1e-12  # relative difference at a cut, below which an arbitrary start counts as forgotten
_LN2 = 0.6931471805599453
_LOW_WATER = 1e-280  # a scale below it may have lost states to underflow; log space decides then


@called
def settle(
    summaries: np.ndarray, edges: np.ndarray, cut_edges: np.ndarray, n_kinds: int, transmat: np.ndarray, k: int
) -> tuple[float, int]:
    """The log-likelihood (nats), and HELD, or why it does not count.

    Parameters
    ----------
    summaries : (G·6·8,) as ``forward`` and ``back_block`` leave them. edges : (G·4·8·K,).
    cut_edges : (4, n_cuts) rows of ``edges`` that must agree, relative to each state's probability: alpha of both
        sides of each cut and, unless ``n_kinds`` is 2, weight of both. transmat : (K·K,).
    """
    total, power = 0.0, 0.0
    for group in range(0, len(summaries), 6 * LANES):
        for at in range(group, group + LANES):
            if not (summaries[at + 4 * LANES] > _LOW_WATER and summaries[at + 5 * LANES] > _LOW_WATER):
                return 0.0, UNDERFLOW
            total += summaries[at] + math.log(summaries[at + 3 * LANES] / summaries[at + 2 * LANES])
            power += summaries[at + LANES]
    total += _LN2 * power
    if total - total != 0.0:  # infinite or not a number
        return 0.0, UNDERFLOW
    for kind in range(0, n_kinds, 2):
        row, column = (k, 1) if kind == 0 else (1, k)
        for cut in range(cut_edges.shape[1]):
            here, there = cut_edges[kind, cut] * k, cut_edges[kind + 1, cut] * k
            mine, theirs = 1e-300, 1e-300
            for i in range(k):
                mine += edges[here + i]
                theirs += edges[there + i]
            for j in range(k):
                a, b = 0.0, 0.0
                for i in range(k):
                    a += edges[here + i] / mine * transmat[i * row + j * column]
                    b += edges[there + i] / theirs * transmat[i * row + j * column]
                if not abs(a - b) <= _AGREE * min(a, b):
                    return total, CUTS_SHOW
    return total, HELD
