"""What out-of-fold claimed beside what an untouched hold-out delivered; every look at the hold-out is counted."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from consilience.evaluation.bootstrap import Interval
from consilience.evaluation.ledger import Ledger
from consilience.evaluation.metrics import LOWER_IS_BETTER


@dataclass(frozen=True)
class Delivered:
    """One metric, claimed and delivered.

    Attributes
    ----------
    metric : its name. claimed : the out-of-fold estimate with its interval. delivered : the hold-out's value, with its
        interval where it has one.
    difference : delivered minus claimed, with the interval of that.
    inside : whether chance explains the difference: its interval holds 0 (False where it is not known).
    look : which look at this hold-out it was (1 = first). sentence : the same in words.
    """

    metric: str
    claimed: Interval
    delivered: Interval
    difference: Interval
    inside: bool
    look: int
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a report."""
        return asdict(self)


def deliver(
    claims: Mapping[str, tuple[Interval, Interval | float]],
    *,
    ledger: Ledger | None = None,
    data_id: str = "",
    config: Mapping[str, Any] | None = None,
) -> tuple[Delivered, ...]:
    """Compare out-of-fold estimates with the hold-out's values, and count the look.

    Parameters
    ----------
    claims : metric to (its out-of-fold estimate and interval, its value on the hold-out and the interval of that). A
        hold-out's value without an interval is taken as one that does not scatter.
    ledger, data_id, config : where the look is recorded. The same configuration looking again sees nothing new and is
        not counted again. Without a ledger it counts as the first look.

    Both sides scatter, the shorter hold-out more. The interval of their difference follows from theirs (G. Y. Zou and
    A. Donner, Statistics in Medicine 27, 2008: the method of variance estimates recovery).

    >>> claimed = Interval(0.56, 0.53, 0.59)
    >>> deliver({"auc": (claimed, Interval(0.51, 0.46, 0.56))})[0].sentence
    'auc: claimed 0.560 (0.530 to 0.590), delivered 0.510 (0.460 to 0.560): the difference may be chance.'
    >>> deliver({"auc": (claimed, Interval(0.48, 0.43, 0.53))})[0].sentence
    'auc: claimed 0.560 (0.530 to 0.590), delivered 0.480 (0.430 to 0.530): worse than claimed, by more than chance.'
    """
    found = {
        metric: (claimed, value if isinstance(value, Interval) else Interval(value, value, value))
        for metric, (claimed, value) in claims.items()
    }
    look = 1
    if ledger is not None:
        values = {metric: value.estimate for metric, (_, value) in found.items()}
        look = ledger.look(data_id=data_id, config=config or {}, scores=values)
    return tuple(_compare(metric, claimed, value, look) for metric, (claimed, value) in found.items())


def _compare(metric: str, claimed: Interval, delivered: Interval, look: int) -> Delivered:
    difference = _difference(delivered, claimed)
    inside = difference.lower <= 0.0 <= difference.upper
    outcome = "the difference may be chance"
    if math.isnan(difference.lower) or math.isnan(difference.upper):
        outcome = "too little to compare them by"
    elif not inside:
        better = (difference.estimate < 0.0) == (metric in LOWER_IS_BETTER)
        outcome = f"{'better' if better else 'worse'} than claimed, by more than chance"
    sentence = f"{metric}: claimed {_in_words(claimed)}, delivered {_in_words(delivered)}: {outcome}."
    if look > 1:
        sentence += f" This is look {look} at the hold-out; it is no longer untouched."
    return Delivered(metric, claimed, delivered, difference, inside, look, sentence)


def _difference(a: Interval, b: Interval) -> Interval:
    """a − b of two independent estimates."""
    estimate = a.estimate - b.estimate
    lower = estimate - math.hypot(a.estimate - a.lower, b.upper - b.estimate)
    upper = estimate + math.hypot(a.upper - a.estimate, b.estimate - b.lower)
    return Interval(estimate, lower, upper, b.level)


def _in_words(value: Interval) -> str:
    if value.lower == value.upper:
        return f"{value.estimate:.3f}"
    return f"{value.estimate:.3f} ({value.lower:.3f} to {value.upper:.3f})"
