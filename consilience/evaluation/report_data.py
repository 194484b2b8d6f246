"""The plain data that a report shows; training fills it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from consilience.evaluation.gates import Verdict
from consilience.evaluation.holdout import Delivered
from consilience.evaluation.leaderboard import LeaderboardRow


@dataclass
class ReportData:
    """What a report shows; a section whose data are missing is left out.

    Attributes
    ----------
    title : the headline. board : the leaderboard. chosen : name of the row that is judged (the stack).
    y, classes : labels of all rows, for the calibration plot, and the classes in order.
    verdicts : of the chosen row. summary : the verdicts in one sentence.
    price : (t,) Series of closing prices indexed by time.
    regimes : (t, k) DataFrame of *filtered* regime probabilities.
    weights : member to weight. learning_curves : member to one dict of curves per fold.
    importances : member (or "stack") to Series of feature importances.
    holdout : claimed against delivered, one per metric.
    facts : what was done, as label to text (data, folds, costs, seed, …), in order.
    tables : further tables, title to DataFrame.
    """

    title: str
    board: Sequence[LeaderboardRow]
    chosen: str
    y: Any = None
    classes: Any = None
    verdicts: Sequence[Verdict] = ()
    summary: str = ""
    price: pd.Series | None = None
    regimes: pd.DataFrame | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    learning_curves: Mapping[str, Sequence[Mapping[str, Sequence[float]]]] = field(default_factory=dict)
    importances: Mapping[str, pd.Series] = field(default_factory=dict)
    holdout: Sequence[Delivered] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    def row(self, name: str) -> LeaderboardRow | None:
        """The leaderboard's row of that name."""
        return next((row for row in self.board if row.name == name), None)

    def outcome(self) -> tuple[np.ndarray, np.ndarray] | None:
        """(m,) bool whether the last of two classes came, and (m,) the chosen row's probability of it."""
        row = self.row(self.chosen)
        if row is None or row.proba is None or row.rows is None or self.y is None or row.proba.shape[1] != 2:
            return None
        labels = np.asarray(self.y)[row.rows]
        classes = np.unique(np.asarray(self.y)) if self.classes is None else np.asarray(self.classes)
        return labels == classes[-1], row.proba[:, 1]
