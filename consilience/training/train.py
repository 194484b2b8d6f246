"""The recipe, from bars to a version: every step is one call, and nothing flows back."""

import shutil
import time
from pathlib import Path
from typing import Any

from consilience.base import predict_newest
from consilience.evaluation import OutOfFold, out_of_fold
from consilience.registry import Registry
from consilience.training import judgement, run_report
from consilience.training.config import Config
from consilience.training.members import build_ensemble, build_members
from consilience.training.problem import Problem, build_problem, build_splitter, load_bars
from consilience.training.progress import Progress, Silent
from consilience.training.publication import publish
from consilience.training.result import Result
from consilience.training.run_folder import RunFolder


def train(config: Config | None = None, *, progress: Progress | None = None) -> Result:
    """Train every member on the same purged folds, stack them, judge the stack, store it, write the report.

    Parameters
    ----------
    config : what to do; the bundled demo by default.
    progress : who is told how far it is.

    Returns
    -------
    Result : leaderboard, verdicts, version, report, and the fitted stack.

    Raises
    ------
    InvalidInput : data or settings that cannot be used; nothing is written then.

    An interrupted training goes on from the last finished fold when the same configuration is trained again. The newest
    ``config.holdout`` of the rows is not looked at before the verdict; the published members are then refitted on all.
    """
    started = time.perf_counter()
    config = config or Config()
    watch = progress or Silent()
    splitter, members = build_splitter(config), build_members(config)
    ensemble = build_ensemble(config, members, splitter)
    bars, source = load_bars(config)
    problem = build_problem(config, bars)
    registry = Registry(config.output.registry)
    folder = RunFolder.begin(config, problem)
    watch.say(describe(problem, source, config))

    records = member_records(members, problem, splitter, folder.cache, watch)
    X, y, label_end = problem.part(problem.development)
    watch.begin(len(members), "Refitting the members before the hold-out")
    stack = ensemble.fit(X, y, label_end=label_end, out_of_fold=records, on_member=lambda name, *_: watch.step(name))
    board = judgement.rank(problem, records, stack, config)
    judged = judgement.judge_stack(problem, board, stack, config, folder.ledger)

    watch.begin(len(members), "Refitting the members on all rows")
    stack.refit_members(problem.X, problem.y, label_end=problem.label_end, on_member=lambda name, *_: watch.step(name))
    version = publish(registry, config, problem, stack, board, judged, source)
    latest = predict_newest(stack, problem.features, newest=5)
    report = run_report.write(folder.path / "report.html", config, problem, stack, records, board, judged, version)
    latest.to_csv(folder.path / "latest.csv", float_format="%.17g")
    shutil.rmtree(folder.cache, ignore_errors=True)
    return Result(
        config=config,
        leaderboard=board,
        verdicts=judged.verdicts,
        promoted=judged.promoted,
        summary=judged.summary,
        holdout=judged.holdout,
        n_trials=judged.n_trials,
        stack=stack,
        out_of_fold=records,
        latest=latest,
        version=version,
        report=report,
        source=source,
        seconds=time.perf_counter() - started,
    )


def member_records(
    members: list[tuple[str, Any]], problem: Problem, splitter: Any, cache: Path, watch: Progress
) -> dict[str, OutOfFold]:
    """Every member's out-of-fold predictions of the development rows, on the same folds."""
    X, y, label_end = problem.part(problem.development)
    watch.begin(len(members) * splitter.get_n_splits(), "Members on purged folds")
    records = {}
    for name, member in members:
        records[name] = out_of_fold(
            member,
            X,
            y,
            splitter,
            label_end=label_end,
            name=name,
            cache=cache,
            on_fold=lambda fold, n_folds, _, name=name: watch.step(f"{name}, fold {fold} of {n_folds}"),  # type: ignore[misc]
        )
    return records


def describe(problem: Problem, source: str, config: Config) -> str:
    """One sentence on what is about to be done."""
    times = problem.X.index.get_level_values(1)
    assets = problem.X.index.get_level_values(0).nunique()
    cut = times[problem.holdout].min()
    return (
        f"{source}: {assets} asset{'s' if assets > 1 else ''}, {len(problem.X)} rows from {times.min():%Y-%m-%d} to "
        f"{times.max():%Y-%m-%d}, {problem.X.shape[1]} features, label {config.label}; hold-out from {cut:%Y-%m-%d}."
    )
