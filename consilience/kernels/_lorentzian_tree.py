"""Pruning: boxes around 64 rows each, and a scan that skips the boxes that cannot hold a neighbour.

Rows are stored in an order in which each block of 64 is compact (``lorentzian_tree.split``). The product over features
of 1 + distance to the block's box is computed by the same float32 steps as a row's own product; rounding is monotone,
so the box's product is never above that of a row inside, and skipping loses nothing. Boxes around every 16 boxes bound
these in the same way.
"""

import numpy as np
from numba import njit

from consilience.kernels._compiling import INNER, called
from consilience.kernels._lorentzian_candidates import offer
from consilience.kernels._lorentzian_lanes import (
    BOXES,
    GROUP,
    LANES,
    below4,
    boxes_below4,
    lowest_bit,
    shrunk,
    whole_lines,
)


@njit(**INNER)
def _flat(box: int, d: int) -> int:
    """Where the lower edges of boxes, laid out (n, d, 2, 64), begin at this one."""
    return box // LANES * d * 2 * LANES + box % LANES


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


@njit(**INNER)
def _any_near(products: np.ndarray, block: int, place: int, reach: np.ndarray) -> bool:
    """Is a box near any query of the group? products (n, 4, 16) are those of boxes, 16 at a time."""
    near = False
    for q in range(GROUP):
        near |= products[block, q, place] < reach[q]
    return near


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
    shrink: float,
) -> int:
    """As ``scan`` for groups of four, skipping boxes; gives the number of blocks visited.

    boxes, outer : flat; around every block, and around every 16 of these boxes.
    homes : (n_groups,) a block near each group, visited first.
    shrink : 1 is exact; below it, a box is too far already at about that fraction of the worst candidate's distance.
    """
    n_blocks, d = blocks.shape[:2]
    n_outer = (n_blocks - 1) // BOXES + 1
    flat, asked, flat_keys, flat_rows = blocks.reshape(-1), grouped.reshape(-1), keys.reshape(-1), rows.reshape(-1)
    kept, together = keys.shape[1], grouped.shape[2]
    products, masks = whole_lines(GROUP * LANES), np.empty(GROUP, np.uint64)
    near = whole_lines(GROUP * BOXES).reshape(1, GROUP, BOXES)
    far = whole_lines(-(-n_outer // BOXES) * GROUP * BOXES).reshape(-1, GROUP, BOXES)
    reach = whole_lines(GROUP)  # the product from which a box is too far
    visited = 0
    for group in range(grouped.shape[0]):
        first = GROUP * group
        for q in range(GROUP):
            reach[q] = limits[first + q]
        for chunk in range(0, n_outer, BOXES):
            boxes_below4(outer, _flat(chunk, d), asked, first * d, d, reach, 0, far[chunk // BOXES])
        # Home gives every query a limit; then outwards from it, 16 boxes at a time: near rows are stored nearby.
        middle, home = homes[group] // BOXES, np.uint64(1) << np.uint64(homes[group] % BOXES)
        for step in range(-1, 2 * max(middle, n_outer - 1 - middle) + 1):
            part, waiting = middle, home
            if step >= 0:
                part = middle + (step + 1) // 2 if step % 2 else middle - step // 2
                if part < 0 or part >= n_outer or not _any_near(far, part // BOXES, part % BOXES, reach):
                    continue
                waiting = np.uint64(boxes_below4(boxes, _flat(part * BOXES, d), asked, first * d, d, reach, 0, near[0]))
                if part == middle:
                    waiting &= ~home
            while waiting != np.uint64(0):
                place = lowest_bit(waiting)
                waiting &= waiting - np.uint64(1)
                if step >= 0 and not _any_near(near, 0, place, reach):
                    continue
                visited += 1
                block = part * BOXES + place
                if below4(flat, block * d * LANES, asked, first * d, d, limits, first, products, masks):
                    offer(masks, products, together, block, flat_keys, flat_rows, kept, limits, first)
                    for q in range(GROUP):
                        reach[q] = shrunk(limits[first + q], shrink)
    return visited
