"""Members that fail: leaving them out and naming them."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from consilience.ensemble.deadline import within
from consilience.ensemble.newest import NewestRows


class DegradedWarning(UserWarning):
    """An ensemble answered without some of its members."""


@dataclass(frozen=True)
class Answers:
    """What the members said.

    Attributes
    ----------
    outputs : (n_members, n, …) float64; rows of absent members hold NaN or whatever they said.
    alive : (n_members, n) bool, or None where every member answered every row.
    reasons : why a member is absent, by name. first_error : what the first member that failed raised, if it raised.
    regimes : (n, n_regimes) filtered probabilities, NaN rows where they are not known; None without regimes.
    features : (n, d) columns passed through to a final estimator, or None.
    """

    outputs: np.ndarray
    alive: np.ndarray | None = None
    reasons: dict[str, str] = field(default_factory=dict)
    first_error: Exception | None = field(default=None, compare=False)
    regimes: np.ndarray | None = None
    features: np.ndarray | None = None

    @property
    def complete(self) -> np.ndarray:
        """(n,) rows where nothing is missing."""
        n_rows = self.outputs.shape[1]
        there = np.ones(n_rows, bool) if self.alive is None else np.asarray(self.alive.all(axis=0))
        if self.regimes is not None:
            there = there & np.asarray(np.isfinite(self.regimes).all(axis=1))
        return np.asarray(there)

    def some(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        """Outputs, regimes and features of some rows."""
        regimes, features = (None if part is None else part[rows] for part in (self.regimes, self.features))
        return self.outputs[:, rows], regimes, features


def ask(
    members: Mapping[str, Any],
    method: str,
    X: Any,
    *,
    classes: np.ndarray | None = None,
    budget: float | None = None,
    newest: NewestRows | None = None,
) -> Answers:
    """Ask every member about the same X, each within ``budget`` seconds; or about the newest rows only.

    A member is absent when it raises, takes too long, or answers in another shape; and for the rows in which it answers
    with NaN or with something that is no distribution over the classes.

    Parameters
    ----------
    classes : (n_classes,) the ensemble's labels in order, None for values. A member that was fitted without rows of
        some of them gives those a probability of 0.
    """
    if not hasattr(X, "__len__"):  # something that becomes an array only when it is asked to
        X = np.asarray(X)
    n_rows = len(X) if newest is None else newest.n
    n_classes = 0 if classes is None else len(classes)
    shape = (n_rows, n_classes) if n_classes else (n_rows,)
    answers: list[np.ndarray | None] = []
    reasons: dict[str, str] = {}
    errors: list[Exception] = []
    for name, member in members.items():
        try:
            call = _Call(member, method, X) if newest is None else _newest_call(member, method, newest)
            answer = np.asarray(within(budget, call, member), dtype=np.float64)
            if newest is not None and len(answer) == len(call.arguments[0]):
                answer = answer[-n_rows:]
            if classes is not None and answer.shape != shape:
                answer = in_all_classes(answer, getattr(member, "classes_", None), classes)
        except Exception as error:
            reasons[name] = f"{type(error).__name__}: {error}"
            errors.append(error)
            answers.append(None)
            continue
        if answer.shape != shape:
            reasons[name] = f"it answered with the shape {answer.shape} instead of {shape}"
        answers.append(answer if answer.shape == shape else None)
    if not reasons:
        outputs = np.array(answers, dtype=np.float64)
        if all_usable(outputs, n_classes):
            return Answers(outputs)
    else:
        outputs = np.array([np.full(shape, np.nan) if answer is None else answer for answer in answers])
    alive = usable(outputs, n_classes)
    for name, rows in zip(members, alive):
        if name not in reasons and not rows.all():
            reasons[name] = unusable_reason(rows)
    return Answers(outputs, alive, reasons, errors[0] if errors else None)


def unusable_reason(usable_rows: np.ndarray) -> str:
    """Why answers of which only some rows are usable, (n,) bool, cannot be taken as they are."""
    return f"{int((~usable_rows).sum())} of {len(usable_rows)} answers are NaN or no probabilities"


def in_all_classes(proba: np.ndarray, own: Any, classes: np.ndarray) -> np.ndarray:
    """Probabilities over a model's ``own`` labels as (n, n_classes) over all, 0 for labels that it never saw.

    What does not fit its labels, or labels that are not among ``classes``, come back as they are.

    >>> in_all_classes(np.array([[0.2, 0.8]]), np.array(["a", "c"]), np.array(["a", "b", "c"]))
    array([[0.2, 0. , 0.8]])
    """
    if own is None or proba.ndim != 2 or proba.shape[1] != len(own) or not np.isin(own, classes).all():
        return proba
    out = np.zeros((len(proba), len(classes)))
    out[:, np.searchsorted(classes, own)] = proba
    return out


class _Call:
    """One question; an object and not a closure, so that the loop variable cannot change under a slow thread."""

    def __init__(self, member: Any, method: str, *arguments: Any):
        self.ask, self.arguments = getattr(member, method), arguments

    def __call__(self) -> Any:
        return self.ask(*self.arguments)


_NEWEST = {"predict_proba": "predict_newest_proba", "predict": "predict_newest"}


def _newest_call(member: Any, method: str, newest: NewestRows) -> _Call:
    """A member that has a short way to its newest rows (a network need not compute the windows before) is asked so."""
    if hasattr(member, _NEWEST[method]):
        return _Call(member, _NEWEST[method], newest.of(member), newest.n)
    return _Call(member, method, newest.of(member))


def all_usable(outputs: np.ndarray, n_classes: int) -> bool:
    """Whether every member (n_members, n, …) gave every row a finite value, or a distribution over the classes.

    In few passes, because it is on the path of every prediction.
    """
    if not n_classes:
        return bool(np.isfinite(outputs).all())
    return bool(outputs.size == 0 or (outputs.min() >= -1e-6 and np.abs(outputs.sum(axis=2) - 1.0).max() < 1e-3))


def usable(outputs: np.ndarray, n_classes: int) -> np.ndarray:
    """The same row by row, (n_members, n) bool."""
    if not n_classes:
        return np.isfinite(outputs)
    with np.errstate(invalid="ignore"):
        fine: np.ndarray = (outputs >= -1e-6).all(axis=2) & (np.abs(outputs.sum(axis=2) - 1.0) < 1e-3)
    return fine


def warn_left_out(owner: str, reasons: Mapping[str, str]) -> None:
    """Tell the user which members are missing and why."""
    listed = "; ".join(f"{name} ({reason})" for name, reason in reasons.items())
    warnings.warn(f"{owner} goes on without {listed}.", DegradedWarning, stacklevel=4)
