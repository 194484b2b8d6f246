"""The report: one self-contained HTML file for people, and ``report.json`` beside it for programs."""

import json
import math
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from consilience.evaluation import plots
from consilience.evaluation.leaderboard import BUY_AND_HOLD, MAJORITY, LeaderboardRow
from consilience.evaluation.report_data import ReportData

COLUMNS = (
    ("log_loss", "log loss", "{:.4f}"),
    ("auc", "AUC", "{:.3f}"),
    ("accuracy", "accuracy", "{:.3f}"),
    ("sharpe", "Sharpe after costs", "{:.2f}"),
    ("annual_return", "return p. a.", "{:.1%}"),
    ("max_drawdown", "deepest drawdown", "{:.1%}"),
    ("turnover", "turnover p. a.", "{:.0f}"),
)

STYLE = """
body{font:17px/1.55 system-ui,sans-serif;max-width:1180px;margin:2.2em auto;padding:0 1.2em;color:#1a1a1a}
h1{font-size:1.9em;margin-bottom:.2em} h2{margin-top:2.2em;border-bottom:2px solid #ddd;padding-bottom:.2em}
table{border-collapse:collapse;width:100%;margin:1em 0}
th,td{padding:.5em .7em;text-align:right;border-bottom:1px solid #e3e3e3}
th:first-child,td:first-child{text-align:left} small{color:#555;display:block;font-size:.8em;white-space:nowrap}
tr.chosen{background:#eaf3fb;font-weight:600} tr.baseline{color:#666;font-style:italic}
.verdict{border-left:8px solid;padding:.5em 1em;margin:.6em 0;background:#fafafa}
.pass{border-color:#009E73}.fail{border-color:#C4342B}.inconclusive{border-color:#E69F00}
.summary{font-size:1.15em;background:#f3f3f3;padding:.9em 1.2em;border-radius:6px}
svg{width:100%;height:auto} .narrow svg{max-width:760px}
.status{font-weight:700;text-transform:uppercase;font-size:.8em;margin-right:.6em}
"""


def write_report(path: str | Path, data: ReportData) -> Path:
    """Write ``path`` (HTML, nothing loaded from elsewhere) and a JSON file of the same name beside it.

    Returns the path of the HTML file. Both files appear whole or not at all.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    _replace(target, report_html(data))
    _replace(target.with_suffix(".json"), json.dumps(report_json(data), indent=1, sort_keys=True, allow_nan=False))
    return target


def report_json(data: ReportData) -> dict[str, Any]:
    """The report as plain data; infinite numbers become the text "inf" or "-inf"."""
    tables = {name: table.reset_index().to_dict("records") for name, table in data.tables.items()}
    importances = {name: {str(k): float(v) for k, v in series.items()} for name, series in data.importances.items()}
    plain = {
        "title": data.title,
        "chosen": data.chosen,
        "summary": data.summary,
        "leaderboard": [row.to_dict() for row in data.board],
        "verdicts": [verdict.to_dict() for verdict in data.verdicts],
        "holdout": [item.to_dict() for item in data.holdout],
        "weights": {name: float(value) for name, value in data.weights.items()},
        "importances": importances,
        "facts": dict(data.facts),
        "tables": tables,
    }
    return _jsonable(plain)


def report_html(data: ReportData) -> str:
    """The whole page as text."""
    sections = [
        _verdicts(data),
        _section("Leaderboard", _board_table(data) + _board_note(data)),
        _holdout(data),
        _equity(data),
        _calibration(data),
        _regimes(data),
        _weights(data),
        _learning(data),
        _importances(data),
        *(_section(title, _frame_table(table)) for title, table in data.tables.items()),
        _facts(data),
    ]
    title = escape(data.title)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body><h1>{title}</h1>'
        f"{''.join(sections)}</body></html>\n"
    )


def _verdicts(data: ReportData) -> str:
    if not data.summary and not data.verdicts:
        return ""
    items = "".join(
        f'<div class="verdict {verdict.status}"><span class="status">{verdict.status}</span>'
        f"<b>{escape(verdict.gate)}</b>: {escape(verdict.reason)}</div>"
        for verdict in data.verdicts
    )
    return f'<p class="summary">{escape(data.summary)}</p>' + _section("Verdicts", items)


def _board_table(data: ReportData) -> str:
    head = "".join(f"<th>{escape(label)}</th>" for _, label, _ in COLUMNS)
    lines = "".join(_board_line(row, data.chosen) for row in data.board)
    return f"<table><tr><th></th>{head}</tr>{lines}</table>"


def _board_line(row: LeaderboardRow, chosen: str) -> str:
    kind = "chosen" if row.name == chosen else "baseline" if row.baseline else ""
    cells = []
    for key, _, form in COLUMNS:
        if key not in row.metrics:
            cells.append("<td>–</td>")
            continue
        interval = row.intervals.get(key)
        bounds = f"<small>{form.format(interval.lower)} … {form.format(interval.upper)}</small>" if interval else ""
        cells.append(f"<td>{form.format(row.metrics[key])}{bounds}</td>")
    return f'<tr class="{kind}"><td>{escape(row.name)}</td>{"".join(cells)}</tr>'


def _board_note(data: ReportData) -> str:
    levels = {interval.level for row in data.board for interval in row.intervals.values()}
    level = f"{max(levels):.0%}" if levels else ""
    return (
        f"<p>Small figures: {level} stationary block-bootstrap interval. All rows are measured on the same days. "
        f"“{escape(MAJORITY)}” predicts the base rate of each fold's training labels; "
        f"“{escape(BUY_AND_HOLD)}” is always long.</p>"
    )


def _holdout(data: ReportData) -> str:
    if not data.holdout:
        return ""
    items = "".join(
        f'<div class="verdict {"pass" if item.inside else "inconclusive"}">{escape(item.sentence)}</div>'
        for item in data.holdout
    )
    return _section("Claimed against delivered", items)


def _equity(data: ReportData) -> str:
    shown = [row for row in data.board if row.name in (data.chosen, BUY_AND_HOLD)]
    return _section("Out-of-fold equity", plots.equity(shown, data.chosen)) if shown else ""


def _calibration(data: ReportData) -> str:
    known = data.outcome()
    return "" if known is None else _section("Calibration", _narrow(plots.calibration(*known)))


def _regimes(data: ReportData) -> str:
    if data.price is None or data.regimes is None:
        return ""
    return _section("Regimes", plots.regimes(data.price, data.regimes))


def _weights(data: ReportData) -> str:
    if not data.weights:
        return ""
    return _section(
        "Member weights", _narrow(plots.bars(pd.Series(data.weights, dtype=float), "Weight of each member", "weight"))
    )


def _learning(data: ReportData) -> str:
    drawn = [
        _narrow(plots.learning_curves(member, folds))
        for member, folds in data.learning_curves.items()
        if any(map(bool, folds))
    ]
    return _section("Learning curves", "".join(drawn)) if drawn else ""


def _importances(data: ReportData) -> str:
    drawn = [
        _narrow(plots.bars(series, name, "importance")) for name, series in data.importances.items() if len(series)
    ]
    return _section("Feature importances", "".join(drawn)) if drawn else ""


def _facts(data: ReportData) -> str:
    if not data.facts:
        return ""
    lines = "".join(f"<tr><td>{escape(k)}</td><td>{escape(str(v))}</td></tr>" for k, v in data.facts.items())
    return _section("What was done", f"<table>{lines}</table>")


def _frame_table(table: pd.DataFrame) -> str:
    return str(table.to_html(border=0, float_format=lambda value: f"{value:.4g}", escape=True))


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def _narrow(body: str) -> str:
    return f'<div class="narrow">{body}</div>'


def _jsonable(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("inf" if value > 0 else "-inf")
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
