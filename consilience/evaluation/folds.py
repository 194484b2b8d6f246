"""Scikit-learn splitters that purge on label intervals, so that no training label shares information with a test label.

Blocks are cut between distinct times: in a panel all assets of a day are on the same side. A training label is dropped
when its closed interval [row time, label end] shares an instant with any test label's interval widened by the embargo,
on both sides (López de Prado, *Advances in Financial Machine Learning*, 2018, ch. 7 and 12).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from math import comb
from typing import Any

import numpy as np

from consilience.base import InvalidInput, invalid
from consilience.evaluation.label_intervals import Embargo, LabelIntervals, check_embargo, label_intervals

Fold = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class _Purged:
    """What the splitters share: reading intervals, purging, and refusing a fold without training rows."""

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Number of folds, as scikit-learn asks for it."""
        raise NotImplementedError

    def _blocks(self, n_steps: int) -> Iterator[tuple[list[tuple[int, int]], tuple[int, int]]]:
        """Per fold: the test blocks and the range that may train, as ranges of steps."""
        raise NotImplementedError

    def split(self, X: Any, y: Any = None, groups: Any = None, *, label_end: Any = None) -> Iterator[Fold]:
        """Yield (train_rows, test_rows), sorted int64 positions.

        Parameters
        ----------
        X : (n, d) data in time order; its index gives times and assets.
        y, groups : ignored, there for scikit-learn.
        label_end : (n,) when each label becomes known; needed unless ``label_horizon`` was given.
        """
        horizon, embargo = self.label_horizon, self.embargo  # type: ignore[attr-defined]
        intervals = label_intervals(X, label_end, horizon)
        for number, (tests, (first, stop)) in enumerate(self._blocks(len(intervals.steps))):
            test_rows = np.sort(np.concatenate([intervals.rows_between(*block) for block in tests]))
            allowed = intervals.rows_between(first, stop) if stop > first else np.empty(0, np.int64)
            candidates = np.setdiff1d(allowed, test_rows, assume_unique=True)
            train_rows = intervals.free_of(candidates, test_rows, embargo)
            if len(train_rows) == 0:
                raise InvalidInput(
                    f"Fold {number + 1} of {self!r} has no training rows left after purging and embargo; use fewer "
                    "folds, a shorter label horizon, a smaller embargo, or more data."
                )
            yield train_rows, test_rows


@dataclass(frozen=True)
class PurgedWalkForward(_Purged):
    """Train on the past, test on the block that follows, move on.

    Parameters
    ----------
    n_splits : number of folds; the last test block ends with the data.
    embargo : extra distance between training labels and test labels: a number of rows (steps) or a duration ("5D").
    test_size : steps per test block; by default the data are cut into n_splits + 1 equal parts.
    step : steps from one test block to the next; by default test_size, so that blocks do not overlap.
    max_train_size : train on at most so many newest steps (rolling); None trains on all the past (expanding).
    label_horizon : rows until a label is known, for data without ``label_end``.

    Examples
    --------
    >>> import numpy as np
    >>> for train, test in PurgedWalkForward(n_splits=2, label_horizon=1).split(np.zeros((9, 1))):
    ...     print(train, test)
    [0 1] [3 4 5]
    [0 1 2 3 4] [6 7 8]
    """

    n_splits: int = 6
    embargo: Embargo = 0
    test_size: int | None = None
    step: int | None = None
    max_train_size: int | None = None
    label_horizon: int | None = None

    def __post_init__(self) -> None:
        _check(self, {"n_splits": 1}, {"test_size": 1, "step": 1, "max_train_size": 1, "label_horizon": 0})

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        return self.n_splits

    def _blocks(self, n_steps: int) -> Iterator[tuple[list[tuple[int, int]], tuple[int, int]]]:
        size = self.test_size or n_steps // (self.n_splits + 1)
        step = self.step or size
        start = n_steps - size - (self.n_splits - 1) * step
        if size < 1 or start < 1:
            raise InvalidInput(f"{n_steps} distinct times are too few for {self!r}.")
        for number in range(self.n_splits):
            begin = start + number * step
            earliest = 0 if self.max_train_size is None else max(0, begin - self.max_train_size)
            yield [(begin, begin + size)], (earliest, begin)


@dataclass(frozen=True)
class PurgedKFold(_Purged):
    """Contiguous blocks, each tested once against all the others, purged before and after.

    Training rows lie on both sides of the test block: use it to compare settings, not to claim what trading would give.

    Parameters
    ----------
    n_splits : number of blocks, at least 2.
    embargo, label_horizon : as for ``PurgedWalkForward``.

    Examples
    --------
    >>> import numpy as np
    >>> for train, test in PurgedKFold(n_splits=3, embargo=1, label_horizon=1).split(np.zeros((9, 1))):
    ...     print(train, test)
    [5 6 7 8] [0 1 2]
    [0 8] [3 4 5]
    [0 1 2 3] [6 7 8]
    """

    n_splits: int = 5
    embargo: Embargo = 0
    label_horizon: int | None = None

    def __post_init__(self) -> None:
        _check(self, {"n_splits": 2}, {"label_horizon": 0})

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        return self.n_splits

    def _blocks(self, n_steps: int) -> Iterator[tuple[list[tuple[int, int]], tuple[int, int]]]:
        for block in _even_blocks(n_steps, self.n_splits, self):
            yield [block], (0, n_steps)


@dataclass(frozen=True)
class CombinatorialPurged(_Purged):
    """Every choice of ``n_test_groups`` out of ``n_groups`` contiguous blocks is tested once (CPCV).

    The C(n, k) folds combine into C(n, k)·k/n back-test paths, each covering the whole series once.

    Parameters
    ----------
    n_groups, n_test_groups : blocks in all and per test, n_test_groups < n_groups.
    embargo, label_horizon : as for ``PurgedWalkForward``.

    Examples
    --------
    >>> folds = CombinatorialPurged(n_groups=6, n_test_groups=2)
    >>> folds.get_n_splits(), folds.n_paths
    (15, 5)
    """

    n_groups: int = 6
    n_test_groups: int = 2
    embargo: Embargo = 0
    label_horizon: int | None = None

    def __post_init__(self) -> None:
        _check(self, {"n_groups": 2, "n_test_groups": 1}, {"label_horizon": 0})
        if self.n_test_groups >= self.n_groups:
            required = f"smaller than n_groups ({self.n_groups})"
            raise invalid("n_test_groups", "CombinatorialPurged", required, self.n_test_groups)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        return comb(self.n_groups, self.n_test_groups)

    @property
    def n_paths(self) -> int:
        """How many times each row is tested, which is the number of back-test paths."""
        return comb(self.n_groups - 1, self.n_test_groups - 1)

    def paths(self) -> np.ndarray:
        """(n_paths, n_groups) int64: the fold whose prediction of the group each path uses."""
        paths = np.empty((self.n_paths, self.n_groups), np.int64)
        used = np.zeros(self.n_groups, np.int64)
        for fold, tests in enumerate(combinations(range(self.n_groups), self.n_test_groups)):
            for group in tests:
                paths[used[group], group] = fold
                used[group] += 1
        return paths

    def groups(self, X: Any) -> np.ndarray:
        """(n,) int64: the group of every row of X."""
        intervals = label_intervals(X, label_horizon=0)
        starts = [block[0] for block in _even_blocks(len(intervals.steps), self.n_groups, self)]
        return np.searchsorted(intervals.steps[starts], intervals.start, side="right") - 1

    def _blocks(self, n_steps: int) -> Iterator[tuple[list[tuple[int, int]], tuple[int, int]]]:
        blocks = _even_blocks(n_steps, self.n_groups, self)
        for tests in combinations(blocks, self.n_test_groups):
            yield list(tests), (0, n_steps)


@dataclass(frozen=True)
class MonteCarloPurged(_Purged):
    """Contiguous test blocks at random places, for the spread that one choice of boundaries hides.

    Parameters
    ----------
    n_splits : number of random folds.
    test_size : share of the distinct times in each test block, in (0, 1).
    past_only : train on what lies before the block only (a random walk-forward); otherwise on both sides.
    min_train_size : with past_only, the share of times that lies before every block.
    random_state : seed of the places.
    embargo, label_horizon : as for ``PurgedWalkForward``.
    """

    n_splits: int = 10
    test_size: float = 0.2
    past_only: bool = False
    min_train_size: float = 0.3
    random_state: int = 0
    embargo: Embargo = 0
    label_horizon: int | None = None
    _shares: tuple[str, ...] = field(default=("test_size", "min_train_size"), init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check(self, {"n_splits": 1}, {"label_horizon": 0})
        for name in self._shares:
            if not 0.0 < getattr(self, name) < 1.0:
                raise invalid(name, "MonteCarloPurged", "a share in (0, 1)", getattr(self, name))

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        return self.n_splits

    def _blocks(self, n_steps: int) -> Iterator[tuple[list[tuple[int, int]], tuple[int, int]]]:
        size = max(1, round(self.test_size * n_steps))
        first = max(1, round(self.min_train_size * n_steps)) if self.past_only else 0
        if first + size > n_steps or size >= n_steps:
            raise InvalidInput(f"{n_steps} distinct times are too few for {self!r}.")
        rng = np.random.default_rng(self.random_state)
        for begin in rng.integers(first, n_steps - size, self.n_splits, endpoint=True).tolist():
            yield [(begin, begin + size)], (0, begin if self.past_only else n_steps)


def purged_tail(
    X: Any, rows: np.ndarray, label_end: Any, fraction: float, *, label_horizon: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Split training rows into what comes first and a purged chronological tail, for early stopping.

    Parameters
    ----------
    X : (n, d) the whole data; rows : (m,) sorted positions to split; label_end : (n,) or None with label_horizon.
    fraction : share of the rows' distinct times that goes to the tail, in (0, 1).

    Returns
    -------
    fit_rows, tail_rows : sorted positions; no label of fit_rows overlaps a label of tail_rows.
    """
    if not 0.0 < fraction < 1.0:
        raise invalid("fraction", "purged_tail", "a share in (0, 1)", fraction)
    intervals = label_intervals(X, label_end, label_horizon)
    return tail_of(intervals, np.asarray(rows, np.int64), fraction)


def tail_of(intervals: LabelIntervals, rows: np.ndarray, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """``purged_tail`` on intervals that were read before."""
    steps = np.unique(intervals.start[rows])
    n_tail = max(1, round(fraction * len(steps)))
    late = intervals.start[rows] >= steps[-n_tail]
    fit_rows = intervals.free_of(rows[~late], rows[late])
    if len(fit_rows) == 0:
        raise InvalidInput(
            f"{len(rows)} training rows are too few to keep back a validation tail of {fraction:.0%} and purge it."
        )
    return fit_rows, rows[late]


def _even_blocks(n_steps: int, n_blocks: int, owner: object) -> list[tuple[int, int]]:
    if n_steps < n_blocks:
        raise InvalidInput(f"{n_steps} distinct times are too few for {owner!r}.")
    edges = np.linspace(0, n_steps, n_blocks + 1).round().astype(int).tolist()
    return list(pairwise(edges))


def _check(splitter: Any, required: dict[str, int], optional: dict[str, int]) -> None:
    owner = type(splitter).__name__
    for name, least in (required | optional).items():
        value = getattr(splitter, name)
        if value is None and name in optional:
            continue
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise invalid(name, owner, f"an integer >= {least}", value)
    check_embargo(splitter.embargo, owner)
