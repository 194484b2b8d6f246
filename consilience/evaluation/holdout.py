"""What out-of-fold claimed beside what an untouched hold-out delivered; every look at the hold-out is counted."""

from dataclasses import asdict, dataclass
from typing import Any

from consilience.evaluation.bootstrap import Interval
from consilience.evaluation.ledger import HOLDOUT, Ledger
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


def claimed_against_delivered(
    metric: str,
    claimed: Interval,
    delivered: float,
    *,
    ledger: Ledger | None = None,
    data_id: str = "",
    config: dict[str, Any] | None = None,
) -> Delivered:
    """Compare one out-of-fold interval with the hold-out's value, and count the look.

    Parameters
    ----------
    metric : its name, as in the leaderboard; log loss and the like are better when smaller.
    claimed : estimate and interval from out-of-fold predictions. delivered : the same metric on the hold-out.
    ledger, data_id, config : where the look is recorded. Without a ledger it counts as the first.

    The interval is for the expected value; a short hold-out scatters on top of it: "outside" is a warning, not a proof.

    >>> claimed_against_delivered("auc", Interval(0.56, 0.53, 0.59), 0.51).sentence
    'auc: claimed 0.560 (0.530 to 0.590), delivered 0.510: worse than claimed, outside the interval.'
    """
    inside = claimed.lower <= delivered <= claimed.upper
    if inside:
        outcome = "inside the interval"
    else:
        better = (delivered < claimed.estimate) == (metric in LOWER_IS_BETTER)
        outcome = f"{'better' if better else 'worse'} than claimed, outside the interval"
    look = 1
    if ledger is not None:
        ledger.record(data_id=data_id, kind=HOLDOUT, config=config or {}, scores={metric: delivered})
        look = ledger.looks(data_id)
    sentence = (
        f"{metric}: claimed {claimed.estimate:.3f} ({claimed.lower:.3f} to {claimed.upper:.3f}), "
        f"delivered {delivered:.3f}: {outcome}."
    )
    if look > 1:
        sentence += f" This is look {look} at the hold-out; it is no longer untouched."
    return Delivered(metric, claimed, float(delivered), inside, look, sentence)
