"""Approximate nearest neighbours under the Lorentzian distance, by a navigable graph (usearch)."""

from typing import Any, Self

import numpy as np

from consilience.base import MissingDependency, invalid
from consilience.kernels.lorentzian_input import count, matrix, share, threads

_SLAB = 65_536  # rows converted and added together
_SAMPLE = 256
_WIDEST_SEARCH = 4096


class ApproximateLorentzianIndex:
    """Reference rows in a graph that grows, holding one float32 copy of them and their links.

    For references that outgrow ``LorentzianIndex`` (which keeps float64 and float32 copies) or that keep growing. Up to
    some hundred thousand rows of a few features the exact index is quicker, and always right.

    Parameters
    ----------
    reference : (n, d) finite numbers within float32's range.
    connectivity : links per row; more finds more and takes more memory.
    expansion_add : rows considered when one is added; more links better and builds slower.
    n_threads : threads at most; None for all. With more than one, the graph differs a little from run to run.

    Raises
    ------
    InvalidInput : reference is empty, not finite, or outside float32.
    MissingDependency : usearch is not installed (the extra ``ann`` brings it).

    References
    ----------
    Y. Malkov and D. Yashunin, "Efficient and robust approximate nearest neighbor search using Hierarchical Navigable
    Small World graphs", IEEE TPAMI 42 (2020).

    Examples
    --------
    >>> index = ApproximateLorentzianIndex([[0.0], [1.0], [5.0]])
    >>> index.query([[0.9]], k=2)[1].tolist()
    [[1, 0]]
    """

    def __init__(
        self, reference: Any, *, connectivity: int = 16, expansion_add: int = 128, n_threads: int | None = None
    ) -> None:
        owner = "ApproximateLorentzianIndex"
        try:
            from usearch.index import CompiledMetric, Index, MetricKind, MetricSignature
        except ImportError as error:
            raise MissingDependency(
                f"{owner} needs usearch: install consilience[ann], or use LorentzianIndex."
            ) from error
        from consilience.kernels import _lorentzian_usearch

        rows = matrix(reference, "reference", owner)
        self.n_threads = threads(n_threads, owner)
        signature = MetricSignature.ArrayArraySize
        self._graph = Index(
            ndim=rows.shape[1],
            metric=CompiledMetric(_lorentzian_usearch.measure.address, MetricKind.Unknown, signature),
            dtype="f32",
            connectivity=count(connectivity, "connectivity", owner),
            expansion_add=count(expansion_add, "expansion_add", owner),
        )
        self._expansions: dict[tuple[int, float], int] = {}
        self.add(rows)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and features of the reference."""
        return len(self._graph), int(self._graph.ndim)

    def add(self, rows: Any) -> Self:
        """Add rows (m, d); they get the following indices."""
        owner = "ApproximateLorentzianIndex.add"
        values = matrix(rows, "rows", owner, self.shape[1])
        if np.abs(values).max() > np.finfo(np.float32).max:
            raise invalid("rows", owner, "within float32's range", float(np.abs(values).max()))
        for start in range(0, len(values), _SLAB):
            slab = values[start : start + _SLAB].astype(np.float32)
            first = len(self._graph)
            self._graph.add(np.arange(first, first + len(slab)), slab, threads=self.n_threads)
        self._expansions.clear()
        return self

    def query(self, queries: Any, k: int, *, recall: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """About the k nearest reference rows of every query, nearest first.

        Parameters
        ----------
        queries : (m, d) within float32's range.
        k : from 1 to the number of reference rows.
        recall : share of the true neighbours to find, on average over queries like the reference's rows. The width of
            the search is learnt once per k and recall, by an exact search for a few rows; its limit is 4096.

        Returns
        -------
        distances (m, k) float64 with the precision of float32, indices (m, k) int64 in the order of adding.
        """
        owner = "ApproximateLorentzianIndex.query"
        rows = matrix(queries, "queries", owner, self.shape[1])
        if np.abs(rows).max() > np.finfo(np.float32).max:
            raise invalid("queries", owner, "within float32's range", float(np.abs(rows).max()))
        k = count(k, "k", owner, len(self._graph), ", the number of reference rows")
        self._graph.expansion_search = self._expansion(k, share(recall, "recall", owner))
        return self._search(rows.astype(np.float32), k, exact=False)

    def _search(self, rows: np.ndarray, k: int, exact: bool) -> tuple[np.ndarray, np.ndarray]:
        found = self._graph.search(rows, k, threads=self.n_threads, exact=exact)
        shape = (len(rows), -1)
        distances, indices = found.distances.reshape(shape).astype(np.float64), found.keys.reshape(shape)
        return distances, indices.astype(np.int64)

    def _expansion(self, k: int, recall: float) -> int:
        """How many rows to keep in view, so that rows of the reference find their neighbours."""
        if (k, recall) not in self._expansions:
            n = len(self._graph)
            sample = np.linspace(0, n - 1, min(n, _SAMPLE)).astype(np.int64)
            rows = np.asarray(self._graph.get(sample), np.float32).reshape(len(sample), -1)
            wide = min(k + 1, n)  # each finds itself, which does not count
            farthest = self._search(rows, wide, exact=True)[0][:, -1:]
            expansion = max(16, 2 * k)
            while True:
                self._graph.expansion_search = expansion
                found = (self._search(rows, wide, exact=False)[0] <= farthest).sum() - len(rows)
                if found >= recall * (wide - 1) * len(rows) or expansion >= _WIDEST_SEARCH:
                    break
                expansion *= 2
            self._expansions[k, recall] = expansion
        return self._expansions[k, recall]
