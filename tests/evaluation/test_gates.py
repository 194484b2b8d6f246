import dataclasses
import json
import math

import pytest
import yaml

from consilience.base import InvalidInput
from consilience.evaluation.bootstrap import Interval
from consilience.evaluation.gates import (
    GATES,
    Evidence,
    Sanity,
    Verdict,
    gates_from_spec,
    insane,
    judge,
    promotes,
    summary,
    with_sanity,
)
from consilience.evaluation.significance import PairedTest


def paired(p_better):
    return {"majority class": PairedTest("Diebold-Mariano", -0.01, -2.0, 2 * min(p_better, 1 - p_better), p_better)}


def grouped(estimate, lower, upper):
    return {"asset": {"good": Interval(0.6, 0.5, 0.7), "bad": Interval(estimate, lower, upper)}}


def beside(difference, p_better, loss=0.7):
    test = PairedTest("Diebold-Mariano", difference, 2.0, 0.1, p_better)
    better = PairedTest("Diebold-Mariano", -0.01, -2.0, 0.1, 0.02)
    return {
        "name": "stack",
        "metrics": {"log_loss": loss},
        "paired": {"lightgbm": test, "xgboost": better, "majority class": test},
        "alternatives": ("xgboost", "lightgbm"),
    }


LOG_LOSS = {"gate": "minimum_metric", "metric": "log_loss", "bound": 0.69}
LOG_GAP = {"gate": "overfitting_gap", "metric": "log_loss", "largest": 0.05}

CASES = [
    ("sanity", beside(0.001, 0.6), "pass"),
    ("sanity", beside(0.3, 0.8), "pass"),
    ("sanity", beside(0.3, 0.99), "fail"),
    ("sanity", beside(0.3, 0.99, loss=float("inf")), "fail"),
    ("sanity", beside(float("nan"), 0.99), "inconclusive"),
    ("minimum_metric", {"intervals": {"auc": Interval(0.55, 0.52, 0.58)}}, "pass"),
    ("minimum_metric", {"intervals": {"auc": Interval(0.51, 0.48, 0.54)}}, "inconclusive"),
    ("minimum_metric", {"intervals": {"auc": Interval(0.45, 0.42, 0.49)}}, "fail"),
    (LOG_LOSS, {"intervals": {"log_loss": Interval(0.68, 0.67, 0.685)}}, "pass"),
    (LOG_LOSS, {"intervals": {"log_loss": Interval(0.7, 0.695, 0.71)}}, "fail"),
    ("better_than_baseline", {"paired": paired(0.01)}, "pass"),
    ("better_than_baseline", {"paired": paired(0.3)}, "inconclusive"),
    ("better_than_baseline", {"paired": paired(0.99)}, "fail"),
    ("overfitting_gap", {"train_metrics": {"auc": 0.6}, "metrics": {"auc": 0.55}}, "pass"),
    ("overfitting_gap", {"train_metrics": {"auc": 0.99}, "metrics": {"auc": 0.55}}, "fail"),
    (LOG_GAP, {"train_metrics": {"log_loss": 0.2}, "metrics": {"log_loss": 0.69}}, "fail"),
    ("deflated_sharpe", {"deflated_sharpe": 0.97, "n_trials": 12}, "pass"),
    ("deflated_sharpe", {"deflated_sharpe": 0.6}, "inconclusive"),
    ("deflated_sharpe", {"deflated_sharpe": 0.02}, "fail"),
    ("backtest_overfitting", {"overfitting": 0.1, "overfitting_loss": 0.5}, "pass"),
    ("backtest_overfitting", {"overfitting": 0.6, "overfitting_loss": 0.01}, "pass"),
    ("backtest_overfitting", {"overfitting": 0.6, "overfitting_loss": 0.3}, "fail"),
    ("drift", {"drifted": (), "n_features": 10}, "pass"),
    ("drift", {"drifted": ("a", "b", "c", "d"), "n_features": 10}, "fail"),
    ("group_floor", {"groups": grouped(0.55, 0.45, 0.65)}, "pass"),
    ("group_floor", {"groups": grouped(0.45, 0.4, 0.55)}, "inconclusive"),
    ("group_floor", {"groups": grouped(0.40, 0.35, 0.45)}, "fail"),
    ("stress_floor", {"stress": {"crash": {"max_drawdown": -0.3}, "gap": {"max_drawdown": -0.4}}}, "pass"),
    ("stress_floor", {"stress": {"crash": {"max_drawdown": -0.3}, "gap": {"max_drawdown": -0.6}}}, "fail"),
    ("latency", {"latency_ms": 3.0}, "pass"),
    ("latency", {"latency_ms": 300.0}, "fail"),
    ("calibration", {"metrics": {"calibration_error": 0.01}}, "pass"),
    ("calibration", {"metrics": {"calibration_error": 0.2}}, "fail"),
    ("calibration", {"metrics": {"calibration_error": 0.07, "calibration_noise": 0.06}}, "pass"),
]  # fmt: skip


@pytest.mark.parametrize("spec, facts, status", CASES)
def test_every_gate_says_pass_fail_or_inconclusive_and_why(spec, facts, status):
    verdict = judge(gates_from_spec([spec]), Evidence(**facts))[0]
    assert verdict.status == status and verdict.passed == (status == "pass")
    assert verdict.reason.endswith(".") and len(verdict.reason) > 20
    assert json.loads(json.dumps(verdict.to_dict()))["passed"] == (status == "pass")


@pytest.mark.parametrize("name", GATES)
def test_missing_evidence_is_never_a_pass(name):
    verdict = judge(gates_from_spec([name]), Evidence())[0]
    assert verdict.status == "inconclusive" and verdict.reason.startswith("not measured")


UNUSABLE = [math.nan, math.inf, -math.inf]


def spoilt(facts, value):
    """The same evidence, once for each number in it, with that number replaced: (where, evidence)."""
    for name, part in facts.items():
        if isinstance(part, float):
            yield name, {**facts, name: value}
        elif isinstance(part, dict):
            for key, inner in part.items():
                for where, other in spoilt({key: inner}, value):
                    yield f"{name}.{where}", {**facts, name: {**part, **other}}
        elif isinstance(part, Interval | PairedTest):
            for field in dataclasses.fields(part):
                if field.type in (float, "float"):
                    yield f"{name}.{field.name}", {**facts, name: dataclasses.replace(part, **{field.name: value})}


@pytest.mark.parametrize("value", UNUSABLE)
@pytest.mark.parametrize("spec, facts, status", CASES)
def test_evidence_that_is_not_finite_is_never_a_pass(spec, facts, status, value):
    gate, tried = gates_from_spec([spec])[0], 0
    for where, other in spoilt(facts, value):
        verdict = gate.judge(Evidence(**other))
        unused = verdict == gate.judge(Evidence(**facts))
        assert verdict.status != "pass" or unused, (where, verdict)
        assert json.dumps(verdict.to_dict(), allow_nan=False)
        tried += 1
    assert tried or spec == "drift", "the check must have something to try"


def test_a_gate_of_the_users_own_cannot_pass_on_nan_either():
    class Own:
        def judge(self, evidence):
            return Verdict("own", "pass", "fine.", {"value": math.nan})

    verdict = judge([Own()], Evidence())[0]
    assert verdict.status == "inconclusive" and "value is nan" in verdict.reason


def test_the_sanity_gate_is_in_every_configuration_and_alone_promotes_nothing():
    assert [type(gate) for gate in with_sanity([])] == [Sanity]
    own = gates_from_spec([{"gate": "sanity", "tolerance": 0.5}])
    assert with_sanity(own) == own
    passed = judge(with_sanity([]), Evidence(**beside(0.0, 0.5)))
    assert passed[0].passed and not promotes(passed)
    assert "no gate was asked" in summary("stack", passed)
    broken = judge(with_sanity([]), Evidence(**beside(17.8, 1.0, loss=18.5)))
    assert insane(broken).reason.startswith("the log loss of the stack, 18.5, is far above the 0.7 of lightgbm")


def test_every_gate_has_a_case_of_each_kind():
    seen = {spec if isinstance(spec, str) else spec["gate"] for spec, _, _ in CASES}
    assert seen == set(GATES)


def test_gates_come_from_yaml_and_mistakes_are_named():
    text = "- calibration\n- {gate: minimum_metric, metric: auc, bound: 0.52}\n"
    gates = gates_from_spec(yaml.safe_load(text))
    assert gates[1].bound == 0.52
    with pytest.raises(InvalidInput, match="'calibration'"):
        gates_from_spec(["calibraton"])
    with pytest.raises(InvalidInput, match="Did you mean 'bound'"):
        gates_from_spec([{"gate": "minimum_metric", "bond": 0.5}])


def test_the_summary_says_why_not():
    verdicts = judge(gates_from_spec(["latency", "calibration"]), Evidence(latency_ms=1.0))
    assert summary("stack", verdicts).startswith("stack: not promoted: calibration: not measured")
    assert summary("stack", []).startswith("stack: not promoted")
