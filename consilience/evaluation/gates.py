"""Gates: small policies that turn evidence into a verdict with a sentence of reason.

A gate is a dataclass with one method, ``judge(evidence) -> Verdict``; ``gates_from_spec`` builds them from what YAML
holds. Evidence that is missing or not finite makes a verdict inconclusive, never a pass.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol

from consilience.base import InvalidInput, nearest
from consilience.evaluation.bootstrap import Interval
from consilience.evaluation.metrics import LOWER_IS_BETTER
from consilience.evaluation.verdicts import FAIL, INCONCLUSIVE, PASS, Evidence, Verdict

SANITY = "sanity"


class Gate(Protocol):
    """One policy."""

    def judge(self, evidence: Evidence) -> Verdict:
        """The verdict on that evidence."""
        ...


@dataclass(frozen=True)
class Sanity:
    """The loss must not be far above that of any alternative: a combination that is worse than its members is broken.

    It fails where the out-of-fold loss is not finite, or where it exceeds an alternative's by more than ``tolerance``
    (nats of log loss) and a paired test says at the level ``alpha`` that this is no chance. ``train`` applies it in
    every configuration.
    """

    tolerance: float = 0.02
    alpha: float = 0.05

    def judge(self, evidence: Evidence) -> Verdict:
        tests = {name: evidence.paired[name] for name in evidence.alternatives if name in evidence.paired}
        loss = evidence.metrics.get("log_loss")
        if loss is None or not tests:
            return _unknown(SANITY, "the log loss, and paired tests against the alternatives")
        if not math.isfinite(loss):
            reason = f"the log loss of the {evidence.name} is {loss}: its combination is broken; do not use it."
            return Verdict(SANITY, FAIL, reason)
        best = max(tests, key=lambda name: tests[name].difference)
        test, other = tests[best], loss - tests[best].difference
        numbers = {"loss": loss, "best": other, "p_better": test.p_better, "tolerance": self.tolerance}
        numbers |= {name: one.difference for name, one in tests.items() if not math.isfinite(one.difference)}
        if test.difference > self.tolerance and test.p_better >= 1.0 - self.alpha:
            shown = f"the log loss of the {evidence.name}, {loss:.4g}, is far above the {other:.4g} of {best}"
            return _verdict(SANITY, FAIL, f"{shown}: its combination is broken; do not use it.", numbers)
        reason = f"its log loss is {loss:.4f}, the best alternative's {other:.4f} ({best})."
        return _verdict(SANITY, PASS, reason, numbers)


@dataclass(frozen=True)
class MinimumMetric:
    """A metric must be beyond ``bound`` with the whole of its interval; for log loss and the like, below it."""

    metric: str = "auc"
    bound: float = 0.5

    def judge(self, evidence: Evidence) -> Verdict:
        gate, interval = f"minimum {self.metric}", evidence.intervals.get(self.metric)
        if interval is None:
            return _unknown(gate, f"{self.metric} with an interval")
        lower_better = self.metric in LOWER_IS_BETTER
        safe, hopeful = (interval.upper, interval.lower) if lower_better else (interval.lower, interval.upper)
        beyond = (lambda value: value < self.bound) if lower_better else (lambda value: value > self.bound)
        shown = f"{self.metric} is {interval.estimate:.4g} ({interval.lower:.4g} to {interval.upper:.4g})"
        numbers = {"estimate": interval.estimate, "lower": interval.lower, "upper": interval.upper, "bound": self.bound}
        if beyond(safe):
            return _verdict(gate, PASS, f"{shown}: beyond {self.bound:g} with its whole interval.", numbers)
        if beyond(hopeful):
            return _verdict(gate, INCONCLUSIVE, f"{shown}: the interval contains {self.bound:g}.", numbers)
        return _verdict(gate, FAIL, f"{shown}: worse than {self.bound:g} with its whole interval.", numbers)


@dataclass(frozen=True)
class BetterThanBaseline:
    """The predictor's loss must be smaller than a baseline's in a paired test."""

    baseline: str = "majority class"
    alpha: float = 0.05

    def judge(self, evidence: Evidence) -> Verdict:
        gate, test = f"better than {self.baseline}", evidence.paired.get(self.baseline)
        if test is None:
            return _unknown(gate, f"a paired test against {self.baseline}")
        numbers = {"difference": test.difference, "p_better": test.p_better, "alpha": self.alpha}
        difference = f"{test.difference:+.4g} ({test.test}, p = {test.p_better:.3g})"
        shown = f"its loss differs from that of {self.baseline} by {difference}"
        if test.p_better <= self.alpha:
            return _verdict(gate, PASS, f"{shown}: demonstrably better.", numbers)
        if test.p_better >= 1.0 - self.alpha:
            return _verdict(gate, FAIL, f"{shown}: demonstrably worse.", numbers)
        return _verdict(gate, INCONCLUSIVE, f"{shown}: no demonstrable edge.", numbers)


@dataclass(frozen=True)
class OverfittingGap:
    """The metric on the training rows may exceed the out-of-fold one by at most ``largest``."""

    metric: str = "auc"
    largest: float = 0.15

    def judge(self, evidence: Evidence) -> Verdict:
        gate = f"over-fitting gap of {self.metric}"
        if self.metric not in evidence.train_metrics or self.metric not in evidence.metrics:
            return _unknown(gate, f"{self.metric} on training rows and out of fold")
        inside, outside = evidence.train_metrics[self.metric], evidence.metrics[self.metric]
        gap = outside - inside if self.metric in LOWER_IS_BETTER else inside - outside
        shown = f"{self.metric} is {inside:.4g} on the training rows and {outside:.4g} out of fold"
        reason = f"{shown}, a gap of {gap:.3g} (at most {self.largest:g})."
        return _limit(gate, gap, self.largest, reason, inside=inside, outside=outside)


@dataclass(frozen=True)
class DeflatedSharpeGate:
    """The deflated Sharpe ratio, a probability, must reach ``minimum``."""

    minimum: float = 0.95

    def judge(self, evidence: Evidence) -> Verdict:
        gate, value = "deflated Sharpe ratio", evidence.deflated_sharpe
        if value is None:
            return _unknown(gate, "a Sharpe ratio and its trials in the ledger")
        trials = "" if evidence.n_trials is None else f" after {evidence.n_trials} recorded trials"
        reason = (
            f"the probability that the Sharpe ratio is not luck{trials} is {value:.3f} (at least {self.minimum:g})."
        )
        status = PASS if value >= self.minimum else (FAIL if value <= 1.0 - self.minimum else INCONCLUSIVE)
        return _verdict(gate, status, reason, {"probability": value, "minimum": self.minimum})


@dataclass(frozen=True)
class BacktestOverfittingGate:
    """The probability of backtest overfitting may be at most ``largest``.

    Where all configurations are about equally good, the best in sample is at or below the median half of the time and
    no harm is done; so it is enough that what looked best in sample loses out of sample at most ``largest_loss`` of
    the time. Among skill-less configurations it loses half of the time.
    """

    largest: float = 0.2
    largest_loss: float = 0.05

    def judge(self, evidence: Evidence) -> Verdict:
        gate, value, loss = "backtest overfitting", evidence.overfitting, evidence.overfitting_loss
        if value is None or loss is None:
            return _unknown(gate, "the returns of several configurations")
        reason = (
            f"what looked best in one half of the time was at or below the median in the other in {value:.0%} of the "
            f"splits (at most {self.largest:.0%}), and lost in {loss:.0%} (at most {self.largest_loss:.0%} is enough)."
        )
        status = PASS if value <= self.largest or loss <= self.largest_loss else FAIL
        return _verdict(gate, status, reason, {"value": value, "largest": self.largest, "loss": loss})


@dataclass(frozen=True)
class DriftGate:
    """At most a share of the features may have drifted."""

    largest_share: float = 0.3

    def judge(self, evidence: Evidence) -> Verdict:
        gate = "drift"
        if evidence.drifted is None or evidence.n_features == 0:
            return _unknown(gate, "a drift test of the features")
        share = len(evidence.drifted) / evidence.n_features
        named = f" ({', '.join(evidence.drifted[:3])}{', …' if len(evidence.drifted) > 3 else ''})" if share else ""
        reason = (
            f"{len(evidence.drifted)} of {evidence.n_features} features drifted{named}; {self.largest_share:.0%} may."
        )
        return _limit(gate, share, self.largest_share, reason)


@dataclass(frozen=True)
class GroupFloor:
    """No group of a grouping may be demonstrably worse than ``bound``."""

    grouping: str = "asset"
    bound: float = 0.5
    lower_is_better: bool = False

    def judge(self, evidence: Evidence) -> Verdict:
        gate, groups = f"every {self.grouping}", evidence.groups.get(self.grouping)
        if not groups:
            return _unknown(gate, f"scores by {self.grouping}")
        sign = -1.0 if self.lower_is_better else 1.0
        worst = min(groups, key=lambda name: sign * groups[name].estimate)
        interval = groups[worst]
        hopeful = interval.lower if self.lower_is_better else interval.upper
        bounds = f"{interval.estimate:.4g} ({interval.lower:.4g} to {interval.upper:.4g})"
        shown = f"the worst {self.grouping} is {worst} at {bounds}"
        numbers = {"worst": interval.estimate, "bound": self.bound, **_unusable(groups)}
        if sign * interval.estimate >= sign * self.bound:
            return _verdict(gate, PASS, f"{shown}, not below the floor of {self.bound:g}.", numbers)
        if sign * hopeful < sign * self.bound:
            return _verdict(gate, FAIL, f"{shown}, demonstrably below the floor of {self.bound:g}.", numbers)
        return _verdict(gate, INCONCLUSIVE, f"{shown}; the floor of {self.bound:g} lies in its interval.", numbers)


@dataclass(frozen=True)
class StressFloor:
    """Under every stress scenario the metric must stay at or beyond ``bound``."""

    metric: str = "max_drawdown"
    bound: float = -0.5

    def judge(self, evidence: Evidence) -> Verdict:
        gate = f"{self.metric} under stress"
        known = {name: values[self.metric] for name, values in evidence.stress.items() if self.metric in values}
        if not known:
            return _unknown(gate, f"{self.metric} under stress scenarios")
        sign = -1.0 if self.metric in LOWER_IS_BETTER else 1.0
        worst = min(known, key=lambda name: sign * known[name])
        reason = f"worst under {worst}: {known[worst]:.4g} (the floor is {self.bound:g})."
        status = PASS if sign * known[worst] >= sign * self.bound else FAIL
        unusable = {name: value for name, value in known.items() if not math.isfinite(value)}
        return _verdict(gate, status, reason, {"worst": known[worst], "bound": self.bound, **unusable})


@dataclass(frozen=True)
class LatencyBudget:
    """One prediction may take at most ``milliseconds``."""

    milliseconds: float = 100.0

    def judge(self, evidence: Evidence) -> Verdict:
        if evidence.latency_ms is None:
            return _unknown("latency", "a measured latency")
        reason = f"one prediction takes {evidence.latency_ms:.3g} ms (at most {self.milliseconds:g})."
        return _limit("latency", evidence.latency_ms, self.milliseconds, reason)


@dataclass(frozen=True)
class Calibration:
    """The expected calibration error, less what chance alone gives so few labels, may be at most ``largest``.

    Chance adds to the error of even perfect probabilities; independent parts add in squares, so it is taken off so.
    """

    largest: float = 0.05

    def judge(self, evidence: Evidence) -> Verdict:
        value = evidence.metrics.get("calibration_error")
        if value is None:
            return _unknown("calibration", "a calibration error")
        noise = evidence.metrics.get("calibration_noise", 0.0)
        own = math.sqrt(max((value - noise) * (value + noise), 0.0))
        chance = f" ({value:.3f} less {noise:.3f} by chance)" if noise else ""
        reason = f"probabilities are off by {own:.3f} on average{chance}; at most {self.largest:g}."
        return _limit("calibration", own, self.largest, reason, error=value, noise=noise)


GATES: dict[str, type] = {
    "sanity": Sanity,
    "minimum_metric": MinimumMetric,
    "better_than_baseline": BetterThanBaseline,
    "overfitting_gap": OverfittingGap,
    "deflated_sharpe": DeflatedSharpeGate,
    "backtest_overfitting": BacktestOverfittingGate,
    "drift": DriftGate,
    "group_floor": GroupFloor,
    "stress_floor": StressFloor,
    "latency": LatencyBudget,
    "calibration": Calibration,
}


def gates_from_spec(spec: Iterable[Mapping[str, Any] | str]) -> list[Gate]:
    """Gates from a list of dictionaries (or bare names), as YAML gives them.

    >>> gates_from_spec([{"gate": "minimum_metric", "metric": "auc", "bound": 0.52}, "calibration"])
    [MinimumMetric(metric='auc', bound=0.52), Calibration(largest=0.05)]
    """
    built: list[Gate] = []
    for item in spec:
        options = {"gate": item} if isinstance(item, str) else dict(item)
        name = str(options.pop("gate", ""))
        if name not in GATES:
            raise InvalidInput(f"There is no gate {name!r}.{nearest(name, GATES)} Gates: {', '.join(GATES)}.")
        known = {one.name for one in fields(GATES[name])}
        for key in options:
            if key not in known:
                raise InvalidInput(f"The gate {name!r} has no setting {key!r}.{nearest(str(key), known)}")
        built.append(GATES[name](**options))
    return built


def judge(gates: Iterable[Gate], evidence: Evidence) -> list[Verdict]:
    """Every gate's verdict, in order.

    >>> judge([LatencyBudget(5)], Evidence(latency_ms=2.0))[0].reason
    'one prediction takes 2 ms (at most 5).'
    """
    return [gate.judge(evidence).checked() for gate in gates]


def with_sanity(gates: Iterable[Gate]) -> list[Gate]:
    """The gates with the sanity gate first, which no configuration leaves out.

    >>> with_sanity([Calibration()])
    [Sanity(tolerance=0.02, alpha=0.05), Calibration(largest=0.05)]
    """
    every = list(gates)
    return every if any(isinstance(gate, Sanity) for gate in every) else [Sanity(), *every]


def insane(verdicts: Iterable[Verdict]) -> Verdict | None:
    """The sanity gate's verdict if it failed: what is then to be said before anything else."""
    return next((verdict for verdict in verdicts if verdict.gate == SANITY and verdict.status == FAIL), None)


def promotes(verdicts: Iterable[Verdict]) -> bool:
    """Whether every gate passed, one besides the sanity gate at least."""
    every = list(verdicts)
    return any(verdict.gate != SANITY for verdict in every) and all(verdict.passed for verdict in every)


def summary(name: str, verdicts: Iterable[Verdict]) -> str:
    """One line: promoted, or why not.

    >>> summary("stack", [Verdict("calibration", "pass", "fine.")])
    'stack: every gate passed (1 of 1).'
    """
    every = list(verdicts)
    stopped = [verdict for verdict in every if not verdict.passed]
    if not any(verdict.gate != SANITY for verdict in every) and not stopped:
        return f"{name}: not promoted: no gate was asked."
    if not stopped:
        return f"{name}: every gate passed ({len(every)} of {len(every)})."
    return f"{name}: not promoted: " + " ".join(f"{verdict.gate}: {verdict.reason}" for verdict in stopped)


def _unknown(gate: str, what: str) -> Verdict:
    return Verdict(gate, INCONCLUSIVE, f"not measured: it needs {what}.")


def _limit(gate: str, value: float, largest: float, reason: str, **evidence: float) -> Verdict:
    status = PASS if value <= largest else FAIL
    return _verdict(gate, status, reason, {"value": value, "largest": largest, **evidence})


def _verdict(gate: str, status: str, reason: str, numbers: dict[str, float]) -> Verdict:
    return Verdict(gate, status, reason, numbers).checked()


def _unusable(groups: Mapping[str, Interval]) -> dict[str, float]:
    """The bounds that are not finite, by group."""
    bounds = {
        f"{part} of {name}": getattr(interval, part)
        for name, interval in groups.items()
        for part in ("estimate", "lower", "upper")
    }
    return {name: value for name, value in bounds.items() if not math.isfinite(value)}
