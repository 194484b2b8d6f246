"""What out-of-fold claimed beside what an untouched hold-out delivered; every look at the hold-out is counted."""

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
    metric : its name. claimed : the out-of-fold estimate with its interval. delivered : the hold-out's value.
    inside : whether the delivered value lies in the interval. look : which look at this hold-out it was (1 = first).
    sentence : the same in words.
    """

    metric: str
    claimed: Interval
    delivered: float
    inside: bool
    look: int
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a report."""
        return asdict(self)


def deliver(
    claims: Mapping[str, tuple[Interval, float]],
    *,
    ledger: Ledger | None = None,
    data_id: str = "",
    config: Mapping[str, Any] | None = None,
) -> tuple[Delivered, ...]:
    """Compare out-of-fold intervals with the hold-out's values, and count the look.

    Parameters
    ----------
    claims : metric to (its out-of-fold estimate and interval, its value on the hold-out).
    ledger, data_id, config : where the look is recorded. The same configuration looking again sees nothing new and is
        not counted again. Without a ledger it counts as the first look.

    The interval is for the expected value; a short hold-out scatters on top of it: "outside" is a warning, not a proof.

    >>> deliver({"auc": (Interval(0.56, 0.53, 0.59), 0.51)})[0].sentence
    'auc: claimed 0.560 (0.530 to 0.590), delivered 0.510: worse than claimed, outside the interval.'
    """
    look = 1
    if ledger is not None:
        values = {metric: value for metric, (_, value) in claims.items()}
        look = ledger.look(data_id=data_id, config=config or {}, scores=values)
    return tuple(_compare(metric, claimed, value, look) for metric, (claimed, value) in claims.items())


def _compare(metric: str, claimed: Interval, delivered: float, look: int) -> Delivered:
    inside = claimed.lower <= delivered <= claimed.upper
    if inside:
        outcome = "inside the interval"
    else:
        better = (delivered < claimed.estimate) == (metric in LOWER_IS_BETTER)
        outcome = f"{'better' if better else 'worse'} than claimed, outside the interval"
    sentence = (
        f"{metric}: claimed {claimed.estimate:.3f} ({claimed.lower:.3f} to {claimed.upper:.3f}), "
        f"delivered {delivered:.3f}: {outcome}."
    )
    if look > 1:
        sentence += f" This is look {look} at the hold-out; it is no longer untouched."
    return Delivered(metric, claimed, float(delivered), inside, look, sentence)
