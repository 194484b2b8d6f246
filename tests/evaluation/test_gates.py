import json

import pytest
import yaml

from consilience.base import InvalidInput
from consilience.evaluation.bootstrap import Interval
from consilience.evaluation.gates import GATES, Evidence, gates_from_spec, judge, summary
from consilience.evaluation.significance import PairedTest


def paired(p_better):
    return {"majority class": PairedTest("Diebold-Mariano", -0.01, -2.0, 2 * min(p_better, 1 - p_better), p_better)}


def grouped(estimate, lower, upper):
    return {"asset": {"good": Interval(0.6, 0.5, 0.7), "bad": Interval(estimate, lower, upper)}}


LOG_LOSS = {"gate": "minimum_metric", "metric": "log_loss", "bound": 0.69}
LOG_GAP = {"gate": "overfitting_gap", "metric": "log_loss", "largest": 0.05}

CASES = [
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
