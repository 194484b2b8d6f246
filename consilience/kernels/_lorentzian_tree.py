"""Pruning: boxes around 64 rows each, and a scan that skips the boxes that cannot hold a neighbour.

Rows are stored in an order in which each block of 64 is compact (``lorentzian_tree.compact_order``). The product over
features of 1 + distance to the block's box is computed by the same float32 steps as a row's own product; rounding is
monotone, so the box's product is never above that of a row inside, and skipping loses nothing.
"""

import numpy as np
from numba import njit

from consilience.kernels._compiling import INNER, called
from consilience.kernels._lorentzian_lanes import GROUP, LANES, START, any_under4, below4, bounds4, lowest_bit
from consilience.kernels._lorentzian_scan import offer


@called
def make_boxes(blocks: np.ndarray, boxes: np.ndarray) -> None:
    """Write into boxes (n_box_blocks, d, 2, 64) the least and greatest of each block (n_blocks, d, 64).

    Missing rows are inf and do not count; boxes past the last block stay as they are (inf, which is never near).
    """
    for block in range(blocks.shape[0]):
        for i in range(blocks.shape[1]):
            low, high = np.float32(np.inf), np.float32(-np.inf)
            for lane in range(LANES):
                value = blocks[block, i, lane]
                if value < np.inf:
                    low, high = min(low, value), max(high, value)
            boxes[block // LANES, i, 0, block % LANES] = low
            boxes[block // LANES, i, 1, block % LANES] = high


@njit(**INNER)
def _bound_all(boxes: np.ndarray, grouped: np.ndarray, group: int, bounds: np.ndarray) -> None:
    """Products of four queries and every box, into bounds (4, n_box_blocks · 64), flat."""
    d, stride = boxes.shape[1], boxes.shape[0] * LANES
    flat, asked = boxes.reshape(-1), grouped.reshape(-1)
    for block in range(boxes.shape[0]):
        bounds4(flat, block * d * 2 * LANES, asked, group * d * GROUP, d, bounds, block * LANES, stride)


@called
def descend(queries: np.ndarray, center: np.ndarray, nodes: np.ndarray, cuts: np.ndarray, out: np.ndarray) -> None:
    """The block that each query (m, d) falls into by the splits that made the order, out (m,).

    nodes (n_nodes, 3): feature and the two children, a block b as -b-1; cuts (n_nodes,): up to here is the first child.
    """
    for q in range(queries.shape[0]):
        node = 0 if nodes.shape[0] else -1
        while node >= 0:
            feature = nodes[node, 0]
            high = queries[q, feature] - center[feature] > cuts[node]
            node = nodes[node, 2] if high else nodes[node, 1]
        out[q] = -node - 1


@called
def pruned_scan(
    blocks: np.ndarray,
    boxes: np.ndarray,
    grouped: np.ndarray,
    homes: np.ndarray,
    limits: np.ndarray,
    keys: np.ndarray,
    rows: np.ndarray,
    shrink: np.ndarray,
) -> int:
    """As ``scan`` for groups of four, skipping boxes; gives the number of blocks visited.

    homes : (n_groups · 4,) a block near each query, visited first.
    shrink : (1,) 1 is exact; below it, a box is too far already at that fraction of the worst candidate's distance. (As
        an array, because LLVM would compile the whole loop once for each outcome of a comparison of a plain number.)
    """
    d = blocks.shape[1]
    flat, asked, flat_keys, flat_rows = blocks.reshape(-1), grouped.reshape(-1), keys.reshape(-1), rows.reshape(-1)
    kept = keys.shape[1]
    products, masks = np.empty(GROUP * LANES, np.float32), np.empty(GROUP, np.uint64)
    n_parts = boxes.shape[0]
    stride = n_parts * LANES
    bounds = np.empty(GROUP * stride, np.float32)
    reach = np.empty(GROUP, np.float32)  # the product from which a box is too far
    visited = 0
    for group in range(grouped.shape[0]):
        first = GROUP * group
        _bound_all(boxes, grouped, group, bounds)
        for q in range(GROUP):
            reach[q] = limits[first + q]
        # The homes give every query a limit; then outwards from them, 64 boxes at a time: near rows are stored nearby.
        middle = homes[first] // LANES
        for step in range(-GROUP, 2 * max(middle, n_parts - 1 - middle) + 1):
            if step < 0:
                part = homes[first + GROUP + step] // LANES
                waiting = np.uint64(1) << np.uint64(homes[first + GROUP + step] % LANES)
            else:
                part = middle + (step + 1) // 2 if step % 2 else middle - step // 2
                if part < 0 or part >= n_parts:
                    continue
                waiting = any_under4(bounds, part * LANES, stride, reach)
            while waiting != np.uint64(0):
                block = part * LANES + lowest_bit(waiting)
                waiting &= waiting - np.uint64(1)
                near = False
                for q in range(GROUP):
                    near |= bounds[q * stride + block] < reach[q]
                    bounds[q * stride + block] = np.inf  # seen
                if not near:
                    continue
                visited += 1
                if below4(flat, block * d * LANES, asked, first * d, d, limits, first, products, masks):
                    offer(masks, products, GROUP, block, flat_keys, flat_rows, kept, limits, first)
                    for q in range(GROUP):
                        reach[q] = limits[first + q]
                        if shrink[0] < 1.0 and START < reach[q] < np.inf:
                            reach[q] = START * (reach[q] / START) ** shrink[0]
    return visited
