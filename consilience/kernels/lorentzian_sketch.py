"""Sketches of the reference rows, from which an exact search learns which few rows it must measure."""

from threading import Lock
from typing import Self

import numpy as np

from consilience.kernels import _lorentzian_sketch, memory
from consilience.kernels._lorentzian_sketch_lanes import AVAILABLE, CELLS, ROWS
from consilience.kernels.lorentzian_threads import in_chunks

_EDGES_FROM = 4096  # rows from which the cells are laid out
_SAMPLE = 64  # rows that give a query its first idea of how far its neighbours are
_MEASURED = 1 / 16  # of all rows: past it, a query is left to a scan of everything
_WIDEST = 1e300  # differences are cut here, so that their sum is a number


class Sketches:
    """Every row's cell in every feature, half a byte each.

    Parameters
    ----------
    reference : (n, d) C-ordered finite float64.
    n_threads : threads at most.
    """

    def __init__(self, reference: np.ndarray, n_threads: int) -> None:
        n, d = reference.shape
        codes, ends = memory.aligned((-(-n // ROWS), (d + 1) // 2, ROWS), np.uint8), _no_ends(d)
        edges, lock = _edges(reference), Lock()

        def work(start: int, stop: int) -> None:
            own = _no_ends(d)
            _lorentzian_sketch.encode(reference, edges, start, stop, codes, own)
            with lock:
                np.minimum(ends[:, :, 0], own[:, :, 0], out=ends[:, :, 0])
                np.maximum(ends[:, :, 1], own[:, :, 1], out=ends[:, :, 1])

        in_chunks(work, len(codes), float(reference.size) * CELLS, n_threads)
        self._most = int(_MEASURED * n)
        sample = reference[np.linspace(0, n - 1, min(n, _SAMPLE)).astype(np.int64)]
        self._prepared = reference, codes, ends, sample, self._most

    @classmethod
    def of(cls, reference: np.ndarray, n_threads: int) -> Self | None:
        """Sketches, or None where the processor cannot look up a register of bytes in a table at once."""
        return cls(reference, n_threads) if AVAILABLE else None

    def serve(self, k: int) -> bool:
        """Can they help to find k neighbours? Many of few rows are quicker found by a scan."""
        return 16 * k <= self._most

    def search(
        self, queries: np.ndarray, distances: np.ndarray, indices: np.ndarray, shrink: float = 1.0
    ) -> tuple[np.ndarray, int]:
        """Fill distances and indices (m, k), exactly, for C-ordered float64 queries (m, d).

        With a ``shrink`` below 1, rows are too far already at that fraction of the k-th distance found so far.

        Returns
        -------
        answered : (m,) bool; the other rows, those of queries that are not finite among them, are left to the caller.
        measured : rows measured in all.
        """
        answered = np.empty(len(queries), bool)
        return answered, _lorentzian_sketch.search(*self._prepared, shrink, queries, distances, indices, answered)


def _edges(reference: np.ndarray) -> np.ndarray:
    """Where the cells of each feature end, (d, 15).

    Between quantiles, which leave the outer cells so wide that they say nothing of an unusual query, and equal widths,
    which leave most rows in a few cells: each cell has the same share of the sum of √log(1+gap) of neighbouring values.
    """
    values = np.sort(reference[:: max(1, len(reference) // _EDGES_FROM)], axis=0)
    with np.errstate(over="ignore"):
        gaps = np.minimum(np.diff(values, axis=0), _WIDEST)
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(np.sqrt(np.log1p(gaps)), axis=0)])
    shares = np.arange(1, CELLS) / CELLS
    columns = [column[np.searchsorted(sum_, sum_[-1] * shares)] for column, sum_ in zip(values.T, sums.T)]
    return np.ascontiguousarray(columns)


def _no_ends(d: int) -> np.ndarray:
    """Least and greatest values (d, 16, 2) of cells that no row is in yet."""
    ends = np.empty((d, CELLS, 2))
    ends[:, :, 0], ends[:, :, 1] = np.inf, -np.inf
    return ends
