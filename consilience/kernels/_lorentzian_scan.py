"""Exact nearest neighbours: a float32 filter that keeps a few candidates per query, then float64 on those.

Why the answer is exact. With u = 2⁻²⁴, rows and queries centred and rounded to float32, the computed product p of a
pair overestimates the true one at most by ln p ≤ d + E, where E = u·Σ(2|qᵢ−cᵢ|+5)·1.01: rounding x and q moves |x−q| by
at most u(|x|+|q|) ≤ u(2|q|+|x−q|), which 1+|x−q| divides, subtracting adds u|x−q|, and the product rounds twice. So a
row whose p is at least P has d ≥ ln P − E. The filter keeps the c > k smallest p; when the k-th exact distance among
them is below ln P − E for the largest kept P, no other row can be nearer: proven. Otherwise (ties, duplicates,
near-ties) the query scans again for every row with ln p ≤ d_k + E, each measured exactly; where float32 products cannot
hold even that, every row is measured.
"""

import numpy as np
from numba import njit

from consilience.kernels._compiling import INNER, called
from consilience.kernels._lorentzian_candidates import NOBODY, length, offer
from consilience.kernels._lorentzian_exact import distance, insert
from consilience.kernels._lorentzian_lanes import (
    GROUP,
    LANES,
    START,
    below1,
    below4,
    fetch,
    fetch_row,
    lowest_bit,
    whole_lines,
)

WIDEST = 1e37  # float32 coordinates are cut here, so that no difference overflows: a cut only brings rows nearer
_TILE = 4096  # floats of reference that stay in the first-level cache while the queries pass over them
_AHEAD = 1 << 12  # floats: a single query reads each row once, and waits for memory unless it is asked for this early
_UNIT = 2.0**-24
_MORE = 1.0 + 1e-12  # covers the rounding of a float64 distance
_LARGEST = 3.4e38
_ALL_LANES = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_NO_ROW = np.iinfo(np.int64).max
_AT_ONCE = 4  # candidates measured together: each one alone is a chain of steps that wait for each other
_PLAIN = 1e100  # up to here, a product is what ``distance`` would take the logarithm of


@called
def pack(reference: np.ndarray, order: np.ndarray, center: np.ndarray, start: int, stop: int, out: np.ndarray) -> None:
    """Write blocks start:stop of ``out`` (n_blocks, d, 64): rows in ``order``, centred; missing lanes are inf."""
    n, d = reference.shape
    for block in range(start, stop):
        for lane in range(LANES):
            row = block * LANES + lane
            for i in range(d):
                if row < n:
                    out[block, i, lane] = max(-WIDEST, min(WIDEST, reference[order[row], i] - center[i]))
                else:
                    out[block, i, lane] = np.inf


@called
def group_queries(queries: np.ndarray, rows: np.ndarray, center: np.ndarray, group: int, out: np.ndarray) -> None:
    """Write the queries' rows as float32 groups (n_groups, d, group), centred; the last one fills up the last group."""
    for place in range(out.shape[0] * group):
        row = rows[min(place, rows.shape[0] - 1)]
        for i in range(queries.shape[1]):
            out[place // group, i, place % group] = max(-WIDEST, min(WIDEST, queries[row, i] - center[i]))


@njit(**INNER)
def error_bound(query: np.ndarray, center: np.ndarray) -> float:
    """E of this file's head for one query (d,)."""
    total = 0.0
    for i in range(query.shape[0]):
        total += 2.0 * abs(query[i] - center[i]) + 5.0
    return total * _UNIT * 1.01


@called
def scan(blocks: np.ndarray, grouped: np.ndarray, limits: np.ndarray, keys: np.ndarray, rows: np.ndarray) -> None:
    """Every group of queries (n_groups, d, 4 or 1) against every block (n_blocks, d, 64).

    keys and rows (n_queries, length) and limits (n_queries,) are the candidates so far and their worst keys.
    """
    n_blocks, d = blocks.shape[:2]
    flat, asked, flat_keys, flat_rows = blocks.reshape(-1), grouped.reshape(-1), keys.reshape(-1), rows.reshape(-1)
    kept = keys.shape[1]
    products, masks = whole_lines(GROUP * LANES), np.empty(GROUP, np.uint64)
    size, together = d * LANES, grouped.shape[2]
    if together == 1:
        for q in range(grouped.shape[0]):
            for block in range(n_blocks):
                fetch(flat, block * size + _AHEAD, size)
                if below1(flat, block * size, asked, q * d, d, limits, q, products, masks):
                    offer(masks, products, together, block, flat_keys, flat_rows, kept, limits, q)
        return
    tile = max(1, _TILE // size)
    for start in range(0, n_blocks, tile):
        for group in range(grouped.shape[0]):
            q = GROUP * group
            for block in range(start, min(n_blocks, start + tile)):
                if below4(flat, block * size, asked, q * d, d, limits, q, products, masks):
                    offer(masks, products, together, block, flat_keys, flat_rows, kept, limits, q)


@njit(**INNER)
def _measure(reference: np.ndarray, query: np.ndarray, rows: np.ndarray, n: int, out: np.ndarray) -> None:
    """``distance`` of the query (d,) to the first n of some rows, into out (n + 3 or more,)."""
    d = query.shape[0]
    for first in range(0, n, _AT_ONCE):
        last = n - 1
        a, b, c, e = rows[first], rows[min(first + 1, last)], rows[min(first + 2, last)], rows[min(first + 3, last)]
        s, t, u, v = 0.0, 0.0, 0.0, 0.0
        for i in range(d):
            s += abs(query[i] - reference[a, i]) * (1.0 + s)
            t += abs(query[i] - reference[b, i]) * (1.0 + t)
            u += abs(query[i] - reference[c, i]) * (1.0 + u)
            v += abs(query[i] - reference[e, i]) * (1.0 + v)
        out[first], out[first + 1], out[first + 2], out[first + 3] = s, t, u, v
    for place in range(n):
        product = out[place]
        out[place] = np.log1p(product) if product <= _PLAIN else distance(query, reference[rows[place]])


@called
def settle(
    reference: np.ndarray,
    order: np.ndarray,
    center: np.ndarray,
    queries: np.ndarray,
    wanted: np.ndarray,
    keys: np.ndarray,
    rows: np.ndarray,
    distances: np.ndarray,
    indices: np.ndarray,
    proven: np.ndarray,
) -> None:
    """Measure the candidates of each wanted query in float64, keep the k nearest, and say whether they are proven.

    keys, rows and proven go by place in ``wanted``, distances and indices (m, k) by query.
    """
    k, kept = distances.shape[1], keys.shape[1]
    found_rows, measured = np.empty(kept, np.int64), np.empty(kept + _AT_ONCE)
    for place in range(wanted.shape[0]):
        q = wanted[place]
        for i in range(k):
            distances[q, i] = np.inf
            indices[q, i] = _NO_ROW
        found = np.int64(0)  # not 0, for whose own type what it is given to would be compiled once more
        for c in range(kept):
            if NOBODY < keys[place, c] < np.inf:
                found_rows[found] = order[rows[place, c]]
                fetch_row(reference, found_rows[found])
                found += 1
        _measure(reference, queries[q], found_rows, found, measured)
        for c in range(found):  # in about the right order already, so that each one goes to the end
            insert(distances[q], indices[q], measured[c], found_rows[c])
        # Rows that are no candidates have a key of at least the last (infinity stands for more than float32 holds).
        highest = min(np.float64(keys[place, kept - 1]), _LARGEST)
        nearest_other = np.log(highest / START) - error_bound(queries[q], center)
        enough = found >= k and distances[q, k - 1] * _MORE < nearest_other
        proven[place] = enough or found == reference.shape[0]


@called
def search_again(
    reference: np.ndarray,
    order: np.ndarray,
    center: np.ndarray,
    blocks: np.ndarray,
    queries: np.ndarray,
    wanted: np.ndarray,
    distances: np.ndarray,
    indices: np.ndarray,
) -> None:
    """The wanted queries once more: measure every row that float32 cannot tell from the k-th found so far."""
    d, k = blocks.shape[1], distances.shape[1]
    asked = np.empty((wanted.shape[0], d, 1), np.float32)
    group_queries(queries, wanted, center, 1, asked)
    flat, flat_asked = blocks.reshape(-1), asked.reshape(-1)
    products, masks, limits = whole_lines(LANES), np.empty(1, np.uint64), np.empty(1, np.float32)
    for place in range(wanted.shape[0]):
        q = wanted[place]
        exponent = distances[q, k - 1] * _MORE + error_bound(queries[q], center) + 1e-6
        filtered = np.log(START) + exponent < 88.0  # otherwise the limit is more than float32 holds
        limits[0] = START * np.exp(exponent) if filtered else 0.0
        for i in range(k):
            distances[q, i] = np.inf
            indices[q, i] = _NO_ROW
        for block in range(blocks.shape[0]):
            masks[0] = _ALL_LANES
            if filtered and not below1(flat, block * d * LANES, flat_asked, place * d, d, limits, 0, products, masks):
                continue
            mask = masks[0]
            while mask != np.uint64(0):
                lane = block * LANES + lowest_bit(mask)
                mask &= mask - np.uint64(1)
                if lane < reference.shape[0]:
                    row = order[lane]
                    insert(distances[q], indices[q], distance(queries[q], reference[row]), row)


@called
def answer(
    reference: np.ndarray,
    order: np.ndarray,
    center: np.ndarray,
    blocks: np.ndarray,
    queries: np.ndarray,
    k: int,
    n_candidates: int,
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Every step for a few queries at once: each call from Python costs as much as a tenth of the scan.

    Gives distances and indices (m, k), and whether the queries are finite; where they are not, nothing else is true.
    """
    m = queries.shape[0]
    distances, indices = np.empty((m, k)), np.empty((m, k), np.int64)
    for q in range(m):
        for i in range(queries.shape[1]):
            if not np.isfinite(queries[q, i]):
                return distances, indices, False
    wanted, proven = np.arange(m), np.empty(m, np.bool_)
    asked = np.empty((m, queries.shape[1], 1), np.float32)
    kept = length(n_candidates)
    keys, rows, limits = np.empty((m, kept), np.float32), np.empty((m, kept), np.int32), np.empty(m, np.float32)
    for q in range(m):
        limits[q] = np.inf
        for place in range(kept):
            keys[q, place] = NOBODY if place < kept - n_candidates else np.inf
    group_queries(queries, wanted, center, 1, asked)
    scan(blocks, asked, limits, keys, rows)
    settle(reference, order, center, queries, wanted, keys, rows, distances, indices, proven)
    for q in range(m):
        if not proven[q]:
            search_again(reference, order, center, blocks, queries, wanted[q : q + 1], distances, indices)
    return distances, indices, True
