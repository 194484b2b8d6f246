"""What a strategy does in crises, under shocks, and in histories that did not happen."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from consilience.base import InvalidInput, invalid
from consilience.evaluation.bootstrap import optimal_block_length, stationary_bootstrap
from consilience.evaluation.resampled_trading import resampled_trading
from consilience.evaluation.trading import StrategyReturns, trading_metrics


def stress_strategy(
    strategy: StrategyReturns,
    market: StrategyReturns,
    *,
    window: int = 60,
    n_windows: int = 3,
    volatility: float = 2.0,
    gap: float = -0.1,
    n_histories: int = 500,
    random_state: int = 0,
) -> dict[str, dict[str, float]]:
    """The trading measures of a strategy under each scenario.

    Parameters
    ----------
    strategy, market : the strategy and buy-and-hold on the same steps (rows of a leaderboard).
    window, n_windows : the crises are the ``n_windows`` disjoint windows of so many steps in which the market lost
        most.
    volatility : returns' deviations from their mean are multiplied by it.
    gap : a move of that size overnight against the position, on the strategy's most exposed day of the worst crisis.
    n_histories : block-bootstrapped alternative histories; the scenario gives each measure's worst twentieth.

    Returns
    -------
    scenario to metrics; scenarios that the data are too short for are left out.
    """
    if len(strategy.returns) != len(market.returns):
        raise InvalidInput("strategy and market must be on the same steps.")
    path, rate = strategy.returns / strategy.horizon, strategy.periods_per_year * strategy.horizon
    found: dict[str, dict[str, float]] = {}

    def add(name: str, returns: np.ndarray) -> None:
        found[name] = trading_metrics(returns, periods_per_year=rate)

    crises = worst_windows(market.returns / market.horizon, window, n_windows)
    for start in crises:
        add(f"crisis from {_day(market.times[start])}", path[start : start + window])
    add(f"volatility x {volatility:g}", path.mean() + volatility * (path - path.mean()))
    if crises:
        within = slice(crises[0], crises[0] + window)
        shocked = path.copy()
        shocked[crises[0] + int(strategy.exposure[within].argmax())] += gap * strategy.exposure[within].max()
        add(f"gap of {gap:+.0%} against the position", shocked)
    samples = stationary_bootstrap(len(path), optimal_block_length(path), n_histories, random_state)
    drawn = resampled_trading(path, samples, periods_per_year=rate)
    found["worst twentieth of alternative histories"] = {
        name: float(np.quantile(values, 0.95 if name in _RISING else 0.05, method="nearest"))
        for name, values in drawn.items()
    }
    return found


_RISING = ("annual_volatility", "max_drawdown_length")  # worse when larger


def worst_windows(returns: np.ndarray, window: int, n_windows: int) -> list[int]:
    """Starts of the disjoint windows with the largest losses, the worst first; windows that gained are left out."""
    if window < 2 or n_windows < 1:
        raise invalid("window", "worst_windows", "at least 2 steps, in at least one window", (window, n_windows))
    if len(returns) < window:
        return []
    total = np.concatenate([[0.0], np.cumsum(np.log1p(np.maximum(returns, -0.999999)))])
    moved = total[window:] - total[:-window]
    starts: list[int] = []
    for start in np.argsort(moved, kind="stable").tolist():
        if len(starts) == n_windows or moved[start] >= 0:
            break
        if all(abs(start - other) >= window for other in starts):
            starts.append(start)
    return starts


def alternative_histories(
    returns: np.ndarray, n_histories: int, *, block_length: float | None = None, random_state: int = 0
) -> np.ndarray:
    """(n_histories, n, ...) block-bootstrapped return histories; the columns of (n, k) stay together."""
    values = np.asarray(returns, np.float64)
    length = optimal_block_length(values) if block_length is None else block_length
    return values[stationary_bootstrap(len(values), length, n_histories, random_state)]


def missing_features(
    predict: Callable[[Any], np.ndarray],
    X: pd.DataFrame,
    score: Callable[[np.ndarray], Mapping[str, float]],
    *,
    columns: Any = None,
) -> pd.DataFrame:
    """What losing one feature does: each column in turn is frozen at its median, as a dead feed filled in would be.

    Parameters
    ----------
    predict : ``predict_proba`` of a fitted predictor; score : its output to metrics.

    Returns
    -------
    DataFrame indexed by feature ("none" first) with the metrics.
    """
    lines = {"none": dict(score(predict(X)))}
    for name in X.columns if columns is None else columns:
        frozen = X.copy()
        frozen[name] = float(X[name].median())
        lines[str(name)] = dict(score(predict(frozen)))
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("missing feature")


def _day(moment: Any) -> str:
    return str(pd.Timestamp(moment).date()) if isinstance(moment, np.datetime64) else f"row {moment}"
