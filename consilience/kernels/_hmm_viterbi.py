"""The most probable path over eight segments at a time (see ``_hmm_scaled`` for segments, lanes and tables)."""

import numpy as np
from numba import njit

from consilience.kernels._compiling import INNER, Chosen, called
from consilience.kernels._hmm_emission import ALL, BLOCK, FIRST_ROW, HIGH, LAST_STEP, LOW, log_densities, pack
from consilience.kernels._hmm_lanes import LANES, inside, larger, load, scatter_square, select, splat, store
from consilience.kernels._hmm_steps import climb_step, descend_step
from consilience.kernels._turns import take


@njit(**INNER)
def climb(
    X: np.ndarray,
    table: np.ndarray,
    steps: int,
    bounds: np.ndarray,
    opens: np.ndarray,
    log_start: np.ndarray,
    log_trans: np.ndarray,
    n_features: int,
    means: np.ndarray,
    whitening: np.ndarray,
    constant: np.ndarray,
    full: Chosen,
    many: Chosen,
    delta: np.ndarray,
    back: np.ndarray,
    total: np.ndarray,
    edges: np.ndarray,
) -> None:
    """Forwards in time: each state's best log-probability, less that of the best one before, and where it came from.

    Parameters
    ----------
    X : (n·D,). steps : a multiple of BLOCK. opens, log_start : as ``_hmm_scaled.forward`` has them. log_trans : (K·K,).
    delta : scratch (2·K·8,); its first K·8 end as those of each lane's last step.
    back : uint8, filled with ``climb_step``'s predecessors, (steps·8,) or (steps·K·8,); past a lane's last step,
        the states themselves.
    total : (8,) what the best log-probability gains over the owned steps.
    edges : (2, 8, K), filled with delta less its largest, one step before the owned ones and at their last.
    """
    k = len(constant)
    width = LANES if many is None else k * LANES
    low, high, last = load(bounds, LOW * LANES), load(bounds, HIGH * LANES), load(bounds, LAST_STEP * LANES)
    zero, one, half = splat(0.0), splat(1.0), splat(0.5)
    gained, top = zero, zero
    tops = np.empty(LANES)
    packed, centred = np.empty(BLOCK * n_features * LANES), np.empty(4 * n_features * LANES)
    density = np.empty(BLOCK * k * LANES)
    inner_from, inner_to = max(1, table[LOW, ALL]), table[HIGH, ALL] - 1  # steps at which no segment begins or ends
    for start in range(0, steps, BLOCK):
        pack(X, n_features, table, start, packed, 0)
        log_densities(packed, 0, n_features, means, whitening, constant, full, centred, density, 0)
        for t in range(start, start + BLOCK):
            at = (t - start) * k * LANES
            inner = inner_from <= t < inner_to
            now = splat(float(t))
            if t == 0:
                top = splat(-np.inf)
                for j in range(k):
                    prior = select(load(opens, 0), splat(log_start[j]), zero)
                    value = prior + load(density, j * LANES)
                    store(delta, j * LANES, value)
                    top = larger(value, top)
            else:
                going = one
                if not inner:
                    going = inside(now, zero, last + half, one, zero)
                top = climb_step(delta, density, at, log_trans, top, going, back, t * width, k, many)
            if inner:
                gained = gained + top
                continue
            gained = gained + inside(now, low, high, top, zero)
            for lane in range(LANES):
                if t == table[LOW, lane] - 1 or t == table[HIGH, lane] - 1:
                    store(tops, 0, top)
                    for j in range(k):
                        edges[int(t == table[HIGH, lane] - 1), lane, j] = delta[j * LANES + lane] - tops[lane]
    store(total, 0, gained)


@njit(**INNER)
def descend(
    back: np.ndarray,
    delta: np.ndarray,
    k: int,
    many: Chosen,
    steps: int,
    table: np.ndarray,
    path: np.ndarray,
    ends: np.ndarray,
) -> None:
    """Backwards in time: the owned rows' path (n,), and the states just before and at their end (2, 8).

    path holds whole numbers in the bits of float64.
    """
    bits = np.zeros(LANES)
    state = bits.view(np.int64)
    for lane in range(LANES):
        for j in range(1, k):
            if delta[j * LANES + lane] > delta[state[lane] * LANES + lane]:
                state[lane] = j
    states = np.empty(LANES * LANES)  # of eight steps
    numbers = states.view(np.int64)
    inner_from, inner_to = table[LOW, ALL], table[HIGH, ALL] - 1
    now = load(bits, 0)
    for start in range(steps - LANES, -1, -LANES):
        for t in range(start + LANES - 1, start - 1, -1):
            store(states, (t - start) * LANES, now)
            if t == 0:
                continue
            if many is None:
                now = descend_step(back, t * LANES, now)
            else:
                for lane in range(LANES):
                    state[lane] = back[(t * k + numbers[(t - start) * LANES + lane]) * LANES + lane]
                now = load(bits, 0)
        if inner_from <= start and start + LANES <= inner_to:
            scatter_square(path, table, start, 1, 0, states, 0)
            continue
        for lane in range(LANES):
            for t in range(start, start + LANES):
                if t == table[LOW, lane] - 1:
                    ends[0, lane] = numbers[(t - start) * LANES + lane]
                if t == table[HIGH, lane] - 1:
                    ends[1, lane] = numbers[(t - start) * LANES + lane]
                if table[LOW, lane] <= t < table[HIGH, lane]:
                    path[table[FIRST_ROW, lane] + t] = states[(t - start) * LANES + lane]


@called
def run(
    turns: np.ndarray,
    steps: np.ndarray,
    tables: np.ndarray,
    bounds: np.ndarray,
    opens: np.ndarray,
    X: np.ndarray,
    d: int,
    log_start: np.ndarray,
    log_trans: np.ndarray,
    means: np.ndarray,
    whitening: np.ndarray,
    constant: np.ndarray,
    full: Chosen,
    many: Chosen,
    back: np.ndarray,
    path: np.ndarray,
    totals: np.ndarray,
    edges: np.ndarray,
    ends: np.ndarray,
) -> None:
    """Work through the groups whose turns this thread takes from the counter ``turns`` (1,), which the threads share.

    back : scratch. path : see ``descend``. Else one row per group.
    """
    k = len(constant)
    delta = np.empty(2 * k * LANES)
    g = take(turns)
    while g < len(steps):
        table = tables[g]
        climb(
            X, table, steps[g], bounds[g], opens[g], log_start, log_trans, d, means, whitening, constant, full, many,
            delta, back, totals[g], edges[g],
        )  # fmt: skip
        descend(back, delta, k, many, steps[g], table, path, ends[g])
        g = take(turns)
