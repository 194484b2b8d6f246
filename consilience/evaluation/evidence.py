"""From a leaderboard to the evidence that gates judge."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from consilience.base import InvalidInput
from consilience.evaluation.gates import Evidence
from consilience.evaluation.leaderboard import LeaderboardRow
from consilience.evaluation.ledger import Ledger
from consilience.evaluation.overfitting import probability_of_backtest_overfitting
from consilience.evaluation.sharpe import deflated_sharpe_ratio
from consilience.evaluation.significance import PairedTest, diebold_mariano


def gather_evidence(
    board: Sequence[LeaderboardRow], name: str, *, ledger: Ledger | None = None, data_id: str = "", **more: Any
) -> Evidence:
    """The evidence on one row of a leaderboard.

    Parameters
    ----------
    board : rows of ``leaderboard``; name : the row to judge.
    ledger, data_id : where the trials on that data are counted, for the deflated Sharpe ratio.
    more : further fields of ``Evidence`` (drift, groups, stress, latency, training metrics).

    It has the metrics and intervals, a paired test against every other row (log loss; against buy-and-hold, returns),
    the deflated Sharpe ratio if the ledger knows trials, and the probability of backtest overfitting over all entries.
    """
    found = [row for row in board if row.name == name]
    if not found:
        raise InvalidInput(f"The leaderboard has no row {name!r}; it has {', '.join(row.name for row in board)}.")
    row = found[0]
    horizon = row.strategy.horizon
    paired = {other.name: _against(row, other, horizon) for other in board if other.name != name}
    facts: dict[str, Any] = {"metrics": row.metrics, "intervals": row.intervals, "paired": paired}
    facts["alternatives"] = tuple(other.name for other in board if not other.baseline and other.name != name)
    if ledger is not None and ledger.trials(data_id):
        deflated = deflated_sharpe_ratio(row.strategy.returns, ledger, data_id, horizon=horizon)
        facts |= {"deflated_sharpe": deflated.probability, "n_trials": deflated.n_trials}
    entries = [other.strategy.returns for other in board if not other.baseline]
    if len(entries) > 1 and len(row.strategy.returns) >= 32:
        selection = probability_of_backtest_overfitting(np.column_stack(entries))
        facts |= {"overfitting": selection.probability, "overfitting_loss": selection.probability_of_loss}
    return Evidence(name=name, **(facts | more))


def _against(row: LeaderboardRow, other: LeaderboardRow, horizon: int) -> PairedTest:
    if row.losses is not None and other.losses is not None:
        return diebold_mariano(row.losses, other.losses, horizon=horizon)
    return diebold_mariano(-row.strategy.returns, -other.strategy.returns, horizon=horizon)
