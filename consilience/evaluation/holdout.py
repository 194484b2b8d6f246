"""What out-of-fold claimed beside what an untouched hold-out delivered; every look at the hold-out is counted."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from consilience.base import InvalidInput
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
    between_folds : how far the folds' values scatter beyond what chance within each explains, as a standard deviation.
    inside : whether chance and the folds' scatter explain the difference: its interval holds 0 (False where it is not
        known).
    look : which look at this hold-out it was (1 = first). sentence : the same in words.
    """

    metric: str
    claimed: Interval
    delivered: Interval
    difference: Interval
    between_folds: float
    inside: bool
    look: int
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a report."""
        return asdict(self)


def deliver(
    claims: Mapping[str, tuple[Interval, Interval | float]],
    *,
    folds: Mapping[str, Sequence[Interval]] | None = None,
    ledger: Ledger | None = None,
    data_id: str = "",
    config: Mapping[str, Any] | None = None,
) -> tuple[Delivered, ...]:
    """Compare out-of-fold estimates with the hold-out's values, and count the look.

    Parameters
    ----------
    claims : metric to (its out-of-fold estimate and interval, its value on the hold-out and the interval of that). A
        hold-out's value without an interval is taken as one that does not scatter.
    folds : metric to its value and interval in each fold on its own. The hold-out is one more period, predicted by one
        more fit: what folds differ by among themselves, beyond the chance within them, it may differ by too.
    ledger, data_id, config : where the look is recorded. The same configuration looking again sees nothing new and is
        not counted again. Without a ledger it counts as the first look.

    Both sides scatter, the shorter hold-out more. The interval of their difference follows from theirs (G. Y. Zou and
    A. Donner, Statistics in Medicine 27, 2008: the method of variance estimates recovery). The folds are to the
    hold-out what earlier studies are to a new one (after J. P. T. Higgins, S. G. Thompson and D. J. Spiegelhalter, "A
    re-evaluation of random-effects meta-analysis", Journal of the Royal Statistical Society A 172, 2009; here
    Student's t, of one degree of freedom less than there are folds, multiplies the scatter between folds only). Two or
    three folds that differ say so little of their scatter that next to nothing contradicts them.

    >>> claimed = Interval(0.56, 0.53, 0.59)
    >>> deliver({"auc": (claimed, Interval(0.51, 0.46, 0.56))})[0].sentence
    'auc: claimed 0.560 (0.530 to 0.590), delivered 0.510 (0.460 to 0.560): the difference may be chance.'
    >>> deliver({"auc": (claimed, Interval(0.48, 0.43, 0.53))})[0].sentence
    'auc: claimed 0.560 (0.530 to 0.590), delivered 0.480 (0.430 to 0.530): worse than claimed, by more than chance.'
    >>> folds = [Interval(value, value - 0.05, value + 0.05) for value in (0.46, 0.50, 0.60, 0.68)]
    >>> deliver({"auc": (claimed, Interval(0.48, 0.43, 0.53))}, folds={"auc": folds})[0].sentence[-44:]
    ': within what the scatter of 4 folds allows.'
    """
    scatter = _checked(folds or {}, claims)
    found = {
        metric: (claimed, value if isinstance(value, Interval) else Interval(value, value, value))
        for metric, (claimed, value) in claims.items()
    }
    look = 1
    if ledger is not None:
        values = {metric: value.estimate for metric, (_, value) in found.items()}
        look = ledger.look(data_id=data_id, config=config or {}, scores=values)
    return tuple(
        _compare(metric, claimed, value, scatter.get(metric, []), look) for metric, (claimed, value) in found.items()
    )


def _checked(folds: Mapping[str, Sequence[Interval]], claims: Mapping[str, Any]) -> Mapping[str, Sequence[Interval]]:
    unknown = sorted(set(folds) - set(claims))
    if unknown:
        raise InvalidInput(f"folds must name metrics that are claimed ({', '.join(claims)}); it has {unknown[0]!r}.")
    for metric, values in folds.items():
        strange = next((value for value in values if not isinstance(value, Interval)), None)
        if strange is not None:
            raise InvalidInput(f"folds[{metric!r}] must hold an Interval per fold; it has {strange!r}.")
    return folds


def _compare(metric: str, claimed: Interval, delivered: Interval, folds: Sequence[Interval], look: int) -> Delivered:
    by_chance = _difference(delivered, claimed)
    spread, n_folds = between_folds(folds)
    difference = _widened(by_chance, spread, n_folds)
    inside = _holds_zero(difference)
    if math.isnan(difference.lower) or math.isnan(difference.upper):
        outcome = "too little to compare them by"
    elif _holds_zero(by_chance):
        outcome = "the difference may be chance"
    elif inside:
        outcome = f"within what the scatter of {n_folds} folds allows"
    else:
        better = (difference.estimate < 0.0) == (metric in LOWER_IS_BETTER)
        outcome = f"{'better' if better else 'worse'} than claimed, by more than chance"
    sentence = f"{metric}: claimed {_in_words(claimed)}, delivered {_in_words(delivered)}: {outcome}."
    if look > 1:
        sentence += f" This is look {look} at the hold-out; it is no longer untouched."
    return Delivered(metric, claimed, delivered, difference, spread, inside, look, sentence)


def _difference(a: Interval, b: Interval) -> Interval:
    """a − b of two independent estimates."""
    estimate = a.estimate - b.estimate
    lower = estimate - math.hypot(a.estimate - a.lower, b.upper - b.estimate)
    upper = estimate + math.hypot(a.upper - a.estimate, b.estimate - b.lower)
    return Interval(estimate, lower, upper, b.level)


def between_folds(folds: Sequence[Interval]) -> tuple[float, int]:
    """The standard deviation between folds that chance within them does not explain, and how many folds tell it.

    The variance of the values less the mean of their own variances, 0 where that is negative (the variance component
    of L. V. Hedges and I. Olkin, *Statistical Methods for Meta-Analysis*, 1985). Folds without an interval are left
    out.

    >>> between_folds([Interval(0.5, 0.4, 0.6), Interval(0.52, 0.42, 0.62)])
    (0.0, 2)
    """
    known = [one for one in folds if np.isfinite([one.estimate, one.lower, one.upper]).all()]
    if len(known) < 2:
        return 0.0, len(known)
    own = [((one.upper - one.lower) / (2.0 * stats.norm.ppf(0.5 + one.level / 2.0))) ** 2 for one in known]
    excess = np.var([one.estimate for one in known], ddof=1) - np.mean(own)
    return float(np.sqrt(max(excess, 0.0))), len(known)


def _widened(difference: Interval, spread: float, n_folds: int) -> Interval:
    """By what one more fold may differ from the mean of ``n_folds`` that scatter by ``spread``."""
    if spread == 0.0:
        return difference
    extra = stats.t.ppf(0.5 + difference.level / 2.0, n_folds - 1) * spread * math.sqrt(1.0 + 1.0 / n_folds)
    lower = difference.estimate - math.hypot(difference.estimate - difference.lower, extra)
    upper = difference.estimate + math.hypot(difference.upper - difference.estimate, extra)
    return Interval(difference.estimate, lower, upper, difference.level)


def _holds_zero(interval: Interval) -> bool:
    return interval.lower <= 0.0 <= interval.upper


def _in_words(value: Interval) -> str:
    if value.lower == value.upper:
        return f"{value.estimate:.3f}"
    return f"{value.estimate:.3f} ({value.lower:.3f} to {value.upper:.3f})"
