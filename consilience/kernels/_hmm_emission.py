"""Rows to lanes, and their log densities, one block of steps at a time (see ``_hmm_scaled`` for the layout)."""

import numpy as np
from numba import njit

from consilience.kernels._compiling import INNER, Chosen
from consilience.kernels._hmm_lanes import (
    LANES,
    exp,
    gather_square,
    larger,
    load,
    scatter_square,
    splat,
    store,
)

BLOCK = 16  # steps whose numbers stay in the first-level cache; groups are padded to a multiple of it
FIRST_ROW, LAST_STEP, LOW, HIGH, ENDS = range(5)  # rows of a group's table: eight lanes, and what holds for all of them
ALL = LANES

# loops rather than array expressions: each of those would take the compiler a third of a second


@njit(**INNER)
def pack(X: np.ndarray, d: int, table: np.ndarray, start: int, packed: np.ndarray, at: int) -> None:
    """Copy a block of eight segments into lanes: packed[at + (s·D + i)·8 + lane]. Past a segment's end, its last row.

    Parameters
    ----------
    X : (n·D,) the rows, flat. start : the block's first step.
    """
    if start + BLOCK <= table[LAST_STEP, ALL] + 1:
        for i in range(0, BLOCK * d, LANES):
            gather_square(X, table, start, d, i, packed, at + i * LANES)
        return
    for s in range(BLOCK):
        for lane in range(LANES):
            row = (table[FIRST_ROW, lane] + min(start + s, table[LAST_STEP, lane])) * d
            for i in range(d):
                packed[at + (s * d + i) * LANES + lane] = X[row + i]


@njit(**INNER)
def unpack(values: np.ndarray, k: int, table: np.ndarray, start: int, out: np.ndarray) -> None:
    """Copy the owned rows of a block from lanes, values[(s·K + j)·8 + lane], to out (n·K,)."""
    if table[LOW, ALL] <= start and start + BLOCK <= table[HIGH, ALL]:
        for i in range(0, BLOCK * k, LANES):
            scatter_square(out, table, start, k, i, values, i * LANES)
        return
    for lane in range(LANES):
        row = (table[FIRST_ROW, lane] + start) * k
        for i in range(max(table[LOW, lane] - start, 0) * k, min(table[HIGH, lane] - start, BLOCK) * k):
            out[row + i] = values[i * LANES + lane]


@njit(**INNER)
def log_densities(
    packed: np.ndarray,
    at: int,
    n_features: int,
    means: np.ndarray,
    whitening: np.ndarray,
    constant: np.ndarray,
    full: Chosen,
    centred: np.ndarray,
    out: np.ndarray,
    place: int,
) -> None:
    """Log densities of the block packed[at:] into out[place + (s·K + k)·8], four steps side by side.

    means, whitening : flat. full : True if the whitening is triangular. centred : scratch (4·D·8,).
    """
    half = splat(-0.5)
    k, row = len(constant), n_features * LANES
    stride = k * LANES
    size = n_features * (n_features + 1) // 2
    for state in range(k):
        base = splat(constant[state])
        for s in range(0, BLOCK, 4):
            a, b, c, d = splat(0.0), splat(0.0), splat(0.0), splat(0.0)
            x = at + s * row
            number = state * n_features
            if full is None:
                for i in range(n_features):
                    mean, white = splat(means[number + i]), splat(whitening[number + i])
                    z = (load(packed, x) - mean) * white
                    a = a + z * z
                    z = (load(packed, x + row) - mean) * white
                    b = b + z * z
                    z = (load(packed, x + 2 * row) - mean) * white
                    c = c + z * z
                    z = (load(packed, x + 3 * row) - mean) * white
                    d = d + z * z
                    x += LANES
            else:
                weight = state * size
                for i in range(n_features):
                    mean = splat(means[number + i])
                    y = i * 4 * LANES
                    store(centred, y, load(packed, x) - mean)
                    store(centred, y + LANES, load(packed, x + row) - mean)
                    store(centred, y + 2 * LANES, load(packed, x + 2 * row) - mean)
                    store(centred, y + 3 * LANES, load(packed, x + 3 * row) - mean)
                    x += LANES
                    e, f, g, h = splat(0.0), splat(0.0), splat(0.0), splat(0.0)
                    y = 0
                    for _ in range(i + 1):
                        white = splat(whitening[weight])
                        e = e + load(centred, y) * white
                        f = f + load(centred, y + LANES) * white
                        g = g + load(centred, y + 2 * LANES) * white
                        h = h + load(centred, y + 3 * LANES) * white
                        weight += 1
                        y += 4 * LANES
                    a, b, c, d = a + e * e, b + f * f, c + g * g, d + h * h
            to = place + s * stride + state * LANES
            store(out, to, base + half * a)
            store(out, to + stride, base + half * b)
            store(out, to + 2 * stride, base + half * c)
            store(out, to + 3 * stride, base + half * d)


@njit(**INNER)
def relative_densities(density: np.ndarray, place: int, k: int, tops: np.ndarray) -> None:
    """Log densities of a block become densities over each row's largest, whose logarithm goes to tops (BLOCK·8,)."""
    for s in range(BLOCK):
        at = place + s * k * LANES
        top = load(density, at)
        for j in range(1, k):
            top = larger(top, load(density, at + j * LANES))
        store(tops, s * LANES, top)
        for j in range(k):
            store(density, at + j * LANES, exp(load(density, at + j * LANES) - top))
