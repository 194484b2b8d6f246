"""Members that fail: leaving them out, naming them, and refusing when too few remain."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import numpy as np

from consilience.base import ConsilienceError, invalid
from consilience.ensemble.deadline import TooSlow, within
from consilience.ensemble.newest import NewestRows


class QuorumNotMet(ConsilienceError, RuntimeError):
    """Too few members gave an answer."""


class DegradedWarning(UserWarning):
    """An ensemble answered without some of its members."""


@dataclass(frozen=True)
class Answers:
    """What the members said.

    Attributes
    ----------
    outputs : (n_members, n, …) float64; rows of absent members hold NaN or whatever they said.
    alive : (n_members, n) bool, or None where every member answered every row.
    reasons : why a member is absent, by name.
    """

    outputs: np.ndarray
    alive: np.ndarray | None = None
    reasons: dict[str, str] = field(default_factory=dict)


def ask(
    members: Mapping[str, Any],
    method: str,
    X: Any,
    *,
    n_classes: int = 0,
    budget: float | None = None,
    newest: NewestRows | None = None,
) -> Answers:
    """Ask every member about the same X, each within ``budget`` seconds; or about the newest rows only.

    A member is absent when it raises, takes too long, or answers in another shape; and for the rows in which it answers
    with NaN or with something that is no distribution over the classes.

    Raises
    ------
    the first member's own error, if every member raised one: then it is X that cannot be used.
    """
    if not hasattr(X, "__len__"):  # something that becomes an array only when it is asked to
        X = np.asarray(X)
    n_rows = len(X) if newest is None else newest.n
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
        except Exception as error:
            reasons[name] = f"{type(error).__name__}: {error}"
            errors += [] if isinstance(error, TooSlow) else [error]
            answers.append(None)
            continue
        if answer.shape != shape:
            reasons[name] = f"it answered with the shape {answer.shape} instead of {shape}"
        answers.append(answer if answer.shape == shape else None)
    if errors and len(errors) == len(members):
        raise errors[0]
    if not reasons:
        outputs = np.array(answers, dtype=np.float64)
        if _all_usable(outputs, n_classes):
            return Answers(outputs)
    else:
        outputs = np.array([np.full(shape, np.nan) if answer is None else answer for answer in answers])
    alive = _usable(outputs, n_classes)
    for name, rows in zip(members, alive):
        if name not in reasons and not rows.all():
            reasons[name] = f"{int((~rows).sum())} of {n_rows} answers are NaN or no probabilities"
    return Answers(outputs, alive, reasons)


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


def _all_usable(outputs: np.ndarray, n_classes: int) -> bool:
    """The usual case in few passes, because it is on the path of every prediction."""
    if not n_classes:
        return bool(np.isfinite(outputs).all())
    return bool(outputs.size == 0 or (outputs.min() >= -1e-6 and np.abs(outputs.sum(axis=2) - 1.0).max() < 1e-3))


def _usable(outputs: np.ndarray, n_classes: int) -> np.ndarray:
    if not n_classes:
        return np.isfinite(outputs)
    with np.errstate(invalid="ignore"):
        usable: np.ndarray = (outputs >= -1e-6).all(axis=2) & (np.abs(outputs.sum(axis=2) - 1.0) < 1e-3)
    return usable


def needed(quorum: float | int, n_members: int, owner: str) -> int:
    """How many members must answer: an integer is a number of members, a float in (0, 1] a share of them.

    >>> needed(0.5, 5, "Stack"), needed(2, 5, "Stack")
    (3, 2)
    """
    if isinstance(quorum, bool) or not isinstance(quorum, int | float) or not np.isfinite(quorum) or quorum <= 0:
        raise invalid("quorum", owner, "a number of members >= 1, or a share of them in (0, 1]", quorum)
    if isinstance(quorum, int):
        return min(quorum, n_members)
    if quorum > 1.0:
        raise invalid("quorum", owner, "a number of members >= 1, or a share of them in (0, 1]", quorum)
    return ceil(quorum * n_members)


def require_quorum(n_present: int, required: int, reasons: Mapping[str, str], n_members: int) -> None:
    """Refuse when fewer than ``required`` members are there."""
    if n_present < required:
        listed = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        raise QuorumNotMet(
            f"Only {n_present} of {n_members} members answered and the quorum is {required}. Left out: {listed}. "
            "Repair the members, or lower quorum=."
        )


def warn_left_out(owner: str, reasons: Mapping[str, str]) -> None:
    """Tell the user which members are missing and why."""
    listed = "; ".join(f"{name} ({reason})" for name, reason in reasons.items())
    warnings.warn(f"{owner} goes on without {listed}.", DegradedWarning, stacklevel=4)
