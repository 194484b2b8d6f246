"""Pruning: boxes around 64 rows each, and a scan that skips the boxes that cannot hold a neighbour.

Rows are stored in an order in which each block of 64 is compact (``lorentzian_tree.compact_order``). The product over
features of 1 + distance to the block's box is computed by the same float32 steps as a row's own product; rounding is
monotone, so the box's product is never above that of a row inside, and skipping loses nothing.
"""

import numpy as np
from numba import njit

from consilience.kernels._lorentzian_lanes import GROUP, LANES, START, below4, bounds4
from consilience.kernels._lorentzian_scan import offer


@njit(cache=True, nogil=True)
def make_boxes(blocks: np.ndarray, boxes: np.ndarray) -> None:
    """Fill boxes (n_box_blocks, d, 2, 64) with the least and greatest of each block (n_blocks, d, 64).

    Missing rows are inf and do not count; boxes past the last block stay inf, which is never near.
    """
    boxes[:] = np.inf
    for block in range(blocks.shape[0]):
        for i in range(blocks.shape[1]):
            low, high = np.float32(np.inf), np.float32(-np.inf)
            for lane in range(LANES):
                value = blocks[block, i, lane]
                if value < np.inf:
                    low, high = min(low, value), max(high, value)
            boxes[block // LANES, i, 0, block % LANES] = low
            boxes[block // LANES, i, 1, block % LANES] = high


@njit(cache=True, nogil=True)
def _bound_all(boxes: np.ndarray, grouped: np.ndarray, group: int, bounds: np.ndarray) -> None:
    """Products of four queries and every box, into bounds (4, n_box_blocks · 64), flat."""
    d, stride = boxes.shape[1], boxes.shape[0] * LANES
    flat, asked = boxes.reshape(-1), grouped.reshape(-1)
    for block in range(boxes.shape[0]):
        bounds4(flat, block * d * 2 * LANES, asked, group * d * GROUP, d, bounds, block * LANES, stride)


@njit(cache=True, nogil=True)
def nearest_boxes(boxes: np.ndarray, grouped: np.ndarray, out: np.ndarray) -> None:
    """The nearest box of each query, out (n_groups · 4,); neighbouring queries share theirs."""
    stride = boxes.shape[0] * LANES
    bounds = np.empty(GROUP * stride, np.float32)
    for group in range(grouped.shape[0]):
        _bound_all(boxes, grouped, group, bounds)
        for q in range(GROUP):
            out[group * GROUP + q] = np.argmin(bounds[q * stride : (q + 1) * stride])


@njit(cache=True, nogil=True)
def pruned_scan(
    blocks: np.ndarray,
    boxes: np.ndarray,
    grouped: np.ndarray,
    limits: np.ndarray,
    keys: np.ndarray,
    rows: np.ndarray,
    shrink: float,
) -> int:
    """As ``scan`` for groups of four, skipping boxes; gives the number of blocks visited.

    shrink : 1 is exact; below it, a box counts as too far already at that fraction of the worst candidate's distance.
    """
    n_blocks, d = blocks.shape[:2]
    flat, asked, flat_keys, flat_rows = blocks.reshape(-1), grouped.reshape(-1), keys.reshape(-1), rows.reshape(-1)
    kept = keys.shape[1]
    products, masks = np.empty(GROUP * LANES, np.float32), np.empty(GROUP, np.uint64)
    stride = boxes.shape[0] * LANES
    bounds = np.empty(GROUP * stride, np.float32)
    reach = np.empty(GROUP, np.float32)  # the product from which a box is too far
    visited = 0
    for group in range(grouped.shape[0]):
        first = GROUP * group
        _bound_all(boxes, grouped, group, bounds)
        home = np.argmin(bounds[:stride])
        for q in range(GROUP):
            reach[q] = limits[first + q]
        # The nearest box of each query gives it a limit; then outwards from home, where near blocks are stored.
        for step in range(-GROUP, 2 * max(home, n_blocks - 1 - home) + 1):
            if step < 0:
                q = step + GROUP
                block = np.argmin(bounds[q * stride : (q + 1) * stride])
                wanted = bounds[q * stride + block] < np.inf
            else:
                block = home + (step + 1) // 2 if step % 2 else home - step // 2
                if block < 0 or block >= n_blocks:
                    continue
                wanted = False
                for q in range(GROUP):
                    wanted |= bounds[q * stride + block] < reach[q]
            if not wanted:
                continue
            visited += 1
            for q in range(GROUP):
                bounds[q * stride + block] = np.inf
            if below4(flat, block * d * LANES, asked, first * d, d, limits, first, products, masks):
                offer(masks, products, GROUP, block, flat_keys, flat_rows, kept, limits, first)
                for q in range(GROUP):
                    reach[q] = limits[first + q]
                    if shrink < 1.0 and START < reach[q] < np.inf:
                        reach[q] = START * (reach[q] / START) ** shrink
    return visited
