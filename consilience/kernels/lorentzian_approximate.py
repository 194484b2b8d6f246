"""Approximate nearest neighbours under the Lorentzian distance, by a navigable graph (usearch)."""

from threading import RLock
from typing import Any, Self

import numpy as np

from consilience.base import MissingDependency, invalid
from consilience.kernels.inputs import count, matrix, share
from consilience.kernels.lorentzian_threads import threads

_SLAB = 65_536  # rows converted and added together
_SAMPLE = 256
_WIDEST_SEARCH = 4096
_RECALL = 0.95


class ApproximateLorentzianIndex:
    """Reference rows in a graph that grows, holding one float32 copy of them and their links.

    For references that outgrow ``LorentzianIndex`` (which keeps float64 and float32 copies) or that keep growing. Up to
    some hundred thousand rows of a few features the exact index is quicker, and always right. Threads may share one:
    they wait for each other, while each search uses ``n_threads``.

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

        rows = _single(reference, "reference", owner)
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
        self._lock = RLock()  # the width of a search is a setting of the graph, so that setting and searching are one
        self._add(rows)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and features of the reference."""
        return len(self._graph), int(self._graph.ndim)

    def add(self, rows: Any) -> Self:
        """Add rows (m, d); they get the following indices."""
        self._add(_single(rows, "rows", "ApproximateLorentzianIndex.add", self.shape[1]))
        return self

    def _add(self, rows: np.ndarray) -> None:
        with self._lock:
            for start in range(0, len(rows), _SLAB):
                slab = rows[start : start + _SLAB].astype(np.float32)
                first = len(self._graph)
                self._graph.add(np.arange(first, first + len(slab)), slab, threads=self.n_threads)
            self._expansions.clear()

    def query(self, queries: Any, k: int, *, recall: float | None = None) -> tuple[np.ndarray, np.ndarray]:
        """About the k nearest reference rows of every query, nearest first.

        Parameters
        ----------
        queries : (m, d) within float32's range.
        k : from 1 to the number of reference rows.
        recall : share of the true neighbours to find, on average over queries like the reference's rows; None is 0.95.
            The width of the search is learnt once per k and recall, by an exact search for a few rows; its limit is
            4096. Queries for which the graph leads to fewer than k rows are searched exactly.

        Returns
        -------
        distances (m, k) float64 with the precision of float32, indices (m, k) int64 in the order of adding.
        """
        owner = "ApproximateLorentzianIndex.query"
        rows = _single(queries, "queries", owner, self.shape[1]).astype(np.float32)
        wanted = _RECALL if recall is None else share(recall, "recall", owner)
        with self._lock:
            k = count(k, "k", owner, len(self._graph), ", the number of reference rows")
            return self._search(rows, k, self._expansion(k, wanted))

    def _search(self, rows: np.ndarray, k: int, expansion: int | None) -> tuple[np.ndarray, np.ndarray]:
        """Distances and indices, (m, k): through the graph with that many rows in view, or exactly (None)."""
        if expansion is not None:
            self._graph.expansion_search = expansion
        found = self._graph.search(rows, k, threads=self.n_threads, exact=expansion is None)
        if len(rows) == 1:  # usearch answers one row by itself without padding
            counts = np.array([len(found)])
            padded = [np.resize(part, (1, k)) for part in (found.distances, found.keys)]
        else:
            counts, padded = found.counts, [found.distances, found.keys]
        there = np.arange(k) < counts[:, None]  # what lies behind a row's count was never written
        distances = np.where(there, padded[0], np.inf).astype(np.float64)
        indices = np.where(there, padded[1], 0).astype(np.int64)
        short = np.flatnonzero(counts < k)
        if len(short) and expansion is not None:  # duplicates may part the graph
            distances[short], indices[short] = self._search(rows[short], k, None)
        return distances, indices

    def _expansion(self, k: int, recall: float) -> int:
        """How many rows to keep in view, so that rows like the reference's find their neighbours."""
        if (k, recall) not in self._expansions:
            rows = self._unseen(k)
            farthest = self._search(rows, k, None)[0][:, -1:]
            expansion = max(16, 2 * k)
            while expansion < _WIDEST_SEARCH:
                if (self._search(rows, k, expansion)[0] <= farthest).sum() >= recall * k * len(rows):
                    break
                expansion *= 2
            self._expansions[k, recall] = expansion
        return self._expansions[k, recall]

    def _unseen(self, k: int) -> np.ndarray:
        """Some rows as if drawn anew: mirror images of one of a row's neighbours in that row.

        A row of the graph itself is linked to its neighbours and finds them far more easily than a new row does.
        """
        n = len(self._graph)
        sample = np.linspace(0, n - 1, min(n, _SAMPLE)).astype(np.int64)
        rows = self._rows(sample)
        neighbour = self._search(rows, min(k + 1, n), None)[1][:, min(k + 1, n) // 2]
        largest = np.finfo(np.float32).max
        mirrored = 2 * rows.astype(np.float64) - self._rows(neighbour)
        return np.clip(mirrored, -largest, largest).astype(np.float32)

    def _rows(self, numbers: np.ndarray) -> np.ndarray:
        return np.asarray(self._graph.get(numbers), np.float32).reshape(len(numbers), -1)


def _single(value: Any, parameter: str, owner: str, n_features: int | None = None) -> np.ndarray:
    """``value`` as a matrix within float32's range."""
    rows = matrix(value, parameter, owner, n_features)
    if np.abs(rows).max() > np.finfo(np.float32).max:
        raise invalid(parameter, owner, "within float32's range", float(np.abs(rows).max()))
    return rows
