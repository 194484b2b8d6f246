"""Exact nearest neighbours under the Lorentzian distance."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from consilience.base import invalid
from consilience.kernels import _lorentzian_scan, _lorentzian_tree, memory
from consilience.kernels._lorentzian_candidates import NOBODY, length
from consilience.kernels._lorentzian_lanes import GROUP, LANES
from consilience.kernels.inputs import count, matrix, share
from consilience.kernels.lorentzian_sketch import Sketches
from consilience.kernels.lorentzian_threads import in_chunks, threads
from consilience.kernels.lorentzian_tree import boxes_around, split

_FLOAT64 = np.dtype(np.float64)
_SPARE = 2  # candidates beyond k: with fewer, near-ties go through a second scan; with more, each query costs more
_LARGE = 8192  # rows; below it a scan of everything is too quick to improve on
_WORTH_PRUNING = 0.75  # of all blocks visited: a visit by choice costs a little more than one in passing
_WORTH_SKETCHES = 1 / 32  # of all rows measured, each of them alone
_BEATS_SKETCHES = 0.25  # of all blocks visited: below it, the tree is quicker than sketches are,
_TABLES = 30_000  # and by so many numbers over those of the reference more: what a query's tables cost
_SOME = 4096  # rows whose tree tells whether one of all is worth building
_SKIPS_SOMETHING = 0.95  # of that tree's blocks visited
_WORTH_GROUPING = 0.2  # of all blocks visited: then even a single query, which fills a group alone, gains
_CHUNK = 1024  # queries that are answered together
_SAMPLE = 64  # groups of queries from which the tree's worth and an approximate search's reach are learnt


class LorentzianIndex:
    """Reference rows, prepared once and queried often.

    Parameters
    ----------
    reference : (n, d) finite numbers, at any scale; copied where it is not C-ordered float64.
    method : "brute" measures every row, always, so that ``recall`` saves it nothing; "sketch" bounds every row's
        distance from half a byte per feature and measures those few that may be near (where the processor cannot, it is
        "brute"); "tree" skips blocks of rows that cannot hold a neighbour; "auto" tries both on a sample of large
        references and takes what gains more, and sketches for single queries. The results are the same.
    n_threads : threads at most; None for all. Results do not depend on it.

    Attributes
    ----------
    method_ : "brute", "sketch" or "tree", the one in use for many queries.

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

    def __init__(self, reference: Any, *, method: str = "auto", n_threads: int | None = None) -> None:
        owner = "LorentzianIndex"
        if method not in ("auto", "brute", "sketch", "tree"):
            raise invalid("method", owner, "'auto', 'brute', 'sketch' or 'tree'", method)
        self.reference = matrix(reference, "reference", owner)
        self.n_threads = threads(n_threads, owner)
        n, d = self.shape
        if n >= 2**31:
            raise invalid("reference", owner, "fewer than 2**31 rows", f"{n} rows")
        # Any centre is right; the middle keeps float32's error small where the rows are.
        some = self.reference[:: max(1, n // 512)]
        self._center = np.sort(some, axis=0)[len(some) // 2]
        tried = method == "auto" and n >= _LARGE
        self._sketches = self._worthwhile_sketches() if tried else None
        if method == "sketch":
            self._sketches = Sketches.of(self.reference, self.n_threads)
        tree = method == "tree" or (tried and self._tree_may_be_worthwhile())
        self._splits = split(self._float32(self.reference)) if tree else None
        self._order = np.arange(n, dtype=np.int64) if self._splits is None else self._splits.order
        self._blocks = memory.aligned((-(-n // LANES), d, LANES), np.float32)
        self._pack()
        self._boxes: tuple[np.ndarray, ...] = boxes_around(self._blocks, n) if tree else ()
        self._share = self._visited() if tree else 1.0
        self.method_ = self._chosen(method)
        self._prepared = self.reference, self._order, self._center, self._blocks
        self._shrinks: dict[tuple[int, float], float] = {}

    def _chosen(self, method: str) -> str:
        """The method for many queries."""
        enough = _WORTH_PRUNING
        if self._sketches is not None:
            enough = min(enough, _BEATS_SKETCHES + _TABLES / self.reference.size)
        if method == "tree" or (method == "auto" and self._share < enough):
            return "tree"
        return "brute" if self._sketches is None else "sketch"

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and features of the reference."""
        return self.reference.shape[0], self.reference.shape[1]

    def query(self, queries: Any, k: int, *, recall: float | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest reference rows of every query, nearest first; equal distances in the order of the rows.

        Parameters
        ----------
        queries : (m, d).
        k : from 1 to the number of reference rows.
        recall : None is exact. A share in (0, 1) allows to miss the rest of the true neighbours, on average over
            queries like the reference's rows; distances stay exact. Searched exactly all the same: an index of method
            "brute", one of "auto" with fewer than 8,192 rows, any with fewer than about 8·k rows.

        Returns
        -------
        distances (m, k) float64, indices (m, k) int64 into the reference.
        """
        if recall is None and type(queries) is np.ndarray and type(k) is int:
            answer = self._few(queries, k)
            if answer is not None:
                return answer
        n, d = self.shape
        owner = "LorentzianIndex.query"
        rows = matrix(queries, "queries", owner, d)
        k = count(k, "k", owner, n, ", the number of reference rows")
        shrink = 1.0 if recall is None else self._shrink(k, share(recall, "recall", owner))
        if self._sketched(len(rows), k):
            # How much can be left out was learnt for the method in use.
            shrink = shrink if self.method_ == "sketch" else 1.0
            return self._in_chunks(rows, k, functools.partial(self._answer_by_sketches, rows, shrink))
        grouped = len(rows) >= GROUP or self._share < _WORTH_GROUPING
        pruned = grouped and (shrink < 1.0 or self.method_ == "tree")
        if len(rows) < GROUP and not pruned:
            return _lorentzian_scan.answer(*self._prepared, rows, k, min(k + _SPARE, n))[:2]
        order, homes = self._by_home(rows) if pruned else (np.arange(len(rows)), None)

        def work(part: slice, distances: np.ndarray, indices: np.ndarray) -> None:
            self._answer(rows, order[part], None if homes is None else homes[part], shrink, distances, indices)

        return self._in_chunks(rows, k, work)

    def _in_chunks(
        self, rows: np.ndarray, k: int, work: Callable[[slice, np.ndarray, np.ndarray], None]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Distances and indices (m, k) that ``work`` fills, given which queries are its part."""
        distances, indices = np.empty((len(rows), k)), np.empty((len(rows), k), np.int64)

        def parts(start: int, stop: int) -> None:
            for first in range(start, stop, _CHUNK):
                work(slice(first, min(stop, first + _CHUNK)), distances, indices)

        in_chunks(parts, len(rows), float(len(rows)) * self.reference.size, self.n_threads)
        return distances, indices

    def _sketched(self, n_queries: int, k: int) -> bool:
        """Are so many queries answered by sketches?"""
        return (
            self._sketches is not None and (n_queries < GROUP or self.method_ == "sketch") and self._sketches.serve(k)
        )

    def _few(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray] | None:
        """The answer to a few queries that are just as the kernels want them, else None.

        After other work has taken the caches, most of the time of a lone query would go into the Python that checks it.
        """
        n, d = self.reference.shape
        if queries.dtype is not _FLOAT64 or not queries.flags.carray or queries.ndim != 2 or queries.shape[1] != d:
            return None
        if not 0 < len(queries) < GROUP or not 0 < k <= n:
            return None
        if self._sketches is not None and self._sketches.serve(k):
            distances, indices = np.empty((len(queries), k)), np.empty((len(queries), k), np.int64)
            answered, _ = self._sketches.search(queries, distances, indices)
            if answered.all():
                return distances, indices
        elif self.method_ == "tree" and self._share < _WORTH_GROUPING:
            return None
        distances, indices, finite = _lorentzian_scan.answer(*self._prepared, queries, k, min(k + _SPARE, n))
        return (distances, indices) if finite else None

    def _answer_by_sketches(
        self, rows: np.ndarray, shrink: float, part: slice, distances: np.ndarray, indices: np.ndarray
    ) -> None:
        """Fill a part of distances and indices; what sketches leave, a scan of everything answers."""
        assert self._sketches is not None
        answered, _ = self._sketches.search(rows[part], distances[part], indices[part], shrink)
        if not answered.all():
            self._answer(rows, part.start + np.flatnonzero(~answered), None, 1.0, distances, indices)

    def _answer(
        self,
        rows: np.ndarray,
        wanted: np.ndarray,
        homes: np.ndarray | None,
        shrink: float,
        distances: np.ndarray,
        indices: np.ndarray,
    ) -> None:
        """Fill the wanted rows of distances and indices; homes (one per wanted row) are the blocks they fall into."""
        prepared = self.reference, self._order, self._center
        spare = _SPARE if shrink == 1.0 else 0  # whose only use is to prove that nothing was missed
        n_candidates = min(distances.shape[1] + spare, len(self._order))
        keys, places, _ = self._candidates(rows, wanted, homes, n_candidates, shrink)
        proven = np.empty(len(wanted), bool)
        _lorentzian_scan.settle(*prepared, rows, wanted, keys, places, distances, indices, proven)
        if shrink < 1.0:
            proven |= np.isfinite(distances[wanted, -1])  # near enough is enough, as long as there are k
        if not proven.all():
            _lorentzian_scan.search_again(*prepared, self._blocks, rows, wanted[~proven], distances, indices)

    def _candidates(
        self, rows: np.ndarray, wanted: np.ndarray, homes: np.ndarray | None, n_candidates: int, shrink: float = 1.0
    ) -> tuple[np.ndarray, np.ndarray, int]:
        """Keys and places of the candidates of the wanted queries, and the number of visits to blocks."""
        group = GROUP if len(wanted) >= GROUP or homes is not None else 1
        grouped = np.empty((-(-len(wanted) // group), rows.shape[1], group), np.float32)
        _lorentzian_scan.group_queries(rows, wanted, self._center, group, grouped)
        n_lanes = len(grouped) * group
        shape = n_lanes, length(n_candidates)
        keys, places = memory.aligned(shape, np.float32), memory.aligned(shape, np.int32)
        keys[:, :-n_candidates], keys[:, -n_candidates:] = NOBODY, np.inf
        limits = np.full(n_lanes, np.inf, np.float32)
        limits[len(wanted) :] = -1.0  # those that only fill up the last group keep nothing
        if homes is None:
            _lorentzian_scan.scan(self._blocks, grouped, limits, keys, places)
            return keys, places, len(self._blocks) * len(grouped)
        state = limits, keys, places
        visited = _lorentzian_tree.pruned_scan(
            self._blocks, *self._boxes, grouped, homes[::GROUP].copy(), *state, shrink
        )
        return keys, places, visited

    def _by_home(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The queries in the order of the blocks that they fall into, so that four in a group need the same blocks."""
        assert self._splits is not None
        homes = np.empty(len(rows), np.int64)
        _lorentzian_tree.descend(rows, self._center, self._splits.nodes, self._splits.cuts, homes)
        order = np.argsort(homes, kind="stable")
        return order, homes[order]

    # -- preparation -------------------------------------------------------------------------------------------

    def _pack(self) -> None:
        def work(start: int, stop: int) -> None:
            _lorentzian_scan.pack(self.reference, self._order, self._center, start, stop, self._blocks)

        in_chunks(work, len(self._blocks), float(self.reference.size), self.n_threads)

    def _sample(self) -> np.ndarray:
        """Places of rows to try as queries: groups from all over the reference, each from within one block."""
        n = len(self._order)
        starts = np.linspace(0, n - 1, min(_SAMPLE, n)).astype(np.int64) // LANES * LANES
        return np.minimum(starts[:, None] + np.arange(GROUP) * (LANES // GROUP), n - 1).ravel()

    def _visited(self) -> float:
        """The share of blocks that queries taken from the reference itself visit."""
        places = self._sample()
        n_candidates = min(len(self._order), 8 + _SPARE)
        visits = self._candidates(self.reference, self._order[places], places // LANES, n_candidates)[2]
        return visits * GROUP / (len(places) * len(self._blocks))

    def _worthwhile_sketches(self) -> Sketches | None:
        """Sketches, if they leave few rows to measure for queries taken from the reference itself."""
        n = len(self.reference)
        sketches = Sketches.of(self.reference, self.n_threads) if self.reference.size >= 2 * _TABLES else None
        if sketches is None:
            return None
        rows = self.reference[np.linspace(0, n - 1, GROUP * _SAMPLE).astype(np.int64)]
        shape = (len(rows), 8 + _SPARE)
        _, measured = sketches.search(rows, np.empty(shape), np.empty(shape, np.int64))
        return sketches if measured <= _WORTH_SKETCHES * len(rows) * n else None

    def _tree_may_be_worthwhile(self) -> bool:
        """Beside sketches, a tree is only built where one of some rows skips something: of all rows it skips more."""
        n = len(self.reference)
        if self._sketches is None or n < 4 * _LARGE:
            return True
        some = LorentzianIndex(self.reference[:: n // _SOME], method="tree", n_threads=self.n_threads)
        return some._share < _SKIPS_SOMETHING

    def _shrink(self, k: int, recall: float) -> float:
        """How much earlier than exactly to call rows too far, learnt on rows of the reference (which skip themselves).

        The margin allows for the sample's error and for queries unlike the reference. Each row finds itself too, so one
        neighbour more than k is asked for.
        """
        n = len(self._order)
        sketched = self._sketched(GROUP, k)
        if not (sketched or self._splits is not None) or k + 1 >= n // 8:
            return 1.0
        if (k, recall) not in self._shrinks:
            farthest = self._tried(k + 1, 1.0, sketched)[:, -1:]
            wanted = recall + 0.3 * (1.0 - recall)
            low, high = 0.0, 1.0
            for _ in range(7):
                middle = 0.5 * (low + high)
                # By distance rather than by row: an equally near row is as good. The row itself is always found.
                found = (self._tried(k + 1, middle, sketched) <= farthest).sum() - len(farthest)
                low, high = (low, middle) if found >= wanted * k * len(farthest) else (middle, high)
            self._shrinks[k, recall] = high
        return self._shrinks[k, recall]

    def _tried(self, k: int, shrink: float, sketched: bool) -> np.ndarray:
        """Distances (n_sample, k) that are found for a sample of the reference's rows."""
        places = self._sample()
        rows = self.reference[self._order[places]]
        distances, indices = np.empty((len(rows), k)), np.empty((len(rows), k), np.int64)
        if sketched:
            self._answer_by_sketches(rows, shrink, slice(0, len(rows)), distances, indices)
        else:
            self._answer(rows, np.arange(len(rows)), places // LANES, shrink, distances, indices)
        return distances

    def _float32(self, values: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            centred = np.clip(values - self._center, -_lorentzian_scan.WIDEST, _lorentzian_scan.WIDEST)
        return centred.astype(np.float32)


def lorentzian_neighbors(
    reference: Any, queries: Any, k: int, *, n_threads: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest rows of ``reference`` for every row of ``queries``, exactly, under d(x, y) = Σ log(1+|xᵢ−yᵢ|).

    Memory is O(m·k) beside a copy of the reference. A ``LorentzianIndex`` saves the preparation when there are several
    calls.

    Parameters
    ----------
    reference : (n, d) finite numbers, at any scale.
    queries : (m, d).
    k : from 1 to n.
    n_threads : threads at most; None for all. The result does not depend on it.

    Returns
    -------
    distances (m, k) float64, correct to a relative 1e-12, and indices (m, k) int64 into the reference, nearest first;
    equal distances in the order of the rows.

    Raises
    ------
    InvalidInput : empty, not finite, of different widths, or k out of range.

    References
    ----------
    E. Deza and M. M. Deza, Encyclopedia of Distances, 2009, "Lorentzian distance". The search is a filter in float32
    with a proven bound on its error, refined in float64 (docs/kernels.md).

    Examples
    --------
    >>> lorentzian_neighbors([[0.0], [1.0], [5.0]], [[4.0]], k=1)[1].tolist()
    [[2]]
    """
    owner = "lorentzian_neighbors"
    known = matrix(reference, "reference", owner)
    rows = matrix(queries, "queries", owner, known.shape[1])
    k = count(k, "k", owner, len(known), ", the number of reference rows")
    threads(n_threads, owner)
    # A tree takes longer to build than it takes to scan for some thousand queries, sketches for some hundred.
    method = "auto" if len(rows) >= 4096 else "sketch" if len(rows) >= 256 else "brute"
    return LorentzianIndex(known, method=method, n_threads=n_threads).query(rows, k)
