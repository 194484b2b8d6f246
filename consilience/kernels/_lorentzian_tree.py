"""Pruning: boxes around 64 rows each, and a scan that skips the boxes that cannot hold a neighbour.

Rows are stored in an order in which each block of 64 is compact (``lorentzian_tree.compact_order``). The product over
features of 1 + distance to the block's box is computed by the same float32 steps as a row's own product; rounding is
monotone, so the box's product is never above that of a row inside, and skipping loses nothing.
"""

import numpy as np

from consilience.kernels._compiling import called
from consilience.kernels._lorentzian_candidates import offer
from consilience.kernels._lorentzian_lanes import (
    BOXES,
    GROUP,
    LANES,
    START,
    below4,
    boxes_below4,
    lowest_bit,
    whole_lines,
)

_START_BITS = int(np.float32(START).view(np.int32))


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
    outer: np.ndarray,
    grouped: np.ndarray,
    homes: np.ndarray,
    limits: np.ndarray,
    keys: np.ndarray,
    rows: np.ndarray,
    shrink: np.ndarray,
) -> int:
    """As ``scan`` for groups of four, skipping boxes; gives the number of blocks visited.

    homes : (n_groups · 4,) a block near each query, visited first.
    shrink : (1,) 1 is exact; below it, a box is too far already at about that fraction of the worst candidate's
        distance: a float's bits are nearly its logarithm, and a power took longer than a visit. (As an array, because
        LLVM would compile the whole loop once for each outcome of a comparison of a plain number.)
    """
    n_blocks, d = blocks.shape[:2]
    n_outer = (n_blocks - 1) // BOXES + 1
    flat, asked, flat_keys, flat_rows = blocks.reshape(-1), grouped.reshape(-1), keys.reshape(-1), rows.reshape(-1)
    flat_boxes, flat_outer = boxes.reshape(-1), outer.reshape(-1)
    kept, together = keys.shape[1], grouped.shape[2]
    products, masks = whole_lines(GROUP * LANES), np.empty(GROUP, np.uint64)
    near = whole_lines(GROUP * BOXES)
    far = whole_lines(-(-n_outer // BOXES) * GROUP * BOXES).reshape(-1, GROUP * BOXES)
    reach = np.empty(GROUP, np.float32)  # the product from which a box is too far
    reach_bits, limit_bits = reach.view(np.int32), limits.view(np.int32)
    visited = 0
    for group in range(grouped.shape[0]):
        first = GROUP * group
        for q in range(GROUP):
            reach[q] = limits[first + q]
        for chunk in range(0, n_outer, BOXES):
            start = chunk // LANES * d * 2 * LANES + chunk % LANES
            boxes_below4(flat_outer, start, asked, first * d, d, reach, 0, far[chunk // BOXES])
        # The homes give every query a limit; then outwards from them, 16 boxes at a time: near rows are stored nearby.
        middle = homes[first] // BOXES
        for step in range(-GROUP, 2 * max(middle, n_outer - 1 - middle) + 1):
            if step < 0:
                part, place = homes[first + GROUP + step] // BOXES, homes[first + GROUP + step] % BOXES
                waiting = np.uint64(1) << np.uint64(place)
                for earlier in range(first, first + GROUP + step):
                    if homes[earlier] == homes[first + GROUP + step]:
                        waiting = np.uint64(0)
            else:
                part = middle + (step + 1) // 2 if step % 2 else middle - step // 2
                if part < 0 or part >= n_outer:
                    continue
                worth = False
                for q in range(GROUP):
                    worth |= far[part // BOXES, q * BOXES + part % BOXES] < reach[q]
                if not worth:
                    continue
                start = part * BOXES // LANES * d * 2 * LANES + part * BOXES % LANES
                waiting = np.uint64(boxes_below4(flat_boxes, start, asked, first * d, d, reach, 0, near))
                for q in range(GROUP):
                    if homes[first + q] // BOXES == part:
                        waiting &= ~(np.uint64(1) << np.uint64(homes[first + q] % BOXES))
            while waiting != np.uint64(0):
                place = lowest_bit(waiting)
                waiting &= waiting - np.uint64(1)
                worth = step < 0
                for q in range(GROUP):
                    worth |= near[q * BOXES + place] < reach[q]
                if not worth:
                    continue
                visited += 1
                block = part * BOXES + place
                if below4(flat, block * d * LANES, asked, first * d, d, limits, first, products, masks):
                    offer(masks, products, together, block, flat_keys, flat_rows, kept, limits, first)
                    for q in range(GROUP):
                        reach[q] = limits[first + q]
                        if shrink[0] < 1.0 and START < reach[q] < np.inf:
                            reach_bits[q] = _START_BITS + np.int32(shrink[0] * (limit_bits[first + q] - _START_BITS))
    return visited
