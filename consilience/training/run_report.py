"""Fills the report with what one training found."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from consilience.evaluation import OutOfFold
from consilience.evaluation.leaderboard import LeaderboardRow
from consilience.evaluation.report import write_report
from consilience.evaluation.report_data import ReportData
from consilience.registry import Version
from consilience.training.config import Config
from consilience.training.judgement import STACK, Judgement, regime_proba
from consilience.training.problem import Problem


def write(
    path: Path,
    config: Config,
    problem: Problem,
    stack: Any,
    records: Mapping[str, OutOfFold],
    board: list[LeaderboardRow],
    judged: Judgement,
    version: Version,
) -> Path:
    """Write the report of a training; gives the path of the HTML file."""
    price, regimes = _regimes(problem, stack)
    data = ReportData(
        title=f"{config.name} {version.number}",
        board=board,
        chosen=STACK,
        y=problem.y[problem.development],
        classes=stack.classes_,
        verdicts=judged.verdicts,
        summary=judged.summary,
        price=price,
        regimes=regimes,
        weights=stack.weights_,
        learning_curves={name: record.learning_curves for name, record in records.items() if record.learning_curves},
        importances=_importances(stack),
        holdout=judged.holdout,
        tables=judged.tables,
        facts=_facts(config, problem, judged, version),
    )
    return write_report(path, data)


def _regimes(problem: Problem, stack: Any) -> tuple[pd.Series | None, pd.DataFrame | None]:
    """The first asset's closes and filtered regime probabilities, if a member knows regimes."""
    asset = problem.features.index[0][0]
    X = problem.features.loc[[asset]]
    times = X.index.get_level_values(1)
    price = pd.Series(problem.bars.loc[X.index, "close"].to_numpy(), index=times, name=str(asset))
    proba = regime_proba(stack, X)
    if proba is None:
        return None, None
    return price, pd.DataFrame(proba, index=times, columns=[f"regime {k + 1}" for k in range(proba.shape[1])])


def _importances(stack: Any) -> dict[str, pd.Series]:
    found = {}
    for name, member in stack.members_.items():
        values = getattr(member, "feature_importances_", None)
        if values is not None:
            found[name] = pd.Series(values).sort_values(ascending=False)
    return found


def _facts(config: Config, problem: Problem, judged: Judgement, version: Version) -> dict[str, str]:
    times = problem.X.index.get_level_values(1)
    return {
        "version": f"{version.ref} (digest {version.digest[:12]})",
        "rows": f"{len(problem.X)} from {times.min():%Y-%m-%d} to {times.max():%Y-%m-%d}",
        "hold-out": f"{len(problem.holdout)} rows from {times[problem.holdout].min():%Y-%m-%d}",
        "label": config.label,
        "features": ", ".join(config.feature_names),
        "folds": f"{config.folds.splits} x {config.folds.scheme}, embargo {config.folds.embargo}",
        "costs": f"{config.costs.bps:g} basis points of turnover",
        "trials": f"{judged.n_trials} configurations recorded on this market",
        "seed": str(config.seed),
    }
