"""Scaled forward–backward over eight stretches of rows at a time.

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

# rows of a group's table (8 lanes each)
FIRST_ROW, LAST_STEP, LOW, HIGH, ENDS = range(5)


@njit(**_CACHED)
def pack(X: np.ndarray, d: int, table: np.ndarray, steps: int, packed: np.ndarray) -> None:
    """Copy the rows of eight segments into lanes: packed[(t·D + d)·8 + lane]. Past a segment's end, its last row.

    Parameters
    ----------
    X : (n·D,) the rows, flat.
    """
    # loops rather than array expressions, here and below: each of those would take the compiler a third of a second
    bases = np.empty(LANES, np.int64)
    for t in range(steps):
        for lane in range(LANES):
            bases[lane] = (table[FIRST_ROW, lane] + min(t, table[LAST_STEP, lane])) * d
        for i in range(d):
            store(packed, (t * d + i) * LANES, collect(X, bases, i))


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
def unpack(alpha: np.ndarray, k: int, table: np.ndarray, steps: int, out: np.ndarray) -> None:
    """Copy the owned rows of eight segments from lanes to out (n·K,), each divided by its sum."""
    bases = np.empty(LANES, np.int64)
    everywhere_from, everywhere_to = 0, steps
    for lane in range(LANES):
        bases[lane] = table[FIRST_ROW, lane] * k
        everywhere_from = max(everywhere_from, table[LOW, lane])
        everywhere_to = min(everywhere_to, table[HIGH, lane])
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
