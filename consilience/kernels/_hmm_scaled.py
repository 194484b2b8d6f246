"""Scaled forward–backward over eight stretches of rows at a time.

A *group* is eight *segments*, one per lane, all beginning at step t = 0. A segment owns the rows [low, high) of its
steps; the steps before and after are neighbours' rows that let it forget an arbitrary start (and end). Arrays are flat;
a vector of lanes for step t and state k lies at ((t·K) + k)·8. Densities are divided by each row's largest, and
probabilities by a power of two near their sum; what underflows nevertheless shows in the low-water mark.
"""

import numpy as np
from numba import njit

from consilience.kernels._compiling import INLINED, INNER, Chosen
from consilience.kernels._hmm_emission import (
    ALL,
    BLOCK,
    ENDS,
    HIGH,
    LAST_STEP,
    LOW,
    log_densities,
    pack,
    relative_densities,
)
from consilience.kernels._hmm_lanes import LANES, exponent, inside, load, select, shrink, smaller, splat, store
from consilience.kernels._hmm_steps import back_step, forward_step

ALPHA_BEFORE, ALPHA_LAST, WEIGHT_FIRST, WEIGHT_AFTER = range(4)  # what is kept of each segment's edges


@njit(**INNER)
def forward(
    X: np.ndarray,
    table: np.ndarray,
    steps: int,
    bounds: np.ndarray,
    opens: np.ndarray,
    startprob: np.ndarray,
    transmat: np.ndarray,
    n_features: int,
    means: np.ndarray,
    whitening: np.ndarray,
    constant: np.ndarray,
    full: Chosen,
    many: Chosen,
    watch: bool,
    keep: bool,
    packed: np.ndarray,
    density: np.ndarray,
    alpha: np.ndarray,
    summary: np.ndarray,
) -> None:
    """Filter eight segments.

    Parameters
    ----------
    X : (n·D,). steps : a multiple of BLOCK. bounds : (5·8,) the table's rows as floats.
    opens : (8,), 0 where step 0 is not a sequence's first row: its states are taken as equally probable.
    startprob : (K,). transmat : (K·K,). watch : look for states that underflow at every
        step. many : True beyond ``WRITTEN_OUT`` states.
    keep : ``packed`` is to hold all of the group's rows in lanes, not just one block's.
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
    centred, tops = np.empty(4 * n_features * LANES), np.empty(BLOCK * LANES)
    inner_from, inner_to = table[LOW, ALL], table[HIGH, ALL] - 1  # steps at which no segment begins or ends
    for start in range(0, steps, BLOCK):
        rows = start * n_features * LANES if keep else 0
        pack(X, n_features, table, start, packed, rows)
        place = start * k * LANES
        log_densities(packed, rows, n_features, means, whitening, constant, full, centred, density, place)
        relative_densities(density, place, k, tops)
        for t in range(start, start + BLOCK):
            at = t * k * LANES
            top = load(tops, (t - start) * LANES)
            if t == 0:
                scale = zero
                for j in range(k):
                    prior = select(load(opens, 0), splat(startprob[j]), splat(1.0 / k))
                    p = prior * load(density, j * LANES)
                    store(alpha, j * LANES, p)
                    scale = scale + p
            else:
                scale = forward_step(density, alpha, at, transmat, inverse, k, many)
            if inner_from <= t < inner_to:
                water = smaller(water, scale)
                total = total + top
                power = power + exponent(scale)
            else:
                now = splat(float(t))
                water = smaller(water, inside(now, low, high, scale, one))
                total = total + inside(now, low, high, top, zero)
                power = power + inside(now, low1, high1, exponent(scale), zero)
                opening = inside(now, low1, low, scale, opening)
                closing = inside(now, high1, high, scale, closing)
            if watch and t > 0:
                water = watched(alpha, at - k * LANES, transmat, inverse, k, splat(float(t)), low, high, water)
            inverse = shrink(scale)
    store(summary, 0, total)
    store(summary, LANES, power)
    store(summary, 2 * LANES, opening)
    store(summary, 3 * LANES, closing)
    store(summary, 4 * LANES, water)


@njit(**INLINED)
def watched(alpha, before, transmat, inverse, k, now, low, high, water):  # type: ignore[no-untyped-def]
    """The lowest expected probability of any state at one step, if it is below the water."""
    for j in range(k):
        p = splat(0.0)
        for i in range(k):
            p = p + load(alpha, before + i * LANES) * splat(transmat[i * k + j])
        water = smaller(water, inside(now, low, high, p * inverse, splat(1.0)))
    return water


@njit(**INLINED)
def begin_back(k, weight, carried):  # type: ignore[no-untyped-def]
    """What ``back_block`` finds behind the last block."""
    for j in range(k):
        store(weight, j * LANES, splat(0.0))
    store(carried, 0, splat(1.0))
    store(carried, LANES, splat(1.0))


@njit(**INNER)
def back_block(
    start: int,
    table: np.ndarray,
    bounds: np.ndarray,
    transmat: np.ndarray,
    k: int,
    density: np.ndarray,
    alpha: np.ndarray,
    carried: np.ndarray,
    gamma: np.ndarray,
    share: np.ndarray,
    weight: np.ndarray,
    edges: np.ndarray,
    many: Chosen,
) -> None:
    """Smooth one block; blocks are gone through backwards.

    Parameters
    ----------
    carried : (2·8,) from block to block: the low-water mark and the factor of the next step; ones at first.
    gamma, share : (BLOCK·K·8,) filled with P(state | all rows), and what times the next step's weight and the
        transition matrix is the probability of a transition; zero for steps that a lane does not own.
    weight : ((BLOCK + 1)·K·8,) filled with density · beta; its last step is taken from the block behind.
    edges : (4, 8, K) what neighbours compare.
    """
    low, high = load(bounds, LOW * LANES), load(bounds, HIGH * LANES)
    last, ends = load(bounds, LAST_STEP * LANES), load(bounds, ENDS * LANES)
    zero, one = splat(0.0), splat(1.0)
    water, rescale = load(carried, 0), load(carried, LANES)
    inner_from, inner_to = table[LOW, ALL] + 1, table[ENDS, ALL]
    for j in range(k):
        store(weight, (BLOCK * k + j) * LANES, load(weight, j * LANES))
    for t in range(start + BLOCK - 1, start - 1, -1):
        kept, at = (t - start) * k * LANES, t * k * LANES
        inner = inner_from <= t < inner_to
        going, own, counted = one, one, one
        if not inner:
            now = splat(float(t))
            going = inside(now, zero, last, one, zero)
            own, counted = inside(now, low, high, one, zero), inside(now, low, ends, one, zero)
        mark, rescale = back_step(
            weight, gamma, share, kept, transmat, density, alpha, at, rescale, going, own, counted, k, many
        )
        water = smaller(water, select(own, mark, one))
        if inner:
            continue
        for lane in range(LANES):
            if t == table[LOW, lane] or t == table[HIGH, lane]:
                which = WEIGHT_FIRST if t == table[LOW, lane] else WEIGHT_AFTER
                for j in range(k):
                    edges[which, lane, j] = weight[kept + j * LANES + lane]
    store(carried, 0, water)
    store(carried, LANES, rescale)


@njit(**INNER)
def normalized(alpha: np.ndarray, start: int, k: int, out: np.ndarray) -> None:
    """One block of alpha, every row divided by its sum, into out (BLOCK·K·8,)."""
    for s in range(BLOCK):
        at = (start + s) * k * LANES
        total = load(alpha, at)
        for j in range(1, k):
            total = total + load(alpha, at + j * LANES)
        total = splat(1.0) / total
        for j in range(k):
            store(out, (s * k + j) * LANES, load(alpha, at + j * LANES) * total)


@njit(**INNER)
def keep_alpha(alpha: np.ndarray, k: int, table: np.ndarray, edges: np.ndarray) -> None:
    """Copy alpha one step before each lane's segment, and at its end, to edges (4, 8, K)."""
    for lane in range(LANES):
        for j in range(k):
            step = table[LOW, lane] - 1
            if 0 <= step <= table[LAST_STEP, lane]:
                edges[ALPHA_BEFORE, lane, j] = alpha[(step * k + j) * LANES + lane]
            step = table[HIGH, lane] - 1
            if 0 <= step <= table[LAST_STEP, lane]:
                edges[ALPHA_LAST, lane, j] = alpha[(step * k + j) * LANES + lane]
