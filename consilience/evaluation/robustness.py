"""What is asked of the chosen predictor beyond its scores, in one call: groups, drift, stress, superiority."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from consilience.base import InvalidInput, take, time_axis
from consilience.evaluation.bootstrap import optimal_block_length
from consilience.evaluation.drift import feature_drift
from consilience.evaluation.groups import floor_intervals, group_scores, market_groupings
from consilience.evaluation.leaderboard import BUY_AND_HOLD, MAJORITY, LeaderboardRow
from consilience.evaluation.stress import stress_strategy
from consilience.evaluation.superiority import superior_predictive_ability


@dataclass(frozen=True)
class Robustness:
    """The result of ``assess_robustness``.

    Attributes
    ----------
    facts : fields of ``Evidence`` (groups, stress, drifted, n_features): ``gather_evidence(board, name, **facts)``.
    tables : title to DataFrame, for the report's ``tables``.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)


def assess_robustness(
    board: Sequence[LeaderboardRow],
    name: str,
    X: pd.DataFrame,
    y: Any,
    *,
    regime: np.ndarray | None = None,
    classes: Any = None,
    n_samples: int = 300,
    random_state: int = 0,
) -> Robustness:
    """Assess one row of a leaderboard.

    Parameters
    ----------
    board : rows of ``leaderboard(..., X=X)``; name : the row to assess.
    X : (n, d) features of all rows, indexed by time or (asset, time); y : (n,) labels.
    regime : (n,) most probable filtered regime of each row; -1 or NaN where unknown is a group of its own.
    classes : the labels in the order of the probabilities' columns; by default the sorted labels of y.

    Drift compares the first half of the measured time with the second; groups are asset, side, weekday, year, regime.
    """
    row = next((one for one in board if one.name == name and one.proba is not None), None)
    if row is None or row.proba is None or row.rows is None:
        raise InvalidInput(f"The leaderboard has no row {name!r} with probabilities.")
    rows, labels, axis = row.rows, np.asarray(y), time_axis(X)
    hold = next(one for one in board if one.name == BUY_AND_HOLD)
    groupings = market_groupings(axis, rows, row.proba, None if regime is None else np.asarray(regime)[rows])
    groups = group_scores(
        labels[rows],
        row.proba,
        np.unique(labels) if classes is None else np.asarray(classes),
        axis.times[rows],
        groupings,
        block_length=max(float(row.strategy.horizon), optimal_block_length(row.strategy.returns)),
        n_samples=n_samples,
        random_state=random_state,
    )
    middle = np.median(axis.times[rows].astype(np.int64))
    early = axis.times[rows].astype(np.int64) <= middle
    drift = feature_drift(take(X, rows[early]), take(X, rows[~early]), names=X.columns)
    stress = stress_strategy(row.strategy, hold.strategy, random_state=random_state)
    facts = {
        "groups": floor_intervals(groups),
        "drifted": drift.drifted,
        "n_features": len(drift.table),
        "stress": stress,
    }
    tables = {
        "Scores by group": groups,
        "Stress": pd.DataFrame(stress).T.rename_axis("scenario"),
        "Drift of features, first half to second": drift.table.sort_values("p_value"),
    }
    superiority = _superiority(board, random_state)
    return Robustness(facts, tables if superiority is None else {"Best of many": superiority} | tables)


def _superiority(board: Sequence[LeaderboardRow], seed: int) -> pd.DataFrame | None:
    """Hansen's test of whether any entry's log loss beats the majority class, counting that there are many."""
    base = next((one.losses for one in board if one.name == MAJORITY), None)
    entries = [one for one in board if not one.baseline and one.losses is not None]
    if base is None or not entries:
        return None
    losses = np.column_stack([one.losses for one in entries if one.losses is not None])
    found = superior_predictive_ability(base, losses, random_state=seed)
    line = {"best entry": entries[found.best].name, "log loss gained": found.advantage[found.best]}
    p_values = {"p value": found.p_value, "at least": found.lower, "at most": found.upper}
    return pd.DataFrame([line | p_values], index=pd.Index(["any entry better than the majority class"], name="test"))
