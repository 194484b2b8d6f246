"""What a training gives back."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from consilience.evaluation.gates import Verdict
from consilience.evaluation.holdout import Delivered
from consilience.evaluation.leaderboard import LeaderboardRow
from consilience.evaluation.out_of_fold import OutOfFold
from consilience.training.config import Config


@dataclass(frozen=True)
class Result:
    """A finished training.

    Attributes
    ----------
    config : what was asked for.
    leaderboard : members, vote, stack, naive baselines, on the same out-of-fold rows.
    verdicts : of the gates on the stack; ``promoted`` is whether all passed; ``summary`` says it in a sentence.
    holdout : what out-of-fold claimed beside what the untouched hold-out delivered.
    n_trials : configurations ever evaluated on this market, from the run ledger.
    stack : the fitted ensemble, members refitted on all rows.
    out_of_fold : member name to its predictions.
    latest : probabilities of each asset's newest rows, ``predict`` gives the same.
    version, report : the version in the registry and the report's path.
    seconds : wall time.
    """

    config: Config
    leaderboard: list[LeaderboardRow]
    verdicts: list[Verdict]
    promoted: bool
    summary: str
    holdout: tuple[Delivered, ...]
    n_trials: int
    stack: Any
    out_of_fold: Mapping[str, OutOfFold]
    latest: pd.DataFrame
    version: Any
    report: Path
    source: str
    seconds: float
