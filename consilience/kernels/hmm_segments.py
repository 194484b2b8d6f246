"""How sequences are cut into segments that eight lanes and several threads can work on at once.

A filter forgets where it began, so the rows of a long sequence are cut into segments, and each is preceded (and for
smoothing followed) by ``overlap`` rows of its neighbour, over which an arbitrary start is forgotten. Whether it really
was is checked at every cut by the caller; the cutting depends on the lengths only, not on the number of threads, so
that results do not either.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from consilience.kernels._hmm_emission import BLOCK, ENDS, HIGH, LAST_STEP, LOW
from consilience.kernels._hmm_lanes import LANES
from consilience.kernels._hmm_scaled import ALPHA_BEFORE, ALPHA_LAST, WEIGHT_AFTER, WEIGHT_FIRST
from consilience.kernels.workers import n_threads

FIRST_OVERLAP = 128
_WORTH_THREADS = 20_000  # rows · states below which a second thread costs more than it brings
SCRATCH_LIMIT = 1 << 30  # bytes of one thread, beyond which the slow recursions take over
_LONGEST = 2048  # rows of one segment: the scratch of eight of them is to stay in a core's second-level cache
_SHORTEST = 256
_FEW = 64  # sequences whose cutting is remembered


@dataclass(frozen=True)
class Segments:
    """The groups of eight segments.

    Attributes
    ----------
    tables : (G, 5, 8) int64; for each lane its first row, its last step, the steps [low, high) that it owns, and where
        its transitions end (a sequence's last row has none).
    opening : (G, 8) bool, lanes whose step 0 is a sequence's first row.
    before, after : places (group · 8 + lane) of the segments on the two sides of each cut.
    """

    tables: np.ndarray
    opening: np.ndarray
    before: np.ndarray
    after: np.ndarray

    @cached_property
    def steps(self) -> np.ndarray:
        """(G,) steps of each group."""
        return self.tables[:, LAST_STEP].max(axis=1) + 1

    @cached_property
    def longest(self) -> int:
        return int(self.steps.max())

    @cached_property
    def blocks(self) -> np.ndarray:
        """(G,) steps of each group, filled up to whole blocks."""
        return -(-self.steps // BLOCK) * BLOCK

    @cached_property
    def blocks_forward(self) -> np.ndarray:
        """(G,) as ``blocks``, of those steps that a filter needs: none past the last owned row."""
        return -(-self.tables[:, HIGH].max(axis=1) // BLOCK) * BLOCK

    @cached_property
    def opens(self) -> np.ndarray:
        """(G, 8) ``opening`` as numbers."""
        return self.opening.astype(np.float64)

    @cached_property
    def first_rows(self) -> np.ndarray:
        """(G, 1, 8) bool, lanes whose step 0 is a sequence's first row and owned: its posterior is one of the start."""
        return (self.opening & (self.tables[:, LOW] == 0) & (self.tables[:, HIGH] > 0))[:, None, :]

    @cached_property
    def cut_edges(self) -> np.ndarray:
        """(4, n_cuts) rows of ``edges`` (G·4·8, K) that must agree at each cut: alpha of both sides, weight of both."""
        kinds = np.array([ALPHA_LAST, ALPHA_BEFORE, WEIGHT_AFTER, WEIGHT_FIRST])
        places = np.stack([self.before, self.after] * 2)
        return places // LANES * (4 * LANES) + kinds[:, None] * LANES + places % LANES

    @cached_property
    def shared(self) -> np.ndarray:
        """(G, 5, 9) the tables, and in their ninth column what holds for all lanes: the block in which the first of
        their owned steps is, the first of their last steps, the last of the steps that begin what they own, and the
        first of those that end it.
        """
        lanes = self.tables
        low = np.where(lanes[:, HIGH] > lanes[:, LOW], lanes[:, LOW], np.iinfo(np.int64).max).min(axis=1)
        first, last, ends = low // BLOCK * BLOCK, lanes[:, LAST_STEP].min(axis=1), lanes[:, ENDS].min(axis=1)
        together = np.stack([first, last, lanes[:, LOW].max(axis=1), lanes[:, HIGH].min(axis=1), ends], axis=1)
        return np.ascontiguousarray(np.concatenate([lanes, together[:, :, None]], axis=2))

    @cached_property
    def bounds(self) -> np.ndarray:
        """(G, 5·8) the tables as floats, to compare steps with."""
        return self.tables.astype(np.float64).reshape(len(self.tables), -1)


def segment_rows(n_rows: int) -> int:
    """Rows that one segment owns: one group for small data, then as many groups as keep two threads busy."""
    lanes = LANES if n_rows < 2 * LANES * 1024 else 2 * LANES
    rounds = max(1, -(-n_rows // (lanes * _LONGEST)))
    return max(_SHORTEST, -(-n_rows // (rounds * lanes)))


def cut(starts: np.ndarray, overlap: int) -> Segments:
    """Cut the sequences [starts[i], starts[i + 1]) and put segments of like size into one group."""
    if len(starts) > _FEW:
        return _cut(starts, overlap)
    return _cut_again(tuple(starts.tolist()), overlap)


@lru_cache(maxsize=16)
def _cut_again(starts: tuple[int, ...], overlap: int) -> Segments:
    """Data of one length is passed over again and again, and cutting takes a tenth of a short pass."""
    return _cut(np.array(starts, np.int64), overlap)


def _cut(starts: np.ndarray, overlap: int) -> Segments:
    lengths = np.diff(starts)
    pieces = -(-lengths // segment_rows(int(starts[-1])))
    of = np.repeat(np.arange(len(lengths)), pieces)
    number = np.arange(len(of)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    start, stop = starts[of], starts[of + 1]
    low = start + number * lengths[of] // pieces[of]
    high = start + (number + 1) * lengths[of] // pieces[of]
    begin, end = np.maximum(start, low - overlap), np.minimum(stop, high + overlap)
    order = np.argsort(begin - end, kind="stable")
    size = -(-len(of) // LANES) * LANES
    table = np.zeros((5, size), np.int64)
    ends = high - begin - (high == stop)
    table[:, : len(of)] = np.array([begin, end - begin - 1, low - begin, high - begin, ends])[:, order]
    opening = np.zeros(size, bool)
    opening[: len(of)] = (begin == start)[order]
    place = np.empty(len(of), np.int64)
    place[order] = np.arange(len(of))
    cuts = np.flatnonzero(of[1:] == of[:-1])
    tables = np.ascontiguousarray(table.reshape(5, -1, LANES).transpose(1, 0, 2))
    return Segments(tables, opening.reshape(-1, LANES), place[cuts], place[cuts + 1])


def useful_threads(size: int, n_groups: int) -> int:
    """Threads worth waking for so many rows · states in so many groups."""
    return min(n_threads(), n_groups) if size >= _WORTH_THREADS else 1
