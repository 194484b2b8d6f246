"""Every predictor beside the naive baselines, on the same rows, each measure with its interval."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from consilience.base import InvalidInput, TimeAxis, time_axis
from consilience.evaluation.bootstrap import Interval, optimal_block_length, percentile_interval, stationary_bootstrap
from consilience.evaluation.classification import calibration_noise, classification_metrics, log_losses
from consilience.evaluation.out_of_fold import OutOfFold
from consilience.evaluation.resampled_scores import resampled_scores
from consilience.evaluation.resampled_trading import resampled_trading
from consilience.evaluation.trading import StrategyReturns, positions, strategy_returns, trading_metrics

MAJORITY, BUY_AND_HOLD = "majority class", "buy and hold"


@dataclass(frozen=True)
class LeaderboardRow:
    """One entry: metrics by name, and an interval for each that has one. A metric that does not exist is left out.

    ``strategy`` are its returns, ``losses`` (t,) its log loss per distinct time, ``rows`` (m,) the rows it was measured
    on, ``proba`` (m, k) its probabilities there; the last three are None for buy-and-hold but for ``rows``.
    """

    name: str
    metrics: dict[str, float]
    intervals: dict[str, Interval]
    baseline: bool = False
    strategy: StrategyReturns = field(repr=False, kw_only=True)
    losses: np.ndarray | None = field(default=None, repr=False)
    proba: np.ndarray | None = field(default=None, repr=False)
    rows: np.ndarray | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, without the return series."""
        bounds = {name: [value.lower, value.upper] for name, value in self.intervals.items()}
        return {"name": self.name, "baseline": self.baseline, "metrics": dict(self.metrics), "intervals": bounds}


@dataclass(frozen=True)
class _Ground:
    """What all entries are measured on."""

    axis: TimeAxis
    rows: np.ndarray
    y: np.ndarray
    classes: np.ndarray
    forward: np.ndarray
    trade: dict[str, Any]
    level: float
    samples: np.ndarray
    step: np.ndarray
    counts: np.ndarray


def leaderboard(
    entries: Mapping[str, OutOfFold | np.ndarray],
    y: Any,
    forward_return: Any,
    *,
    X: Any = None,
    classes: Any = None,
    costs: float = 0.0005,
    slippage: float = 0.0,
    horizon: int = 1,
    periods_per_year: float | None = None,
    sizing: str = "sign",
    long_only: bool = False,
    level: float = 0.95,
    n_samples: int = 1000,
    block_length: float | None = None,
    random_state: int = 0,
) -> list[LeaderboardRow]:
    """Log loss, AUC, accuracy, … and the trading measures after costs, with stationary-bootstrap intervals.

    Parameters
    ----------
    entries : name to OutOfFold, or to probabilities (n, k) with NaN rows where there is none.
    y : (n,) labels; forward_return : (n,) simple returns over the label period, from the row's time.
    X : the data whose index gives times and assets; without it the rows are one series. Returns of a panel are the mean
        over the assets of a day.
    classes : the labels from falling to rising; by default the sorted labels of y.
    costs, slippage, horizon, periods_per_year, sizing, long_only : see ``strategy_returns`` and ``positions``.
    level, n_samples, block_length : of the intervals. Whole days are resampled, all entries with the same samples;
        blocks are as long as the buy-and-hold returns ask for, and never shorter than the label horizon.

    Returns
    -------
    rows : the entries in the order given, then "majority class" (each fold's training base rate) and "buy and hold".
        All are measured on the rows that every entry covers.
    """
    labels, forward = np.asarray(y), np.asarray(forward_return, np.float64)
    known = np.unique(labels) if classes is None else np.asarray(classes)
    axis = time_axis(labels if X is None else X)
    if len(axis.times) != len(labels) or len(forward) != len(labels):
        raise InvalidInput("X, y and forward_return must have the same number of rows.")
    probas = {name: _proba(name, entry, len(labels), len(known)) for name, entry in entries.items()}
    rows = _common_rows(probas, forward)
    trade: dict[str, Any] = {
        "costs": costs,
        "slippage": slippage,
        "horizon": horizon,
        "periods_per_year": periods_per_year,
    }
    hold = strategy_returns(axis, rows, np.ones(len(rows)), forward[rows], **trade)
    length = max(float(horizon), optimal_block_length(hold.returns)) if block_length is None else block_length
    samples = stationary_bootstrap(len(hold.times), length, n_samples, random_state)
    counts = np.stack([np.bincount(sample, minlength=len(hold.times)) for sample in samples]).astype(np.float64)
    step = np.searchsorted(hold.times, axis.times[rows])
    ground = _Ground(axis, rows, labels[rows], known, forward[rows], trade, level, samples, step, counts)
    board = [
        _row(ground, name, proba[rows], positions(proba[rows], sizing=sizing, long_only=long_only))
        for name, proba in probas.items()
    ]
    base = _base_rate(entries, labels, known, horizon)[rows]
    board.append(_row(ground, MAJORITY, base, positions(base, sizing=sizing, long_only=long_only), baseline=True))
    board.append(_row(ground, BUY_AND_HOLD, None, np.ones(len(rows)), baseline=True))
    return board


def _proba(name: str, entry: OutOfFold | np.ndarray, n_rows: int, n_classes: int) -> np.ndarray:
    proba = entry.proba if isinstance(entry, OutOfFold) else np.asarray(entry, np.float64)
    if proba is not None and proba.ndim == 1:
        proba = np.column_stack([1.0 - proba, proba])
    if proba is None or proba.shape != (n_rows, n_classes):
        got = "a regressor's values" if proba is None else f"the shape {proba.shape}"
        raise InvalidInput(f"The entry {name!r} must hold probabilities of shape ({n_rows}, {n_classes}); got {got}.")
    return proba


def _common_rows(probas: dict[str, np.ndarray], forward: np.ndarray) -> np.ndarray:
    if not probas:
        raise InvalidInput("A leaderboard needs at least one entry.")
    covered = np.isfinite(forward)
    for proba in probas.values():
        covered = covered & np.isfinite(proba).all(axis=1)
    rows = np.flatnonzero(covered)
    if len(rows) < 3:
        raise InvalidInput(f"Only {len(rows)} rows are covered by all of {', '.join(probas)}; nothing can be compared.")
    return rows


def _base_rate(entries: Mapping[str, Any], y: np.ndarray, classes: np.ndarray, horizon: int) -> np.ndarray:
    """(n, k) base rate of each fold's training labels, or of all labels known before a row where no entry has folds."""
    for entry in entries.values():
        if isinstance(entry, OutOfFold) and entry.baseline is not None and entry.baseline.ndim == 2:
            return np.where(np.isfinite(entry.baseline), entry.baseline, 1.0 / len(classes))
    seen = np.cumsum(y[:, None] == classes, axis=0, dtype=np.float64)
    known = np.vstack([np.zeros((horizon, len(classes))), seen])[: len(y)]
    return (known + 1.0) / (known + 1.0).sum(axis=1, keepdims=True)


def _row(
    ground: _Ground, name: str, proba: np.ndarray | None, position: np.ndarray, *, baseline: bool = False
) -> LeaderboardRow:
    strategy = strategy_returns(ground.axis, ground.rows, position, ground.forward, **ground.trade)
    metrics = {} if proba is None else classification_metrics(ground.y, proba, ground.classes)
    metrics |= strategy_metrics(strategy)
    replicates = strategy_replicates(strategy, ground.samples, ground.counts)
    losses = None
    if proba is not None:
        losses = np.bincount(ground.step, log_losses(ground.y, proba, ground.classes)) / np.bincount(ground.step)
        replicates |= resampled_scores(ground.y, proba, ground.classes, ground.step, ground.counts)
        if proba.shape[1] == 2:
            metrics["calibration_noise"] = noise = calibration_noise(proba[:, 1], horizon=strategy.horizon)
            # Resampling adds as much chance again as the data already hold; independent parts add in squares.
            resampled = replicates["calibration_error"]
            replicates["calibration_error"] = np.sqrt(np.maximum(resampled**2 - noise**2, 0.0))
    intervals = {
        key: percentile_interval(metrics[key], values, ground.level)
        for key, values in replicates.items()
        if key in metrics
    }
    return LeaderboardRow(
        name, metrics, intervals, baseline, strategy=strategy, losses=losses, proba=proba, rows=ground.rows
    )


# With overlapping label periods, ratios come from label-period returns and these from the equity of the split capital.
_PATH = ("annual_return", "calmar", "max_drawdown", "max_drawdown_length")


def strategy_metrics(strategy: StrategyReturns) -> dict[str, float]:
    """The trading measures of one strategy."""
    rate, horizon = strategy.periods_per_year, strategy.horizon
    metrics = trading_metrics(
        strategy.returns, periods_per_year=rate, turnover=strategy.turnover, exposure=strategy.exposure
    )
    if horizon > 1:
        path = trading_metrics(strategy.returns / horizon, periods_per_year=rate * horizon)
        metrics |= {name: path[name] for name in _PATH}
    return metrics


def strategy_replicates(strategy: StrategyReturns, samples: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
    """(b,) each trading measure in each bootstrap sample (b, t), given also as counts (b, t)."""
    rate, horizon = strategy.periods_per_year, strategy.horizon
    found = resampled_trading(strategy.returns, samples, periods_per_year=rate)
    if horizon > 1:
        path = resampled_trading(strategy.returns / horizon, samples, periods_per_year=rate * horizon)
        found |= {name: path[name] for name in _PATH}
    n = len(strategy.returns)
    return found | {"turnover": counts @ strategy.turnover / n * rate, "exposure": counts @ strategy.exposure / n}
