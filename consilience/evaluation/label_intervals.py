"""When each label's information begins and ends, and which training labels share any of it with the test labels."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from consilience.base import InvalidInput, invalid, time_axis

Embargo = int | str | timedelta | pd.Timedelta


@dataclass(frozen=True)
class LabelIntervals:
    """The closed interval [start, end] of every label, as integers on one clock.

    Attributes
    ----------
    start, end : (n,) int64, nanoseconds since 1970 (or row numbers where X has no time index).
    steps : (t,) int64, the distinct starts in order; folds are cut between steps, so all assets of a day stay together.
    has_times : whether the clock is time.
    """

    start: np.ndarray
    end: np.ndarray
    steps: np.ndarray
    has_times: bool

    def rows_between(self, first: int, stop: int) -> np.ndarray:
        """Positions of the rows whose step number is in [first, stop), sorted."""
        inside = (self.start >= self.steps[first]) & (self.start <= self.steps[stop - 1])
        return np.flatnonzero(inside)

    def widened(self, rows: np.ndarray, embargo: Embargo) -> tuple[np.ndarray, np.ndarray]:
        """The intervals of ``rows``, widened on both sides by a duration or by a number of steps."""
        start, end = self.start[rows], self.end[rows]
        if isinstance(embargo, int | np.integer):
            if embargo == 0:
                return start, end
            first = np.searchsorted(self.steps, start) - embargo
            last = np.searchsorted(self.steps, end, side="right") - 1 + embargo
            wide_start = self.steps[np.maximum(first, 0)]
            return wide_start, np.maximum(end, self.steps[np.minimum(last, len(self.steps) - 1)])
        if not self.has_times:
            raise InvalidInput(
                f"An embargo of {embargo!r} needs an X with a time index; give a number of rows instead."
            )
        width = int(pd.Timedelta(embargo).as_unit("ns").value)
        return start - width, end + width

    def free_of(self, candidates: np.ndarray, test_rows: np.ndarray, embargo: Embargo = 0) -> np.ndarray:
        """The candidates whose interval shares no instant with any test label's interval, widened by the embargo.

        A candidate [s, e] meets a test interval [a, b] when a <= e and s <= b. With the test intervals sorted by a, all
        with a <= e are a prefix, and one of them reaches s when the prefix's largest b does: O((n + m) log m).
        """
        if len(test_rows) == 0 or len(candidates) == 0:
            return candidates
        start, end = self.widened(test_rows, embargo)
        order = np.argsort(start, kind="stable")
        furthest = np.maximum.accumulate(end[order])
        prefix = np.searchsorted(start[order], self.end[candidates], side="right")
        meets = (prefix > 0) & (furthest[np.maximum(prefix - 1, 0)] >= self.start[candidates])
        return candidates[~meets]


def label_intervals(X: Any, label_end: Any = None, label_horizon: int | None = None) -> LabelIntervals:
    """Read the label intervals of X.

    Parameters
    ----------
    X : (n, d) data in time order (see ``time_axis``).
    label_end : (n,) timestamps at which each row's label becomes known; row numbers where X has no time index.
    label_horizon : the same as a number of rows of the same asset, for labels that always span so many.

    Raises
    ------
    InvalidInput : neither given, a missing end, an end before its own row, or another length or index than X.
    """
    axis = time_axis(X)
    has_times = axis.times.dtype.kind == "M"
    start = axis.times.astype(np.int64)
    if len(start) == 0:
        raise InvalidInput("X has no rows.")
    if label_end is None:
        if label_horizon is None:
            raise InvalidInput(
                "The folds need to know when each label becomes known: pass label_end= (one timestamp per row of X), "
                "or build the splitter with label_horizon= (a number of rows). Without it no overlap can be purged."
            )
        end = _horizon_end(start, axis.assets, label_horizon)
    else:
        end = _read_end(X, label_end, has_times)
    bad = np.flatnonzero(end < start)
    if len(bad):
        row = int(bad[0])
        raise InvalidInput(f"label_end of row {row} lies before the row's own time; a label cannot be known earlier.")
    return LabelIntervals(start, end, np.unique(start), has_times)


def _horizon_end(start: np.ndarray, assets: np.ndarray, horizon: int) -> np.ndarray:
    end = np.empty_like(start)
    for code in np.unique(assets):
        own = np.flatnonzero(assets == code)
        # The last labels end after the data does; nothing starts there, so the last time stands for it.
        end[own] = start[own[np.minimum(np.arange(len(own)) + horizon, len(own) - 1)]]
    return end


def _read_end(X: Any, label_end: Any, has_times: bool) -> np.ndarray:
    if len(label_end) != len(X):
        raise InvalidInput(f"label_end must have one entry per row of X ({len(X)}); it has {len(label_end)}.")
    own_index = getattr(X, "index", None)
    if isinstance(label_end, pd.Series) and own_index is not None and not label_end.index.equals(own_index):
        raise InvalidInput("label_end has another index than X; align it with X first: label_end.reindex(X.index).")
    values = pd.Series(np.asarray(label_end) if not isinstance(label_end, pd.Series) else label_end.array)
    missing = values.isna().to_numpy()
    if missing.any():
        raise InvalidInput(
            f"label_end is missing in row {int(np.flatnonzero(missing)[0])} ({int(missing.sum())} in all): a label "
            "whose end is unknown cannot be purged. Drop the rows whose label is not yet known."
        )
    if has_times:
        if not pd.api.types.is_datetime64_any_dtype(values.dtype):
            raise InvalidInput(f"label_end must hold timestamps, as the index of X does; it holds {values.dtype}.")
        if values.dt.tz is not None:
            values = values.dt.tz_convert("UTC").dt.tz_localize(None)
        return values.to_numpy().astype("datetime64[ns]").astype(np.int64)
    if not pd.api.types.is_numeric_dtype(values.dtype) or pd.api.types.is_bool_dtype(values.dtype):
        raise InvalidInput(f"X has no time index, so label_end must hold row numbers; it holds {values.dtype}.")
    numbers = values.to_numpy()
    if not np.array_equal(numbers, np.floor(numbers)):
        raise InvalidInput("X has no time index, so label_end must hold whole row numbers.")
    return numbers.astype(np.int64)


def check_embargo(embargo: Any, owner: str) -> None:
    """Refuse an embargo that is neither a number of rows nor a duration, or that is negative."""
    required = "a number of rows >= 0 or a duration such as '5D'"
    if isinstance(embargo, bool):
        raise invalid("embargo", owner, required, embargo)
    if isinstance(embargo, int | np.integer):
        if embargo < 0:
            raise invalid("embargo", owner, required, embargo)
        return
    try:
        negative = not isinstance(embargo, str | timedelta | np.timedelta64) or not pd.Timedelta(
            embargo
        ) >= pd.Timedelta(0)
    except ValueError:
        negative = True
    if negative:
        raise invalid("embargo", owner, required, embargo)
