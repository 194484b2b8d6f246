"""Scaled forward–backward over eight stretches of rows at a time, with all expected statistics gathered on the way.

A *group* is eight *segments*, one per lane, all beginning at step t = 0. A segment owns the rows [low, high) of its
steps; the steps before and after are neighbours' rows that let it forget an arbitrary start (and end). Arrays are flat;
a vector of lanes for step t and state k lies at ((t·K) + k)·8. Densities are divided by each row's largest, probabilities
by their sum, so nothing underflows that the caller is not told of (``low_water``).
"""

import numpy as np
from numba import njit

from consilience.kernels._hmm_lanes import (
    LANES,
    exp,
    exponent,
    inside,
    larger,
    load,
    mantissa,
    smaller,
    splat,
    store,
)

_CACHED = {"cache": True, "nogil": True, "error_model": "numpy"}
_INLINED = {**_CACHED, "forceinline": True}

_BLOCK = 32  # steps whose posteriors are kept at hand before they are summed

# rows of a group's table (8 lanes each)
FIRST_ROW, LAST_STEP, LOW, HIGH, ENDS = range(5)


@njit(**_CACHED)
def pack(X: np.ndarray, table: np.ndarray, steps: int, packed: np.ndarray) -> None:
    """Copy the rows of eight segments into lanes: packed[(t·D + d)·8 + lane]. Past a segment's end, its last row."""
    d = X.shape[1]
    for t in range(steps):
        for lane in range(LANES):
            row = table[FIRST_ROW, lane] + min(t, table[LAST_STEP, lane])
            for i in range(d):
                packed[(t * d + i) * LANES + lane] = X[row, i]


@njit(**_INLINED)
def emit(
    packed: np.ndarray,
    t: int,
    n_features: int,
    means: np.ndarray,
    whitening: np.ndarray,
    constant: np.ndarray,
    diagonal: bool,
    centred: np.ndarray,
    out: np.ndarray,
    place: int,
) -> None:
    """Log densities of step t into out[place + k·8]. means, whitening: flat; centred: scratch (D·8,)."""
    half = splat(-0.5)
    at = t * n_features * LANES
    triangle = 0
    for k in range(len(constant)):
        total = splat(0.0)
        if diagonal:
            for i in range(n_features):
                z = (load(packed, at + i * LANES) - splat(means[k * n_features + i])) * splat(
                    whitening[k * n_features + i]
                )
                total = total + z * z
        else:
            for i in range(n_features):
                store(centred, i * LANES, load(packed, at + i * LANES) - splat(means[k * n_features + i]))
                z = splat(0.0)
                for j in range(i + 1):
                    z = z + load(centred, j * LANES) * splat(whitening[triangle])
                    triangle += 1
                total = total + z * z
        store(out, place + k * LANES, splat(constant[k]) + half * total)


@njit(**_CACHED)
def forward(
    packed: np.ndarray,
    steps: int,
    bounds: np.ndarray,
    first: np.ndarray,
    transmat: np.ndarray,
    n_features: int,
    means: np.ndarray,
    whitening: np.ndarray,
    constant: np.ndarray,
    diagonal: bool,
    watch: bool,
    density: np.ndarray,
    alpha: np.ndarray,
    summary: np.ndarray,
) -> None:
    """Filter eight segments.

    Parameters
    ----------
    bounds : (5·8,) the table's rows as floats. first : (K·8,) each lane's prior of step 0. transmat : (K·K,).
    density, alpha : (steps·K·8,), filled with scaled densities and filtered probabilities.
    summary : (4·8,): sum of log scales, mantissa and exponent of the product of scales, and the low-water mark.
    """
    k = len(constant)
    low, high = load(bounds, LOW * LANES), load(bounds, HIGH * LANES)
    zero, one = splat(0.0), splat(1.0)
    total, product, power, water = zero, one, zero, one
    centred = np.empty(n_features * LANES)
    for t in range(steps):
        place = t * k * LANES
        before = place - k * LANES
        emit(packed, t, n_features, means, whitening, constant, diagonal, centred, density, place)
        top = load(density, place)
        for j in range(1, k):
            top = larger(top, load(density, place + j * LANES))
        scale = zero
        now = splat(float(t))
        for j in range(k):
            b = exp(load(density, place + j * LANES) - top)
            store(density, place + j * LANES, b)
            if t == 0:
                p = load(first, j * LANES)
            else:
                p = load(alpha, before) * splat(transmat[j])
                for i in range(1, k):
                    p = p + load(alpha, before + i * LANES) * splat(transmat[i * k + j])
                if watch:
                    water = smaller(water, inside(now, low, high, p, one))
            p = p * b
            store(alpha, place + j * LANES, p)
            scale = scale + p
        inverse = one / scale
        for j in range(k):
            store(alpha, place + j * LANES, load(alpha, place + j * LANES) * inverse)
        scale = inside(now, low, high, scale, one)
        water = smaller(water, scale)
        total = total + inside(now, low, high, top, zero)
        product = product * scale
        power = power + exponent(product)
        product = mantissa(product)
    store(summary, 0, total)
    store(summary, LANES, product)
    store(summary, 2 * LANES, power)
    store(summary, 3 * LANES, water)


@njit(**_CACHED)
def backward(
    steps: int,
    bounds: np.ndarray,
    transmat: np.ndarray,
    k: int,
    density: np.ndarray,
    alpha: np.ndarray,
    summary: np.ndarray,
) -> None:
    """Smooth eight segments: alpha becomes P(state | all rows), density the backward weights; summary (8,) low water."""
    low, high, last = load(bounds, LOW * LANES), load(bounds, HIGH * LANES), load(bounds, LAST_STEP * LANES)
    water = splat(1.0)
    beta = np.empty(k * LANES)
    for t in range(steps - 1, -1, -1):
        now = splat(float(t))
        inverse, rescale = step_back(t, steps, now, last, transmat, k, density, alpha, beta)
        water = smaller(water, inside(now, low, high, rescale / inverse, splat(1.0)))
        place = t * k * LANES
        for i in range(k):
            b = load(beta, i * LANES)
            at = place + i * LANES
            store(alpha, at, load(alpha, at) * (b * inverse))
            store(density, at, load(density, at) * (b * rescale))
    store(summary, 0, water)


@njit(**_INLINED)
def step_back(t, steps, now, last, transmat, k, density, alpha, beta):  # type: ignore[no-untyped-def]
    """beta of step t from the weights of step t + 1; 1 / Σ alpha·beta and 1 / Σ beta."""
    place = t * k * LANES
    after = place + k * LANES
    one = splat(1.0)
    norm = splat(0.0)
    size = splat(0.0)
    for i in range(k):
        b = one
        if t < steps - 1:
            b = load(density, after) * splat(transmat[i * k])
            for j in range(1, k):
                b = b + load(density, after + j * LANES) * splat(transmat[i * k + j])
            b = inside(now, last, splat(1e300), one, b)
        store(beta, i * LANES, b)
        size = size + b
        norm = norm + b * load(alpha, place + i * LANES)
    return one / norm, one / size


@njit(**_CACHED)
def gather(
    steps: int,
    bounds: np.ndarray,
    transmat: np.ndarray,
    k: int,
    density: np.ndarray,
    alpha: np.ndarray,
    packed: np.ndarray,
    n_features: int,
    means: np.ndarray,
    diagonal: bool,
    sums: np.ndarray,
    summary: np.ndarray,
) -> None:
    """``backward``, adding up what the maximisation step needs instead of giving the probabilities.

    Parameters
    ----------
    sums : transitions before their factor A (K·K·8), occupancy (K·8), first moments (K·D·8), second moments (K·D·8, or
        K·D(D+1)/2·8 lower triangles), posterior of step 0 (K·8); each lane sums its own segment.
    """
    low, high, last = load(bounds, LOW * LANES), load(bounds, HIGH * LANES), load(bounds, LAST_STEP * LANES)
    ends = load(bounds, ENDS * LANES)
    zero = splat(0.0)
    water = splat(1.0)
    beta = np.empty(k * LANES)
    gamma = np.empty(_BLOCK * k * LANES)
    block_end = steps
    for t in range(steps - 1, -1, -1):
        now = splat(float(t))
        inverse, rescale = step_back(t, steps, now, last, transmat, k, density, alpha, beta)
        water = smaller(water, inside(now, low, high, rescale / inverse, splat(1.0)))
        place = t * k * LANES
        kept = (t % _BLOCK) * k * LANES
        own = inside(now, low, high, inverse, zero)
        share = inside(now, low, ends, inverse, zero)
        for i in range(k):
            b = load(beta, i * LANES)
            at = place + i * LANES
            a = load(alpha, at)
            store(gamma, kept + i * LANES, a * (b * own))
            store(alpha, at, a * share)
            store(density, at, load(density, at) * (b * rescale))
        if t % _BLOCK == 0:
            add_block(t, block_end, steps, k, density, alpha, gamma, packed, n_features, means, diagonal, sums)
            block_end = t
    at = len(sums) - k * LANES
    for i in range(k):
        store(sums, at + i * LANES, load(gamma, i * LANES))
    store(summary, 0, water)


@njit(**_INLINED)
def add_block(start, stop, steps, k, density, alpha, gamma, packed, n_features, means, diagonal, sums):  # type: ignore[no-untyped-def]
    """Add the steps start:stop to the sums."""
    at = 0
    stride = k * LANES
    for i in range(k):
        for j in range(k):
            total = load(sums, at)
            for t in range(start, min(stop, steps - 1)):
                total = total + load(alpha, t * stride + i * LANES) * load(density, (t + 1) * stride + j * LANES)
            store(sums, at, total)
            at += LANES
    for i in range(k):
        total = load(sums, at)
        for t in range(stop - start):
            total = total + load(gamma, t * stride + i * LANES)
        store(sums, at, total)
        at += LANES
    second = at + k * n_features * LANES
    row = n_features * LANES
    for i in range(k):
        for d in range(n_features):
            mean = splat(means[i * n_features + d])
            if diagonal:
                total, square = load(sums, at), load(sums, second)
                for t in range(stop - start):
                    z = load(packed, (start + t) * row + d * LANES) - mean
                    w = load(gamma, t * stride + i * LANES) * z
                    total = total + w
                    square = square + w * z
                store(sums, at, total)
                store(sums, second, square)
                second += LANES
            else:
                total = load(sums, at)
                for t in range(stop - start):
                    z = load(packed, (start + t) * row + d * LANES) - mean
                    total = total + load(gamma, t * stride + i * LANES) * z
                store(sums, at, total)
                for e in range(d + 1):
                    other = splat(means[i * n_features + e])
                    square = load(sums, second)
                    for t in range(stop - start):
                        z = load(packed, (start + t) * row + d * LANES) - mean
                        y = load(packed, (start + t) * row + e * LANES) - other
                        square = square + load(gamma, t * stride + i * LANES) * z * y
                    store(sums, second, square)
                    second += LANES
            at += LANES


@njit(**_CACHED)
def unpack(alpha: np.ndarray, k: int, table: np.ndarray, steps: int, out: np.ndarray) -> None:
    """Copy the owned rows of eight segments from lanes to out (n, K)."""
    for t in range(steps):
        for lane in range(LANES):
            if table[LOW, lane] <= t < table[HIGH, lane]:
                row = table[FIRST_ROW, lane] + t
                for j in range(k):
                    out[row, j] = alpha[(t * k + j) * LANES + lane]


FILTER, SMOOTH, GATHER = range(3)
ALPHA_BEFORE, ALPHA_LAST, WEIGHT_FIRST, WEIGHT_AFTER = range(4)  # what is kept of each segment's edges


@njit(**_CACHED)
def keep_edge(values: np.ndarray, k: int, table: np.ndarray, which: int, edges: np.ndarray) -> None:
    """Copy each lane's K values of one step at the edge of its segment to edges[which, lane], if there is such a step."""
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
    transmat: np.ndarray,
    means: np.ndarray,
    whitening: np.ndarray,
    constant: np.ndarray,
    diagonal: bool,
    watch: bool,
    mode: int,
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
    packed, density, alpha : scratch for the longest group. out : (n, K), unless gathering.
    """
    k = len(constant)
    d = X.shape[1]
    for g in groups:
        table = tables[g]
        steps = table[LAST_STEP].max() + 1
        pack(X, table, steps, packed)
        forward(
            packed, steps, bounds[g], first[g], transmat, d, means, whitening, constant, diagonal, watch,
            density, alpha, summaries[g],
        )  # fmt: skip
        keep_edge(alpha, k, table, ALPHA_BEFORE, edges[g])
        keep_edge(alpha, k, table, ALPHA_LAST, edges[g])
        water = summaries[g, 4 * LANES :]
        if mode == GATHER:
            gather(
                steps, bounds[g], transmat, k, density, alpha, packed, d, means, diagonal, sums[g], water
            )  # fmt: skip
        elif mode == SMOOTH:
            backward(steps, bounds[g], transmat, k, density, alpha, water)
        if mode != FILTER:
            keep_edge(density, k, table, WEIGHT_FIRST, edges[g])
            keep_edge(density, k, table, WEIGHT_AFTER, edges[g])
        if mode != GATHER:
            unpack(alpha, k, table, steps, out)
