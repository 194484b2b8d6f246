import json
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from consilience.evaluation.bootstrap import Interval
from consilience.evaluation.gates import Verdict
from consilience.evaluation.holdout import deliver
from consilience.evaluation.leaderboard import leaderboard
from consilience.evaluation.report import report_json, write_report
from consilience.evaluation.report_data import ReportData


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    index = pd.bdate_range("2015-01-01", periods=300)
    forward = rng.normal(0, 0.01, 300)
    y = (forward > 0).astype(int)
    entries = {name: np.clip(0.5 + 0.05 * rng.standard_normal(300), 0, 1) for name in ("lstm & co", "stack")}
    return ReportData(
        title="Demo <script>",
        board=leaderboard(entries, y, forward, X=pd.DataFrame({"f": y}, index=index), n_samples=50),
        chosen="stack",
        y=y,
        verdicts=[Verdict("minimum auc", "fail", "auc is 0.5.", {"estimate": np.inf})],
        summary="stack: not promoted: no demonstrable edge.",
        price=pd.Series(100 * np.cumprod(1 + forward), index=index),
        regimes=pd.DataFrame(rng.dirichlet([1, 1], 300), index=index, columns=["calm", "wild"]),
        weights={"lstm & co": 0.4, "stack": 0.6},
        learning_curves={"lstm": [{"loss": [0.7, 0.6], "val_loss": [0.7, 0.69]}, {}]},
        importances={"lightgbm": pd.Series({"momentum": 0.3, "volatility": 0.7})},
        holdout=deliver({"auc": (Interval(0.55, 0.52, 0.58), 0.49)}),
        facts={"rows": "300"},
        tables={"Drift": pd.DataFrame({"feature": ["a<b"], "p": [0.01]})},
    )


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.headings, self.loads, self.stack, self.svgs = [], [], [], 0

    def handle_starttag(self, tag, attrs):
        self.stack.append(tag)
        self.svgs += tag == "svg"
        for name, value in attrs:
            if name in ("src", "href", "xlink:href") and value and not value.startswith("#"):
                self.loads.append(value)

    def handle_endtag(self, tag):
        while self.stack and self.stack.pop() != tag:
            pass

    def handle_data(self, data):
        if self.stack and self.stack[-1] == "h2":
            self.headings.append(data)


def test_the_page_holds_every_section_and_loads_nothing(data, tmp_path):
    path = write_report(tmp_path / "new" / "report.html", data)
    text = path.read_text()
    page = Page()
    page.feed(text)
    assert page.headings == [
        "Verdicts", "Leaderboard", "Claimed against delivered", "Out-of-fold equity", "Calibration", "Regimes",
        "Member weights", "Learning curves", "Feature importances", "Drift", "What was done",
    ]  # fmt: skip
    assert page.loads == [] and page.svgs == 6
    assert "<script" not in text and "Demo &lt;script&gt;" in text and "lstm &amp; co" in text
    assert "by more than chance" in text and "not promoted" in text
    assert sorted(item.name for item in path.parent.iterdir()) == ["report.html", "report.json"]


def test_the_json_holds_the_same_numbers(data, tmp_path):
    path = write_report(tmp_path / "report.html", data).with_suffix(".json")
    found = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    row = next(item for item in found["leaderboard"] if item["name"] == "stack")
    assert row["metrics"]["auc"] == pytest.approx(data.row("stack").metrics["auc"])
    assert len(row["intervals"]["auc"]) == 2
    assert found["verdicts"][0]["numbers"]["estimate"] == "inf" and found["holdout"][0]["inside"] is False


def test_sections_without_data_are_left_out(data):
    page = Page()
    from consilience.evaluation.report import report_html

    page.feed(report_html(ReportData(title="t", board=data.board, chosen="nobody")))
    assert page.headings == ["Leaderboard", "Out-of-fold equity"]
    assert report_json(ReportData(title="t", board=[], chosen="x"))["leaderboard"] == []


def test_importing_evaluation_imports_neither_matplotlib_nor_numba():
    code = "import sys, consilience.evaluation.report; sys.exit('matplotlib' in sys.modules or 'numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
