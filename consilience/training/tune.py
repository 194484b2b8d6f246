"""Search for better settings of one member on the purged folds; every trial goes into the run ledger."""

import hashlib
import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from consilience.base.errors import InvalidInput, nearest
from consilience.base.state import canonical_json
from consilience.evaluation import OutOfFold, out_of_fold
from consilience.evaluation.leaderboard import LeaderboardRow, leaderboard
from consilience.evaluation.ledger import Ledger
from consilience.training.config import Config, MemberConfig
from consilience.training.judgement import trial_config
from consilience.training.members import build_member
from consilience.training.problem import Problem, build_problem, build_splitter, load_bars
from consilience.training.progress import Progress, Silent
from consilience.training.run_folder import LEDGER
from consilience.training.search_spaces import space_of, suggest


@dataclass(frozen=True)
class Found:
    """What a search gave.

    Attributes
    ----------
    params : the best settings, those of the configuration included.
    log_loss, start_log_loss : mean over the folds' rows, with the best settings and with the configuration's own.
    n_trials : trials of this search, resumed ones included.
    config : the configuration that was written. ledger : where the trials are counted.
    """

    params: dict[str, Any]
    log_loss: float
    start_log_loss: float
    n_trials: int
    config: Path
    ledger: Path


def tune(
    config: Config,
    member: str,
    n_trials: int = 20,
    output: Path | None = None,
    *,
    progress: Progress | None = None,
) -> Found:
    """Try settings of one member with Optuna's tree-structured Parzen estimator (Bergstra et al., 2011).

    Parameters
    ----------
    config : the training whose member is tuned; only rows before its hold-out are used.
    member : a name among ``config.members``.
    n_trials : trials in all. The same search started again goes on where it stopped.
    output : the configuration file to write, by default ``<runs>/tuned-<member>.yaml``.

    Raises
    ------
    InvalidInput : an unknown member, a model without a search space, or a folder that cannot be written.
    """
    if member not in config.members:
        known = ", ".join(config.members)
        raise InvalidInput(f"There is no member {member!r}; there are {known}.{nearest(member, config.members)}")
    space = space_of(config.members[member].model)
    target = output or config.output.runs / f"tuned-{member}.yaml"
    _make_folders(config.output.runs, target.parent)
    watch = progress or Silent()
    problem = build_problem(config, load_bars(config)[0])
    trial_of = _Trial(config, member, problem, Ledger(config.output.runs / LEDGER))

    watch.begin(n_trials + 1, f"Tuning {member} ({', '.join(space)})")
    start = trial_of({})
    watch.step(f"the config's settings: log loss {start:.5f}")
    study = _study(config, member, problem)
    for number in range(len(study.trials), n_trials):
        study.optimize(lambda trial: trial_of(suggest(trial, space)), n_trials=1)
        watch.step(f"trial {number + 1}: best log loss {min(start, study.best_value):.5f}")
    best = study.best_params if study.trials and study.best_value < start else {}
    _write(config, member, best, target)
    return Found(
        params=trial_of.member(best).params,
        log_loss=min(start, study.best_value),
        start_log_loss=start,
        n_trials=len(study.trials),
        config=target,
        ledger=trial_of.ledger.path,
    )


@dataclass(frozen=True)
class _Trial:
    """One trial: out-of-fold log loss of the member with some settings, recorded in the ledger."""

    config: Config
    name: str
    problem: Problem
    ledger: Ledger

    def member(self, drawn: dict[str, Any]) -> MemberConfig:
        own = self.config.members[self.name]
        return own.model_copy(update={"params": {**own.params, **drawn}})

    def __call__(self, drawn: dict[str, Any]) -> float:
        member = self.member(drawn)
        X, y, label_end = self.problem.part(self.problem.development)
        predictor = build_member(self.name, member, self.config.seed, build_splitter(self.config))
        record = out_of_fold(predictor, X, y, build_splitter(self.config), label_end=label_end, name=self.name)
        row = self._score(record)
        changed = self.config.model_copy(update={"members": {**self.config.members, self.name: member}})
        assert row.strategy is not None
        self.ledger.record(
            data_id=self.problem.data_id,
            kind="tune",
            config=trial_config(changed, self.name),
            scores=row.metrics,
            sharpe=row.metrics["sharpe"] / np.sqrt(row.strategy.periods_per_year),
        )
        return row.metrics["log_loss"]

    def _score(self, record: OutOfFold) -> LeaderboardRow:
        rows = self.problem.development
        return leaderboard(
            {self.name: record},
            self.problem.y[rows],
            self.problem.forward_return[rows],
            X=self.problem.X.iloc[rows],
            costs=self.config.costs.bps / 1e4,
            horizon=self.problem.horizon,
            n_samples=100,
        )[0]


def _study(config: Config, member: str, problem: Problem) -> Any:
    """The study of this search, kept in a journal file so that an interrupted search goes on."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(logging.WARNING)
    content = canonical_json([config.dump(), member, problem.snapshot])
    journal = config.output.runs / "tuning.journal"
    return optuna.create_study(
        study_name=f"{member}-{hashlib.sha256(content.encode()).hexdigest()[:16]}",
        storage=JournalStorage(JournalFileBackend(str(journal))),
        sampler=optuna.samplers.TPESampler(seed=config.seed),
        direction="minimize",
        load_if_exists=True,
    )


def _make_folders(*folders: Path) -> None:
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInput(f"Cannot write to {folder}: {error.strerror}.") from error


def _write(config: Config, member: str, best: dict[str, Any], target: Path) -> None:
    own = config.members[member]
    tuned = own.model_copy(update={"params": {**own.params, **best}})
    changed = config.model_copy(update={"members": {**config.members, member: tuned}})
    handle, name = tempfile.mkstemp(dir=target.parent, suffix=".partial")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(f"# consilience tune {member}\n{changed.to_yaml()}")
    Path(name).replace(target)
