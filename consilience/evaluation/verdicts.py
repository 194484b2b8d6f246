"""What gates judge and what they answer: evidence and verdicts, as plain records."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from consilience.evaluation.bootstrap import Interval
from consilience.evaluation.significance import PairedTest

PASS, FAIL, INCONCLUSIVE = "pass", "fail", "inconclusive"


@dataclass(frozen=True)
class Verdict:
    """One gate's answer: its name, "pass", "fail" or "inconclusive", why, and the numbers it rests on."""

    gate: str
    status: str
    reason: str
    numbers: dict[str, float] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether the gate lets the version through; inconclusive does not."""
        return self.status == PASS

    def checked(self) -> "Verdict":
        """This verdict, or an inconclusive one where a number that it rests on is not finite."""
        unusable = sorted(name for name, value in self.numbers.items() if not math.isfinite(value))
        if not unusable:
            return self
        came = ", ".join(f"{name} is {self.numbers[name]}" for name in unusable)
        finite = {name: value for name, value in self.numbers.items() if name not in unusable}
        return Verdict(self.gate, INCONCLUSIVE, f"not decided, because its evidence is not finite: {came}.", finite)

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the record that goes with a version."""
        return asdict(self) | {"name": self.gate, "passed": self.passed}


@dataclass(frozen=True)
class Evidence:
    """What is known about one predictor; whatever was not measured stays empty.

    Attributes
    ----------
    name : the predictor's.
    metrics, intervals : out-of-fold measures by name, and their intervals.
    paired : baseline's name to the paired test of the predictor's loss against it.
    train_metrics : the same measures on the training rows, for the over-fitting gap.
    deflated_sharpe : probability in [0, 1]; n_trials : how many trials it was deflated for.
    overfitting : probability of backtest overfitting; overfitting_loss : that what looked best loses out of sample.
    drifted : names of drifted features; n_features : how many were tested.
    groups : grouping's name ("asset", "regime", …) to group's name to the interval of one metric.
    stress : scenario's name to metrics under it.
    latency_ms : one prediction, measured.
    alternatives : names of the leaderboard's other entries that could be used instead (members and the equal vote).
    """

    name: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    paired: Mapping[str, PairedTest] = field(default_factory=dict)
    train_metrics: Mapping[str, float] = field(default_factory=dict)
    deflated_sharpe: float | None = None
    n_trials: int | None = None
    overfitting: float | None = None
    overfitting_loss: float | None = None
    drifted: tuple[str, ...] | None = None
    n_features: int = 0
    groups: Mapping[str, Mapping[str, Interval]] = field(default_factory=dict)
    stress: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    latency_ms: float | None = None
    alternatives: tuple[str, ...] = ()
