"""An order of rows in which every 64 that follow each other lie close together, and boxes around them."""

from dataclasses import dataclass

import numpy as np

from consilience.kernels import memory
from consilience.kernels._lorentzian_lanes import BOXES, LANES

_SAMPLE = 512


@dataclass(frozen=True)
class Splits:
    """Repeated median splits of the widest feature, down to blocks of 64 rows.

    Attributes
    ----------
    order : (n,) int64, a permutation of the rows; every 64 in a row are a block, full except the last one.
    nodes : (n_nodes, 3) int64: the feature of a split and its two children, a block b being written as -b-1.
    cuts : (n_nodes,) float32, the greatest value of the first child.
    """

    order: np.ndarray
    nodes: np.ndarray
    cuts: np.ndarray


def split(values: np.ndarray) -> Splits:
    """Order the rows of values (n, d) float32; every split falls on a multiple of 64."""
    columns = np.ascontiguousarray(values.T)
    order = np.arange(len(values), dtype=np.int64)
    nodes: list[list[int]] = []
    cuts: list[float] = []
    stack = [(0, len(values), -1, 0)]
    while stack:
        start, stop, parent, side = stack.pop()
        leaf = stop - start <= LANES
        if parent >= 0:
            nodes[parent][side] = -(start // LANES) - 1 if leaf else len(nodes)
        if leaf:
            continue
        rows = order[start:stop]
        feature = _widest(columns, rows)
        column = columns[feature][rows]
        half = ((stop - start) // LANES + 1) // 2 * LANES
        parted = np.argpartition(column, half - 1)
        order[start:stop] = rows[parted]
        stack += [(start, start + half, len(nodes), 1), (start + half, stop, len(nodes), 2)]
        nodes.append([feature, 0, 0])
        cuts.append(float(column[parted[half - 1]]))
    return Splits(order, np.array(nodes, np.int64).reshape(-1, 3), np.array(cuts, np.float32))


def _widest(columns: np.ndarray, rows: np.ndarray) -> int:
    """The feature whose values, in a sample of the rows, lie farthest from their middle, as the distance sees it."""
    sample = columns[:, rows[:: max(1, len(rows) // _SAMPLE)]]
    middle = np.median(sample, axis=1, keepdims=True)
    with np.errstate(over="ignore"):
        return int(np.log1p(np.abs(sample - middle)).sum(axis=1).argmax())


def boxes_around(blocks: np.ndarray, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes around the blocks (n_blocks, d, 64) of so many rows, and boxes around every 16 of these.

    Both are flat, laid out (n, d, 2, 64), lower then upper edges; where there is no box they are infinite: never near.
    """
    n_blocks, d = blocks.shape[:2]
    low, high = blocks.min(axis=2), blocks.max(axis=2)
    high[-1] = blocks[-1, :, : n_rows - (n_blocks - 1) * LANES].max(axis=1)  # the rows that it lacks are infinite
    whole = ((0, -n_blocks % BOXES), (0, 0))
    lowest = np.pad(low, whole, constant_values=np.inf).reshape(-1, BOXES, d).min(axis=1)
    highest = np.pad(high, whole, constant_values=-np.inf).reshape(-1, BOXES, d).max(axis=1)
    return _laid_out(low, high), _laid_out(lowest, highest)


def _laid_out(*edges: np.ndarray) -> np.ndarray:
    n, d = edges[0].shape
    out = memory.aligned((-(-n // LANES), d, 2, LANES), np.float32)
    for side, values in enumerate(edges):
        padded = np.full((len(out) * LANES, d), np.inf, np.float32)
        padded[:n] = values
        out[:, :, side] = padded.reshape(-1, LANES, d).transpose(0, 2, 1)
    return out.reshape(-1)
