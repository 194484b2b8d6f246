"""The most probable path over eight segments at a time (see ``_hmm_scaled`` for segments, lanes and tables)."""

import numpy as np
from numba import njit

from consilience.kernels._hmm_lanes import LANES, inside, larger, load, prefer, splat, store, store_bytes
from consilience.kernels._hmm_scaled import FIRST_ROW, HIGH, LAST_STEP, LOW, emit, pack

_CACHED = {"cache": True, "nogil": True, "error_model": "numpy"}


@njit(**_CACHED)
def climb(
    packed: np.ndarray,
    steps: int,
    table: np.ndarray,
    bounds: np.ndarray,
    first: np.ndarray,
    log_trans: np.ndarray,
    n_features: int,
    means: np.ndarray,
    whitening: np.ndarray,
    constant: np.ndarray,
    diagonal: bool,
    delta: np.ndarray,
    back: np.ndarray,
    total: np.ndarray,
    edges: np.ndarray,
) -> None:
    """Forwards in time: the best log-probability of each state, less that of the best state, and where it came from.

    Parameters
    ----------
    first : (K·8,) log priors of step 0. log_trans : (K·K,).
    delta : scratch (3·K·8,); its first K·8 end as those of each lane's last step.
    back : (steps·K·8,) uint8, filled with predecessors; past a lane's last step with the states themselves.
    total : (8,) sum of what was subtracted in the owned steps.
    edges : (2, 8, K), filled with delta one step before the owned ones, and at their last.
    """
    k = len(constant)
    low, high, last = load(bounds, LOW * LANES), load(bounds, HIGH * LANES), load(bounds, LAST_STEP * LANES)
    zero, infinity = splat(0.0), splat(1e300)
    gained = zero
    centred = np.empty(n_features * LANES)
    fresh, density = k * LANES, 2 * k * LANES
    shortest = steps
    for lane in range(LANES):
        shortest = min(shortest, table[LAST_STEP, lane])
    for t in range(steps):
        emit(packed, t, n_features, means, whitening, constant, diagonal, centred, delta, density)
        now = splat(float(t))
        top = splat(-np.inf)
        for j in range(k):
            if t == 0:
                best = load(first, j * LANES)
            else:
                best = load(delta, 0) + splat(log_trans[j])
                arg = zero
                for i in range(1, k):
                    value = load(delta, i * LANES) + splat(log_trans[i * k + j])
                    arg = prefer(value, best, splat(float(i)), arg)
                    best = larger(value, best)
                if t > shortest:
                    arg = inside(now, zero, last + splat(0.5), arg, splat(float(j)))
                store_bytes(back, (t * k + j) * LANES, arg)
            best = best + load(delta, density + j * LANES)
            store(delta, fresh + j * LANES, best)
            top = larger(best, top)
        for j in range(k):
            value = load(delta, fresh + j * LANES) - top
            if t > shortest:
                value = inside(now, last + splat(0.5), infinity, load(delta, j * LANES), value)
            store(delta, j * LANES, value)
        gained = gained + inside(now, low, high, top, zero)
        for lane in range(LANES):
            if t == table[LOW, lane] - 1:
                for j in range(k):
                    edges[0, lane, j] = delta[j * LANES + lane]
            elif t == table[HIGH, lane] - 1:
                for j in range(k):
                    edges[1, lane, j] = delta[j * LANES + lane]
    store(total, 0, gained)


@njit(**_CACHED)
def descend(
    back: np.ndarray, delta: np.ndarray, k: int, steps: int, table: np.ndarray, path: np.ndarray, ends: np.ndarray
) -> None:
    """Backwards in time: the owned rows' path (n,), and the states just before and at their end (2, 8)."""
    state = np.zeros(LANES, np.int64)
    for lane in range(LANES):
        for j in range(1, k):
            if delta[j * LANES + lane] > delta[state[lane] * LANES + lane]:
                state[lane] = j
    for t in range(steps - 1, -1, -1):
        for lane in range(LANES):
            s = state[lane]
            if t >= table[LOW, lane]:
                if t < table[HIGH, lane]:
                    path[table[FIRST_ROW, lane] + t] = s
                    if t == table[HIGH, lane] - 1:
                        ends[1, lane] = s
            elif t == table[LOW, lane] - 1:
                ends[0, lane] = s
            if t > 0:
                state[lane] = back[(t * k + s) * LANES + lane]


@njit(**_CACHED)
def run(
    groups: np.ndarray,
    steps: np.ndarray,
    tables: np.ndarray,
    bounds: np.ndarray,
    first: np.ndarray,
    X: np.ndarray,
    d: int,
    log_trans: np.ndarray,
    means: np.ndarray,
    whitening: np.ndarray,
    constant: np.ndarray,
    diagonal: bool,
    packed: np.ndarray,
    back: np.ndarray,
    path: np.ndarray,
    totals: np.ndarray,
    edges: np.ndarray,
    ends: np.ndarray,
) -> None:
    """Work through the given groups in one thread. packed, back: scratch; the rest has one row per group."""
    k = len(constant)
    delta = np.empty(3 * k * LANES)
    for g in groups:
        table = tables[g]
        pack(X, d, table, steps[g], packed)
        climb(
            packed, steps[g], table, bounds[g], first[g], log_trans, d, means, whitening, constant, diagonal,
            delta, back, totals[g], edges[g],
        )  # fmt: skip
        descend(back, delta, k, steps[g], table, path, ends[g])
