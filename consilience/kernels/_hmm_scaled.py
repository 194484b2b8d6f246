"""Scaled forward–backward over eight stretches of rows at a time, with all expected statistics gathered on the way.

A *group* is eight *segments*, one per lane, all beginning at step t = 0. A segment owns the rows [low, high) of its
steps; the steps before and after are neighbours' rows that let it forget an arbitrary start (and end). Arrays are flat;
a vector of lanes for step t and state k lies at ((t·K) + k)·8. Densities are divided by each row's largest, and
probabilities by a power of two near their sum; what underflows nevertheless shows in the low-water mark.
"""

import numpy as np
from numba import njit

from consilience.kernels._hmm_lanes import (
    LANES,
    collect,
    exp,
    exponent,
    inside,
    larger,
    load,
    shrink,
    smaller,
    spill,
    splat,
    store,
)

_CACHED = {"cache": True, "nogil": True, "error_model": "numpy"}
_INLINED = {**_CACHED, "forceinline": True}

BLOCK = 32  # steps whose posteriors are kept at hand before they are summed; groups are padded to a multiple of it

# rows of a group's table (8 lanes each)
FIRST_ROW, LAST_STEP, LOW, HIGH, ENDS = range(5)


@njit(**_CACHED)
def pack(X: np.ndarray, d: int, table: np.ndarray, steps: int, packed: np.ndarray) -> None:
    """Copy the rows of eight segments into lanes: packed[(t·D + d)·8 + lane]. Past a segment's end, its last row.

    Parameters
    ----------
    X : (n·D,) the rows, flat.
    """
    bases = table[FIRST_ROW] * d
    for t in range(steps):
        if t <= table[LAST_STEP].min():
            for i in range(d):
                store(packed, (t * d + i) * LANES, collect(X, bases, t * d + i))
        else:
            clamped = (table[FIRST_ROW] + np.minimum(t, table[LAST_STEP])) * d
            for i in range(d):
                store(packed, (t * d + i) * LANES, collect(X, clamped, i))


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
                z = load(packed, at + i * LANES) - splat(means[k * n_features + i])
                z = z * splat(whitening[k * n_features + i])
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
    density, alpha : (steps·K·8,), filled with scaled densities and filtered probabilities, the latter up to one factor
        per step: dividing them at once would make every step wait for a division.
    summary : (5·8,): sum of the densities' logarithms, sum of the binary exponents taken out, the mass before the
        segment and at its end, and the low-water mark. The log-likelihood is the first, plus log 2 · the second, plus
        the logarithm of the quotient of the masses.
    """
    k = len(constant)
    low, high = load(bounds, LOW * LANES), load(bounds, HIGH * LANES)
    zero, one = splat(0.0), splat(1.0)
    low1, high1 = low - one, high - one
    total, power, opening, closing, water, inverse = zero, zero, one, one, one, one
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
                    water = smaller(water, inside(now, low, high, p * inverse, one))
            p = p * (b * inverse)
            store(alpha, place + j * LANES, p)
            scale = scale + p
        inverse = shrink(scale)
        water = smaller(water, inside(now, low, high, scale, one))
        total = total + inside(now, low, high, top, zero)
        power = power + inside(now, low1, high1, exponent(scale), zero)
        opening = inside(now, low1, low, scale, opening)
        closing = inside(now, high1, high, scale, closing)
    store(summary, 0, total)
    store(summary, LANES, power)
    store(summary, 2 * LANES, opening)
    store(summary, 3 * LANES, closing)
    store(summary, 4 * LANES, water)


@njit(**_INLINED)
def step_back(t, steps, now, last, transmat, k, density, alpha, beta, rescale):  # type: ignore[no-untyped-def]
    """One step back in time.

    From the weights of step t + 1 and their rescaling: beta of step t, and its weights density·beta in place of the
    densities. Gives Σ alpha·beta, Σ alpha, and the rescaling of the new weights.
    """
    place = t * k * LANES
    after = place + k * LANES
    one = splat(1.0)
    norm, size, mass = splat(0.0), splat(0.0), splat(0.0)
    for i in range(k):
        b = one
        if t < steps - 1:
            b = load(density, after) * splat(transmat[i * k])
            for j in range(1, k):
                b = b + load(density, after + j * LANES) * splat(transmat[i * k + j])
            b = inside(now, last, splat(1e300), one, b * rescale)
        store(beta, i * LANES, b)
        a = load(alpha, place + i * LANES)
        w = load(density, place + i * LANES) * b
        store(density, place + i * LANES, w)
        norm = norm + b * a
        size = size + w
        mass = mass + a
    return norm, mass, shrink(size)


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
    """Smooth eight segments: alpha becomes P(state | all rows), density the backward weights, summary low water."""
    low, high, last = load(bounds, LOW * LANES), load(bounds, HIGH * LANES), load(bounds, LAST_STEP * LANES)
    water, rescale, one = splat(1.0), splat(1.0), splat(1.0)
    beta = np.empty(k * LANES)
    for t in range(steps - 1, -1, -1):
        now = splat(float(t))
        norm, mass, rescale = step_back(t, steps, now, last, transmat, k, density, alpha, beta, rescale)
        inverse = one / norm
        water = smaller(water, inside(now, low, high, norm * shrink(mass), one))
        place = t * k * LANES
        for i in range(k):
            at = place + i * LANES
            store(alpha, at, load(alpha, at) * (load(beta, i * LANES) * inverse))
    store(summary, 0, water)


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
    steps : a multiple of BLOCK; alpha and density have room for one step more.
    sums : transitions before their factor A (K·K·8), occupancy (K·8), first moments (K·D·8), second moments (K·D·8, or
        K·D(D+1)/2·8 lower triangles), posterior of step 0 (K·8); each lane sums its own segment.
    """
    low, high, last = load(bounds, LOW * LANES), load(bounds, HIGH * LANES), load(bounds, LAST_STEP * LANES)
    ends = load(bounds, ENDS * LANES)
    zero, one = splat(0.0), splat(1.0)
    water, rescale = one, one
    beta = np.empty(k * LANES)
    gamma = np.empty(BLOCK * k * LANES)
    for i in range(k):
        store(density, (steps * k + i) * LANES, zero)
    for t in range(steps - 1, -1, -1):
        now = splat(float(t))
        before = rescale
        norm, mass, rescale = step_back(t, steps, now, last, transmat, k, density, alpha, beta, rescale)
        inverse = one / norm
        place = t * k * LANES
        kept = (t % BLOCK) * k * LANES
        own = inside(now, low, high, inverse, zero)
        share = inside(now, low, ends, inverse * before, zero)
        water = smaller(water, inside(now, low, high, norm * shrink(mass), one))
        for i in range(k):
            at = place + i * LANES
            a = load(alpha, at)
            store(gamma, kept + i * LANES, a * (load(beta, i * LANES) * own))
            store(alpha, at, a * share)
        if t % BLOCK == 0:
            add_transitions(t, k, density, alpha, sums)
            add_moments(t, k, gamma, packed, n_features, means, diagonal, sums)
    at = len(sums) - k * LANES
    for i in range(k):
        store(sums, at + i * LANES, load(gamma, i * LANES))
    store(summary, 0, water)


@njit(**_INLINED)
def add_transitions(start, k, density, alpha, sums):  # type: ignore[no-untyped-def]
    """Σ alpha(t, i) · weight(t + 1, j) over one block; four sums at once, or each would wait for the one before."""
    stride = k * LANES
    at = 0
    for i in range(k):
        for j in range(k):
            a, b, c, d = load(sums, at), splat(0.0), splat(0.0), splat(0.0)
            here = start * stride + i * LANES
            next_ = (start + 1) * stride + j * LANES
            for _ in range(BLOCK // 4):
                a = a + load(alpha, here) * load(density, next_)
                b = b + load(alpha, here + stride) * load(density, next_ + stride)
                c = c + load(alpha, here + 2 * stride) * load(density, next_ + 2 * stride)
                d = d + load(alpha, here + 3 * stride) * load(density, next_ + 3 * stride)
                here += 4 * stride
                next_ += 4 * stride
            store(sums, at, (a + b) + (c + d))
            at += LANES


@njit(**_INLINED)
def add_moments(start, k, gamma, packed, n_features, means, diagonal, sums):  # type: ignore[no-untyped-def]
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
            if diagonal:
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


@njit(**_CACHED)
def unpack(alpha: np.ndarray, k: int, table: np.ndarray, steps: int, out: np.ndarray) -> None:
    """Copy the owned rows of eight segments from lanes to out (n·K,), each divided by its sum."""
    bases = table[FIRST_ROW] * k
    everywhere_from, everywhere_to = table[LOW].max(), table[HIGH].min()
    one = splat(1.0)
    for t in range(steps):
        place = t * k * LANES
        total = load(alpha, place)
        for j in range(1, k):
            total = total + load(alpha, place + j * LANES)
        total = one / total
        if everywhere_from <= t < everywhere_to:
            for j in range(k):
                spill(out, bases, t * k + j, load(alpha, place + j * LANES) * total)
            continue
        for j in range(k):
            store(alpha, place + j * LANES, load(alpha, place + j * LANES) * total)
        for lane in range(LANES):
            if table[LOW, lane] <= t < table[HIGH, lane]:
                for j in range(k):
                    out[bases[lane] + t * k + j] = alpha[place + j * LANES + lane]


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
