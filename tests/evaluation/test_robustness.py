import numpy as np
import pandas as pd
import pytest

from consilience.base import InvalidInput
from consilience.evaluation.evidence import gather_evidence
from consilience.evaluation.fold_plot import plot_folds
from consilience.evaluation.folds import CombinatorialPurged, PurgedWalkForward
from consilience.evaluation.gates import gates_from_spec, judge
from consilience.evaluation.leaderboard import leaderboard
from consilience.evaluation.report import report_html
from consilience.evaluation.report_data import ReportData
from consilience.evaluation.robustness import assess_robustness


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(0)
    index = pd.MultiIndex.from_product([["a", "b"], pd.bdate_range("2015-01-01", periods=400)])
    X = pd.DataFrame(rng.standard_normal((800, 3)), index=index, columns=list("xyz"))
    X.loc[X.index.get_level_values(1) > "2016-01-01", "z"] += 2.0
    forward = 0.01 * (0.5 * X["x"].to_numpy() + rng.standard_normal(800))
    y = (forward > 0).astype(int)
    board = leaderboard({"m": 1 / (1 + np.exp(-X["x"])), "coin": np.full(800, 0.5)}, y, forward, X=X, n_samples=60)
    return X, y, board


def test_one_call_gives_the_gates_and_the_report_what_they_need(case):
    X, y, board = case
    found = assess_robustness(board, "m", X, y, regime=np.arange(800) % 2, n_samples=60)
    assert found.facts["drifted"] == ("z",) and found.facts["n_features"] == 3
    assert set(found.facts["groups"]) == {"side", "asset", "weekday", "year", "regime"}
    spec = ["drift", "group_floor", {"gate": "group_floor", "grouping": "regime"}, "stress_floor"]
    verdicts = judge(gates_from_spec(spec), gather_evidence(board, "m", **found.facts))
    assert [verdict.status for verdict in verdicts[1:3]] == ["pass", "pass"] and verdicts[0].status == "fail"
    assert all("not measured" not in verdict.reason for verdict in verdicts)
    assert found.tables["Best of many"]["best entry"].iloc[0] == "m"
    assert found.tables["Best of many"]["p value"].iloc[0] < 0.05
    page = report_html(ReportData(title="t", board=board, chosen="m", tables=found.tables))
    for title in found.tables:
        assert title in page
    with pytest.raises(InvalidInput, match="'stack'"):
        assess_robustness(board, "stack", X, y)


def test_folds_are_drawn(tmp_path):
    X = pd.DataFrame({"f": np.zeros(90)}, index=pd.bdate_range("2020-01-01", periods=90))
    text = plot_folds(PurgedWalkForward(4, label_horizon=5), X, path=tmp_path / "folds.svg")
    assert text.startswith("<svg") and (tmp_path / "folds.svg").read_text() == text
    assert text == plot_folds(PurgedWalkForward(4, label_horizon=5), X)
    assert text != plot_folds(CombinatorialPurged(4, 2, label_horizon=5), X)
