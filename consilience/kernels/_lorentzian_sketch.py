"""Exact nearest neighbours by sketches: a lower bound for every row from one byte per two features, then float64.

Why the answer is exact. Every feature's range is cut into 16 cells, and a row's sketch names its cells. A row is at
least as far from a query, in a feature, as the nearest value that any row of its cell has. These bounds, in units of u
and rounded down, are the query's tables, and their sum over the features, times u, is at most the row's distance. Some
rows with the least sums, k or more, are measured in float64; with τ the k-th smallest distance among them, every row
with a sum of at most τ/u is measured too, and no other row can be as near as τ. What is measured is Π(1+|xᵢ−yᵢ|); rows
whose product is within 1e-9 of the k-th or below get the exact distance, by which they are ordered.

The idea is the vector-approximation file of R. Weber, H.-J. Schek and S. Blott, "A quantitative analysis and
performance study for similarity-search methods in high-dimensional spaces", VLDB 1998; tables in registers are those
of F. André, A.-M. Kermarrec and N. Le Scouarnec, "Cache locality is not enough", VLDB 2015.
"""

import numpy as np
from numba import njit

from consilience.kernels._compiling import INNER, called
from consilience.kernels._lorentzian_exact import distance, insert
from consilience.kernels._lorentzian_lanes import GROUP, fetch_row, lowest_bit
from consilience.kernels._lorentzian_sketch_lanes import CELLS, ROWS, WIDTH, any_up_to, sums1, sums4, up_to

_FULL = 255  # a sum that says "this or more"
_MORE = 1.0 + 1e-9  # covers every rounding of float64
_NO_ROW = np.iinfo(np.int64).max
_CHUNK = 64  # sums that are looked at together
_TOGETHER = 32  # rows that are fetched before they are measured: they lie anywhere in memory
_FIRST = 4  # times k: so many of the least sums are measured first; more brings little, fewer leave the limit too wide
_FINER = 0.8  # of a first estimate of the k-th distance, which is too large
_ROUGHER = 4.0  # how much larger a unit becomes when too few rows have a sum below 255
_LEAST_UNIT = 1e-12  # products cannot tell smaller distances apart


@called
def encode(
    reference: np.ndarray, edges: np.ndarray, start: int, stop: int, codes: np.ndarray, ends: np.ndarray
) -> None:
    """Write blocks start:stop of codes (n_blocks, n_pairs, 256), and lower and raise the ends (d, 16, 2) of the cells.

    edges (d, 15), ascending: a cell holds what is above the edge before it and not above its own.
    """
    n, d = reference.shape
    for block in range(start, stop):
        for pair in range(codes.shape[1]):
            for lane in range(ROWS):
                row, both = block * ROWS + lane, 0
                for half in range(2):
                    i = 2 * pair + half
                    if row < n and i < d:
                        value, cell = reference[row, i], 0
                        for edge in range(CELLS - 1):
                            cell += value > edges[i, edge]
                        if value < ends[i, cell, 0]:
                            ends[i, cell, 0] = value
                        if value > ends[i, cell, 1]:
                            ends[i, cell, 1] = value
                        both |= cell << (4 * half)
                codes[block, pair, lane] = both


@njit(**INNER)
def _product(queries: np.ndarray, q: int, rows: np.ndarray, row: int) -> float:
    """Π(1+|xᵢ−yᵢ|) of one of the queries and one of the rows."""
    product = 1.0
    for i in range(queries.shape[1]):
        product *= 1.0 + abs(queries[q, i] - rows[row, i])
    return product


@njit(**INNER)
def _rank(products: np.ndarray, product: float) -> bool:
    """Put a product into its place in an ascending list if it is better than the last entry; was it?"""
    place = products.shape[0] - 1
    if not product < products[place]:
        return False
    while place > 0 and products[place - 1] > product:
        products[place] = products[place - 1]
        place -= 1
    products[place] = product
    return True


@njit(**INNER)
def _first_reach(sample: np.ndarray, queries: np.ndarray, row: int, products: np.ndarray) -> float:
    """A distance within which as many rows of the sample lie as there are products, or all rows where these are fewer.

    It is not a finite number for a query that is none, or is too far for products. The products are overwritten.
    """
    n, k = sample.shape[0], products.shape[0]
    for place in range(k):
        products[place] = np.inf
    for place in range(n):
        _rank(products, _product(queries, row, sample, place))
    return np.log(products[k - 1 if k < n else n - 1])


@njit(**INNER)
def _fill_table(
    queries: np.ndarray, row: int, ends: np.ndarray, unit: float, group: int, q: int, tables: np.ndarray
) -> None:
    """What each cell (d, 16) is worth to a query, into its places among the tables of its group."""
    d = queries.shape[1]
    for i in range(d + d % 2):
        x = queries[row, i] if i < d else 0.0
        for cell in range(CELLS):
            worth = 0.0  # of what fills up the last pair
            if i < d:
                low, high = ends[i, cell, 0], ends[i, cell, 1]
                gap = low - x if low > x else x - high
                if gap == np.inf:  # half the difference may not overflow where the difference does
                    worth = np.log(0.5 * low - 0.5 * x if low > x else 0.5 * x - 0.5 * high) + np.log(2.0)
                elif gap > 0.0:
                    worth = np.log1p(gap)
            units = worth / unit
            byte = np.uint8(units) if units < _FULL else np.uint8(_FULL)
            at = (i * group + q) * WIDTH + cell
            for copy in range(at, at + WIDTH - cell, CELLS):
                tables[copy] = byte


@njit(**INNER)
def _sum_up(codes: np.ndarray, tables: np.ndarray, group: int, n: int, sums: np.ndarray, least: np.ndarray) -> None:
    """Sums of all n rows for a group of queries, into sums (group, n_blocks · 256), flat.

    least (slots + 1, group, 256), flat: the least sum of every slots-th block's rows in each place.
    """
    n_blocks, n_pairs = codes.shape[:2]
    size, stride = n_pairs * ROWS, n_blocks * ROWS
    slots = least.shape[0] // (group * ROWS) - 1
    for place in range(least.shape[0]):
        least[place] = _FULL
    for block in range(n_blocks):
        # What fills up the last block are no rows; its slot, the last, is not asked.
        slot = slots if (block + 1) * ROWS > n else block % slots
        if group == GROUP:
            sums4(codes, block * size, tables, 0, n_pairs, sums, block * ROWS, stride, least, slot * GROUP * ROWS)
        else:
            sums1(codes, block * size, tables, 0, n_pairs, sums, block * ROWS, stride, least, slot * ROWS)
    for q in range(group):
        for place in range(q * stride + n, (q + 1) * stride):
            sums[place] = _FULL


@njit(**INNER)
def _least_for(least: np.ndarray, group: int, q: int, wanted: int, counts: np.ndarray) -> int:
    """A sum that at least so many rows do not exceed, or 255; least as ``_sum_up`` leaves it, counts for own use."""
    for value in range(_FULL + 1):
        counts[value] = 0
    for slot in range(least.shape[0] // (group * ROWS) - 1):
        first = (slot * group + q) * ROWS
        for place in range(first, first + ROWS):
            counts[least[place]] += 1
    found, value = counts[0], 0
    while found < wanted and value < _FULL:
        value += 1
        found += counts[value]
    return value


@njit(**INNER)
def _nearest(
    reference: np.ndarray,
    queries: np.ndarray,
    q: int,
    sums: np.ndarray,
    first: int,
    start: int,
    unit: float,
    shrink: float,
    products: np.ndarray,
    rows: np.ndarray,
    near: np.ndarray,
    distances: np.ndarray,
    indices: np.ndarray,
) -> tuple[float, int]:
    """Find the k nearest by sums[first:], one for every row and what fills up blocks.

    start : a sum that at least k rows do not exceed: these are measured, and then those that may still be nearer.
    shrink : 1 is exact; below it, a row is too far already at that fraction of the k-th distance so far.
    products (k,), rows and near (most,) are for own use: the least products, rows that may be among the nearest, and
    their products. Gives 0, or the unit to try again with, or inf to leave it; and the number of rows measured.
    """
    n, k = reference.shape[0], products.shape[0]
    if start >= _FULL:
        return unit * _ROUGHER, 0
    for place in range(k):
        products[place] = np.inf
        distances[q, place] = np.inf
        indices[q, place] = _NO_ROW
    end = first + -(-n // ROWS) * ROWS
    found, measured, waiting = 0, 0, 0
    reach = np.inf
    after, up, block = -1, start, first
    while True:
        if block < end and any_up_to(sums, block, np.uint8(up)):
            for at in range(block, block + ROWS, _CHUNK):
                mask = up_to(sums, at, np.uint8(up))
                if mask != np.uint64(0) and after >= 0:
                    mask &= ~up_to(sums, at, np.uint8(after))
                while mask != np.uint64(0):
                    if found + waiting == rows.shape[0]:
                        return np.inf, measured
                    row = at - first + lowest_bit(mask)
                    mask &= mask - np.uint64(1)
                    fetch_row(reference, row)
                    rows[found + waiting] = row
                    waiting += 1
        block += ROWS
        if waiting < _TOGETHER and block < end:
            continue
        # Of those that wait, the ones that may be among the nearest move up to the others found so far.
        measured += waiting
        for place in range(found, found + waiting):
            product = _product(queries, q, reference, rows[place])
            if product <= reach:
                rows[found] = rows[place]
                near[found] = product
                found += 1
                if _rank(products, product):
                    reach = products[k - 1] * _MORE
        waiting = 0
        if measured > rows.shape[0] or (block >= end and not reach < np.inf):
            return np.inf, measured
        limit = shrink * np.log(reach) / unit
        if limit < up:
            up = int(limit)
        if block < end:
            continue
        if after >= 0:
            break
        if limit >= _FULL:
            return shrink * np.log(reach) * _MORE / (_FULL - 1), measured
        if limit <= start:
            break
        after, up, block = start, int(limit), first
    for place in range(found):
        if near[place] <= reach:
            d_exact = distance(queries[q], reference[rows[place]])
            insert(distances[q], indices[q], d_exact, rows[place])
    return 0.0, measured


@called
def search(
    reference: np.ndarray,
    codes: np.ndarray,
    ends: np.ndarray,
    sample: np.ndarray,
    most: int,
    shrink: float,
    queries: np.ndarray,
    distances: np.ndarray,
    indices: np.ndarray,
    answered: np.ndarray,
) -> int:
    """Fill distances and indices (m, k), and tell in ``answered`` (m,) which rows are filled.

    sample (n_sample, d) : rows of the reference for a first estimate.
    most : queries for which more rows than this would have to be measured are left, as are those that are not finite.
    shrink : 1 is exact, below it near rows may be missed (see ``_nearest``).
    Gives the number of rows measured.
    """
    n, k = reference.shape[0], distances.shape[1]
    n_blocks, n_pairs = codes.shape[:2]
    slots = 4 * _FIRST * k // ROWS
    slots = max(1, slots if slots < n // ROWS else n // ROWS)
    m = queries.shape[0]
    group = GROUP if m >= GROUP else 1
    tables, sums = np.empty(2 * n_pairs * group * WIDTH, np.uint8), np.empty(group * n_blocks * ROWS, np.uint8)
    least, counts = np.empty((slots + 1) * group * ROWS, np.uint8), np.empty(_FULL + 1, np.int64)
    units, products, near, rows = np.empty(group), np.empty(k), np.empty(most), np.empty(most, np.int64)
    measured = 0
    for step in range(0, m, group):
        first = step if step <= m - group else m - group  # the last ones with some that are answered already
        for q in range(group):
            answered[first + q] = False
            units[q] = _first_reach(sample, queries, first + q, products) * _FINER / _FULL
            if units[q] < _LEAST_UNIT:
                units[q] = _LEAST_UNIT
        waiting = True
        while waiting:
            for q in range(group):
                if not answered[first + q] and units[q] < np.inf:
                    _fill_table(queries, first + q, ends, units[q], group, q, tables)
            _sum_up(codes, tables, group, n, sums, least)
            waiting = False
            for q in range(group):
                row = first + q
                if answered[row] or not units[q] < np.inf:
                    continue
                start = _least_for(least, group, q, _FIRST * k, counts)
                units[q], visited = _nearest(
                    reference, queries, row, sums, q * n_blocks * ROWS, start, units[q], shrink, products, rows, near,
                    distances, indices,
                )  # fmt: skip
                measured += visited
                answered[row] = units[q] == 0.0
                waiting |= 0.0 < units[q] < np.inf
    return measured
