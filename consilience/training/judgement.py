"""From out-of-fold predictions to verdicts: the leaderboard, the trials in the ledger, the gates, the hold-out."""

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from consilience.base import newest_proba, predict_rows, take, time_axis
from consilience.evaluation import OutOfFold
from consilience.evaluation.bootstrap import Interval
from consilience.evaluation.evidence import gather_evidence
from consilience.evaluation.gates import OverfittingGap, Verdict, gates_from_spec, judge, promotes, summary, with_sanity
from consilience.evaluation.holdout import Delivered, deliver
from consilience.evaluation.leaderboard import LeaderboardRow, leaderboard
from consilience.evaluation.ledger import Ledger
from consilience.evaluation.robustness import assess_robustness
from consilience.training.config import Config
from consilience.training.fragility import fragility_tables, training_metrics
from consilience.training.problem import Problem

STACK, VOTE = "stack", "equal-weight vote"
_CLAIMED = ("log_loss", "auc", "sharpe")


@dataclass(frozen=True)
class Judgement:
    """The gates' verdicts on the stack, and what the hold-out delivered."""

    verdicts: list[Verdict]
    promoted: bool
    summary: str
    holdout: tuple[Delivered, ...]
    n_trials: int
    tables: Mapping[str, pd.DataFrame]


def rank(problem: Problem, records: Mapping[str, OutOfFold], stack: Any, config: Config) -> list[LeaderboardRow]:
    """The leaderboard of members, vote, stack and naive baselines on the out-of-fold rows that all of them cover."""
    vote = np.mean([record.output for record in records.values()], axis=0)
    entries = {**records, VOTE: vote, STACK: stack.oof_}
    rows = problem.development
    return _board(problem, entries, rows, config)


def judge_stack(problem: Problem, board: list[LeaderboardRow], stack: Any, config: Config, ledger: Ledger) -> Judgement:
    """Record every entry as a trial, ask the gates about the stack, then look at the hold-out and count the look."""
    record_trials(problem, board, config, ledger)
    X, y, _ = problem.part(problem.development)
    regimes = regime_proba(stack, X)
    states = None if regimes is None else regimes.argmax(axis=1)
    robustness = assess_robustness(board, STACK, X, y, regime=states, classes=[0, 1], random_state=config.seed)
    gates = with_sanity(gates_from_spec(config.gates))
    asks_for_gap = any(isinstance(gate, OverfittingGap) for gate in gates)  # predicting all training rows takes long
    evidence = gather_evidence(
        board,
        STACK,
        ledger=ledger,
        data_id=problem.data_id,
        latency_ms=one_row_latency(stack, problem),
        train_metrics=training_metrics(problem, stack) if asks_for_gap else {},
        **robustness.facts,
    )
    verdicts = judge(gates, evidence)
    row = next(row for row in board if row.name == STACK)
    delivered = _on_holdout(problem, stack, config)
    claims = {
        name: (row.intervals[name], delivered.intervals[name])
        for name in _CLAIMED
        if name in row.intervals and name in delivered.intervals
    }
    folds = claimed_by_fold(problem, stack, config)
    return Judgement(
        verdicts=verdicts,
        promoted=promotes(verdicts),
        summary=summary(STACK, verdicts),
        holdout=deliver(
            claims,
            folds={name: folds[name] for name in claims},
            ledger=ledger,
            data_id=problem.data_id,
            config=_recipe(config),
        ),
        n_trials=len(ledger.trials(problem.data_id)),
        tables={**robustness.tables, **fragility_tables(problem, stack)},
    )


def record_trials(problem: Problem, board: list[LeaderboardRow], config: Config, ledger: Ledger) -> None:
    """One ledger record per entry that somebody could have chosen; the naive baselines are not choices."""
    for row in board:
        if row.baseline or row.strategy is None:
            continue
        ledger.record(
            data_id=problem.data_id,
            kind="train",
            config=trial_config(config, row.name),
            scores=row.metrics,
            sharpe=row.metrics["sharpe"] / np.sqrt(row.strategy.periods_per_year),
        )


def trial_config(config: Config, name: str) -> dict[str, Any]:
    """What makes a trial a different one: the entry and everything that its predictions depend on."""
    recipe = _recipe(config)
    members = recipe.pop("members")
    return {**recipe, "entry": name, "member": members.get(name, members)}


def one_row_latency(model: Any, problem: Problem) -> float:
    """Median milliseconds of one prediction, given the context rows that the model needs."""
    assets = problem.features.index.get_level_values(0)
    own = np.flatnonzero(assets == assets[0])[-(model.lookback + 1) :]
    block = take(problem.features, own)
    times = []
    for _ in range(23):
        began = time.perf_counter()
        newest_proba(model, block)
        times.append(1e3 * (time.perf_counter() - began))
    return statistics.median(times[3:])


def _recipe(config: Config) -> dict[str, Any]:
    plain = config.dump()
    return {key: plain[key] for key in ("seed", "features", "label", "folds", "holdout", "members", "costs")}


def regime_proba(stack: Any, X: pd.DataFrame) -> np.ndarray | None:
    """Filtered regime probabilities (n, k) from the first member that knows regimes."""
    knowing = next((member for member in stack.members_.values() if hasattr(member, "regime_proba")), None)
    return None if knowing is None else np.asarray(knowing.regime_proba(X))


def _on_holdout(problem: Problem, stack: Any, config: Config) -> LeaderboardRow:
    proba = np.full((len(problem.X), 2), np.nan)
    proba[problem.holdout] = predict_rows(stack.predict_proba, problem.X, problem.holdout, stack.lookback)
    return _board(problem, {STACK: proba[problem.holdout]}, problem.holdout, config)[0]


def claimed_by_fold(problem: Problem, stack: Any, config: Config) -> dict[str, list[Interval]]:
    """What is claimed, in each fold on its own: how far folds differ, the hold-out may differ too.

    A fold of fewer than three times says nothing by itself; one without both classes has no AUC.
    """
    own, times = stack.oof_, time_axis(take(problem.X, problem.development)).times
    found: dict[str, list[Interval]] = {name: [] for name in _CLAIMED}
    for fold in np.unique(own.fold[own.rows]).tolist():
        inside = own.fold == fold
        if len(np.unique(times[inside])) < 3:
            continue
        row = _board(problem, {STACK: own.proba[inside]}, problem.development[inside], config)[0]
        for name, intervals in found.items():
            if name in row.intervals:
                intervals.append(row.intervals[name])
    return found


def _board(problem: Problem, entries: Mapping[str, Any], rows: np.ndarray, config: Config) -> list[LeaderboardRow]:
    return leaderboard(
        entries,
        problem.y[rows],
        problem.forward_return[rows],
        X=take(problem.X, rows),
        classes=np.array([0, 1]),
        costs=config.costs.bps / 1e4,
        horizon=problem.horizon,
        random_state=config.seed,
    )
