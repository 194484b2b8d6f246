"""The expected statistics of Baum–Welch, summed while stepping back in time (see ``_hmm_scaled`` for the layout)."""

import numpy as np
from numba import njit

from consilience.kernels._hmm_lanes import LANES, inside, load, shrink, smaller, splat, store
from consilience.kernels._hmm_scaled import ENDS, HIGH, LAST_STEP, LOW, step_back

_CACHED = {"cache": True, "nogil": True, "error_model": "numpy"}
_INLINED = {**_CACHED, "forceinline": True}

BLOCK = 32  # steps whose posteriors are kept at hand before they are summed; groups are padded to a multiple of it


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
