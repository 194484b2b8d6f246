"""What every combination is fitted on: the members' out-of-fold predictions, with targets and the time of each
label."""

from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from consilience.base import InvalidInput, invalid
from consilience.evaluation.label_intervals import LabelIntervals


@dataclass(frozen=True)
class Evidence:
    """Out-of-fold predictions of several members on the rows that all of them cover, in time order.

    Attributes
    ----------
    names : the members.
    outputs : (n_members, n, n_classes) probabilities, float64 holding float32 precision, so that a stored table gives
        the same fit; or (n_members, n) values for regression, which may be too large or too small for float32.
    target : (n,) int64 class codes, or float64 values.
    rows : (n,) positions in the X that was fitted.
    fold : (n,) number of the fold that predicted each row.
    begin, end : (n,) int64 when each row is, and when its label becomes known (nanoseconds, or row numbers).
    weight : (n,) sample weights; ``gather`` scales them to a mean of 1, so that they say which rows count more and not
        how many rows there are.
    prior : (n_classes,) weighted class counts of the rows before the first covered one, empty for regression.
    regimes : (n, n_regimes) filtered regime probabilities; one column of ones where regimes play no part.
    """

    names: tuple[str, ...]
    outputs: np.ndarray
    target: np.ndarray
    rows: np.ndarray
    fold: np.ndarray
    begin: np.ndarray
    end: np.ndarray
    weight: np.ndarray
    prior: np.ndarray
    regimes: np.ndarray

    @property
    def n_rows(self) -> int:
        return len(self.rows)

    def members(self, positions: np.ndarray) -> "Evidence":
        """The same rows with some of the members only."""
        return replace(self, names=tuple(self.names[p] for p in positions), outputs=self.outputs[positions])

    def named(self, names: Container[str]) -> "Evidence":
        """The same rows with the members of these names, in the table's order."""
        return self.members(np.array([i for i, name in enumerate(self.names) if name in names], np.int64))

    def only(self, positions: np.ndarray) -> "Evidence":
        """Some of the rows, all members."""
        by_row = ("target", "rows", "fold", "begin", "end", "weight", "regimes")
        parts = {name: getattr(self, name)[positions] for name in by_row}
        return replace(self, outputs=self.outputs[:, positions], **parts)

    def known_before(self, start: int) -> np.ndarray:
        """Mask of the rows whose label was known before ``start``: what may be learnt from at that time."""
        before: np.ndarray = self.end < start
        return before


def gather(
    out_of_fold: Mapping[str, Any],
    target: np.ndarray,
    intervals: LabelIntervals,
    weight: np.ndarray | None,
    n_classes: int,
    regimes: np.ndarray | None = None,
) -> Evidence:
    """Join the members' ``OutOfFold`` into one table.

    Parameters
    ----------
    out_of_fold : member name to its OutOfFold; all made with the same folds.
    target : (n,) codes or values of every row of X.
    intervals : when each row is and when its label becomes known.
    weight : (n,) or None.
    n_classes : 0 for regression.
    regimes : (n, n_regimes) filtered probabilities, NaN where no fold covers a row; or None.

    Raises
    ------
    InvalidInput : members that were predicted on different folds, or that cover no row in common.
    """
    tables = list(out_of_fold.values())
    field = "proba" if n_classes else "values"
    fold = np.asarray(tables[0].fold)
    for name, table in out_of_fold.items():
        shape = (len(target), n_classes) if n_classes else (len(target),)
        came = np.shape(np.asarray(getattr(table, field, None)))
        if came != shape:
            raise InvalidInput(
                f"The out-of-fold predictions of {name!r} must have the shape {shape}; they have {came}. "
                "Make them with out_of_fold(...) on the same X and y."
            )
        if not np.array_equal(table.fold, fold):
            raise InvalidInput(f"The out-of-fold predictions of {name!r} were made with other folds than the others'.")
    stacked = np.stack([np.asarray(getattr(table, field), np.float64) for table in tables])
    covered = (fold >= 0) & np.isfinite(stacked).all(axis=(0, 2) if n_classes else 0)
    if regimes is not None:
        covered &= np.isfinite(regimes).all(axis=1)
    if not covered.any():
        raise InvalidInput("No row has an out-of-fold prediction of every member; use more rows or fewer folds.")
    times = intervals.start
    rows = np.flatnonzero(covered)
    rows = rows[np.argsort(times[rows], kind="stable")]
    weights = mean_one(np.ones(len(target)) if weight is None else weight, rows)
    earlier = intervals.end < times[rows[0]]
    prior = np.bincount(target[earlier], weights[earlier], n_classes) if n_classes else np.zeros(0)
    return Evidence(
        tuple(out_of_fold),
        stacked[:, rows].astype(np.float32).astype(np.float64) if n_classes else stacked[:, rows],
        target[rows],
        rows.astype(np.int64),
        fold[rows].astype(np.int64),
        times[rows],
        intervals.end[rows],
        weights[rows],
        prior,
        np.ones((len(rows), 1)) if regimes is None else regimes[rows].astype(np.float32).astype(np.float64),
    )


def mean_one(weight: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Weights (n,) scaled to a mean of 1 over some rows.

    Raises
    ------
    InvalidInput : weights that are all zero there.

    Examples
    --------
    >>> mean_one(np.array([0.001, 0.003]), np.array([0, 1]))
    array([0.5, 1.5])
    """
    largest = float(weight[rows].max())
    if largest <= 0.0:
        required = "positive for some of the rows that the folds cover"
        raise invalid("sample_weight", "an ensemble's fit", required, largest)
    with np.errstate(over="ignore"):  # of rows that no fold covers, which count for the first base rate only
        relative = np.minimum(weight / largest, 1e12)  # before the mean, which would overflow or vanish
    scaled: np.ndarray = relative / relative[rows].mean()
    return scaled
