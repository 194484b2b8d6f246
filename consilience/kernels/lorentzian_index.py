"""Exact nearest neighbours under the Lorentzian distance."""

from typing import Any

import numpy as np

from consilience.kernels import _lorentzian_exact
from consilience.kernels.lorentzian_input import count, in_chunks, matrix, threads


class LorentzianIndex:
    """Reference rows, prepared once and queried often.

    Parameters
    ----------
    reference : (n, d) finite numbers, at any scale; copied where it is not C-ordered float64.
    n_threads : threads at most; None for all. Results do not depend on it.

    Raises
    ------
    InvalidInput : reference is empty or not finite.

    Examples
    --------
    >>> index = LorentzianIndex([[0.0], [1.0], [5.0]])
    >>> distances, indices = index.query([[0.9]], k=2)
    >>> indices.tolist()
    [[1, 0]]
    """

    def __init__(self, reference: Any, *, n_threads: int | None = None) -> None:
        self.reference = matrix(reference, "reference", "LorentzianIndex")
        self.n_threads = threads(n_threads, "LorentzianIndex")

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and features of the reference."""
        return self.reference.shape[0], self.reference.shape[1]

    def query(self, queries: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest reference rows of every query, nearest first; equal distances in the order of the rows.

        Parameters
        ----------
        queries : (m, d).
        k : from 1 to the number of reference rows.

        Returns
        -------
        distances (m, k) float64, indices (m, k) int64 into the reference.
        """
        n, d = self.shape
        rows = matrix(queries, "queries", "LorentzianIndex.query", d)
        k = count(k, "k", "LorentzianIndex.query", n, ", the number of reference rows")
        distances = np.empty((len(rows), k))
        indices = np.empty((len(rows), k), np.int64)

        def work(start: int, stop: int) -> None:
            _lorentzian_exact.exact_neighbors(self.reference, rows, start, stop, distances, indices)

        in_chunks(work, len(rows), float(len(rows)) * n * d, self.n_threads)
        return distances, indices


def lorentzian_neighbors(
    reference: Any, queries: Any, k: int, *, n_threads: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest rows of ``reference`` (n, d) for every row of ``queries`` (m, d), exactly.

    Returns (distances (m, k) float64, indices (m, k) int64), nearest first; memory is O(m·k) beside a copy of the
    reference. A ``LorentzianIndex`` saves the preparation when there are several calls.

    >>> lorentzian_neighbors([[0.0], [1.0], [5.0]], [[4.0]], k=1)[1].tolist()
    [[2]]
    """
    return LorentzianIndex(reference, n_threads=n_threads).query(queries, k)
