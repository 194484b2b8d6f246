"""Fitting one member on all rows, and knowing later what it was fitted on, so that nobody is fitted twice."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from inspect import signature
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from consilience.base import take
from consilience.evaluation.folds import tail_of
from consilience.evaluation.label_intervals import LabelIntervals
from consilience.evaluation.out_of_fold import OutOfFold


@dataclass(frozen=True)
class FitData:
    """What an ensemble's ``fit`` was given, read and checked.

    Attributes
    ----------
    X : (n, d). labels : (n,) as given. target : (n,) class codes or values. weight : (n,) or None.
    validation : (X, y) for early stopping, or None. label_end, intervals : when labels become known; None without.
    out_of_fold, fitted : by member name, what was made before. on_member : told about every refit.
    """

    X: Any
    labels: np.ndarray
    target: np.ndarray
    weight: np.ndarray | None
    validation: Any
    label_end: Any
    intervals: LabelIntervals | None
    out_of_fold: Mapping[str, OutOfFold] = field(default_factory=dict)
    fitted: Mapping[str, "FittedMember"] = field(default_factory=dict)
    on_member: Any = None

    def digest(self, fraction: float) -> str:
        """A name for everything that a refit depends on besides the member itself."""
        held = (None, None) if self.validation is None else self.validation
        content = blake2b(repr(fraction).encode(), digest_size=16)
        for part in (self.X, self.labels, self.weight, self.label_end, *held):
            content.update(b"|" if part is None else _bytes(part))
        return content.hexdigest()


@dataclass(frozen=True)
class FittedMember:
    """A member that was fitted on all rows, and the digest of those rows (``FitData.digest``)."""

    model: Any
    fitted_on: str


@dataclass(frozen=True)
class Refit:
    """Fitting a clone of one member on all rows of X, or on all but a purged tail where it stops early."""

    member: Any
    X: Any
    y: np.ndarray
    label_end: Any
    intervals: LabelIntervals | None
    sample_weight: np.ndarray | None
    validation: Any
    fraction: float

    def __call__(self) -> Any:
        model = clone(self.member)
        stops_early = getattr(model, "uses_validation", False)
        if stops_early and self.validation is not None:
            return model.fit(self.X, self.y, validation=self.validation, **self._options(model, None))
        if not stops_early or self.intervals is None or self.fraction <= 0:
            return model.fit(self.X, self.y, **self._options(model, None))
        rows, tail = tail_of(self.intervals, np.arange(len(self.X)), self.fraction)
        watched = (take(self.X, tail), self.y[tail])
        return model.fit(take(self.X, rows), self.y[rows], validation=watched, **self._options(model, rows))

    def _options(self, model: Any, rows: np.ndarray | None) -> dict[str, Any]:
        """Weights, and label ends for a member that is an ensemble with folds of its own."""
        given = {"sample_weight": self.sample_weight}
        if "label_end" in signature(model.fit).parameters:
            given["label_end"] = self.label_end
        return {
            name: values if rows is None else take(values, rows) for name, values in given.items() if values is not None
        }


def refit_on(
    member: Any,
    rows: np.ndarray,
    X: Any,
    y: np.ndarray,
    label_end: Any,
    intervals: LabelIntervals | None,
    sample_weight: np.ndarray | None,
    fraction: float,
    validation: Any = None,
) -> Any:
    """``Refit`` on some rows of X only: fitted, with a purged tail of them to watch where it stops early."""
    if intervals is not None:
        intervals = LabelIntervals(intervals.start[rows], intervals.end[rows], intervals.steps, intervals.has_times)
    ends = None if label_end is None else take(label_end, rows)
    weight = None if sample_weight is None else sample_weight[rows]
    return Refit(member, take(X, rows), y[rows], ends, intervals, weight, validation, fraction)()


def same_parameters(one: Any, other: Any) -> bool:
    """Whether two estimators are of one class and have equal parameters, those of their parts included."""
    if type(one) is not type(other) or not hasattr(one, "get_params"):
        return False
    own, theirs = one.get_params(deep=True), other.get_params(deep=True)
    return own.keys() == theirs.keys() and all(_equal(value, theirs[name]) for name, value in own.items())


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    if hasattr(one, "get_params"):
        return same_parameters(one, other)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(_equal(a, b) for a, b in zip(one, other))
    return type(one) is type(other) and (one is other or one == other or repr(one) == repr(other))


def _bytes(part: Any) -> bytes:
    """Values, names and index as bytes."""
    if isinstance(part, pd.DataFrame | pd.Series):
        names = repr(list(part.columns)) if isinstance(part, pd.DataFrame) else ""
        index = pd.util.hash_pandas_object(part.index).to_numpy()
        return names.encode() + index.tobytes() + _bytes(part.to_numpy())
    values = np.asarray(part)
    if values.dtype.kind not in "biufMm":
        values = pd.util.hash_array(values.ravel().astype(object))
    return str(values.shape).encode() + np.ascontiguousarray(values).tobytes()
