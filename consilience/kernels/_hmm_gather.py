"""The expected statistics of Baum–Welch, summed while stepping back in time (see ``_hmm_scaled`` for the layout)."""

import numpy as np
from numba import njit

from consilience.kernels._compiling import INLINED, INNER, Chosen
from consilience.kernels._hmm_emission import ALL, BLOCK, FIRST_ROW
from consilience.kernels._hmm_lanes import LANES, load, splat, store
from consilience.kernels._hmm_scaled import back_block, begin_back
from consilience.kernels._hmm_steps import add_transitions


@njit(**INNER)
def gather(
    steps: int,
    table: np.ndarray,
    bounds: np.ndarray,
    transmat: np.ndarray,
    k: int,
    density: np.ndarray,
    alpha: np.ndarray,
    packed: np.ndarray,
    n_features: int,
    means: np.ndarray,
    full: Chosen,
    many: Chosen,
    sums: np.ndarray,
    summary: np.ndarray,
    edges: np.ndarray,
) -> None:
    """Go backwards, adding up what the maximisation step needs.

    Parameters
    ----------
    sums : transitions before their factor A (K·K·8), occupancy (K·8), first moments (K·D·8), second moments (K·D·8, or
        K·D(D+1)/2·8 lower triangles), posterior of step 0 (K·8); each lane sums its own segment.
    summary : (8,), filled with the low-water mark. edges : (4, 8, K).
    """
    size = BLOCK * k * LANES
    gamma, share, weight = np.empty(size), np.empty(size), np.empty(size + k * LANES)
    carried = np.empty(2 * LANES)
    begin_back(k, weight, carried)
    for start in range(steps - BLOCK, table[FIRST_ROW, ALL] - 1, -BLOCK):
        back_block(start, table, bounds, transmat, k, density, alpha, carried, gamma, share, weight, edges, many)
        add_transitions(share, weight, sums, k, many)
        add_moments(start, k, gamma, packed, n_features, means, full, sums)
    at = len(sums) - k * LANES
    for i in range(k):
        store(sums, at + i * LANES, load(gamma, i * LANES))
    store(summary, 0, load(carried, 0))


@njit(**INLINED)
def add_moments(start, k, gamma, packed, n_features, means, full, sums):  # type: ignore[no-untyped-def]
    """Occupancy and moments about the means of one block; two sums at once."""
    stride, row = k * LANES, n_features * LANES
    at = k * k * LANES
    second = at + k * LANES + k * n_features * LANES
    first = at + k * LANES
    for i in range(k):
        total = load(sums, at)
        for t in range(BLOCK):
            total = total + load(gamma, t * stride + i * LANES)
        store(sums, at, total)
        at += LANES
        for d in range(n_features):
            mean = splat(means[i * n_features + d])
            if full is None:
                a, a2, b, b2 = load(sums, first), load(sums, second), splat(0.0), splat(0.0)
                g = i * LANES
                x = start * row + d * LANES
                for _ in range(BLOCK // 2):
                    z = load(packed, x) - mean
                    w = load(gamma, g) * z
                    a = a + w
                    a2 = a2 + w * z
                    z = load(packed, x + row) - mean
                    w = load(gamma, g + stride) * z
                    b = b + w
                    b2 = b2 + w * z
                    g += 2 * stride
                    x += 2 * row
                store(sums, first, a + b)
                store(sums, second, a2 + b2)
                second += LANES
            else:
                a = load(sums, first)
                for t in range(BLOCK):
                    a = a + load(gamma, t * stride + i * LANES) * (load(packed, (start + t) * row + d * LANES) - mean)
                store(sums, first, a)
                for e in range(d + 1):
                    other = splat(means[i * n_features + e])
                    a, b = load(sums, second), splat(0.0)
                    g = i * LANES
                    x = start * row
                    for _ in range(BLOCK // 2):
                        w = load(gamma, g) * (load(packed, x + d * LANES) - mean)
                        a = a + w * (load(packed, x + e * LANES) - other)
                        w = load(gamma, g + stride) * (load(packed, x + row + d * LANES) - mean)
                        b = b + w * (load(packed, x + row + e * LANES) - other)
                        g += 2 * stride
                        x += 2 * row
                    store(sums, second, a + b)
                    second += LANES
            first += LANES
