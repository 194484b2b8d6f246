"""Win rate, mean profit, Sharpe and agreement of every member in every regime, over all time and over a window."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

METRICS = ("win_rate", "mean_profit", "sharpe")


@dataclass
class TrackRecord:
    """Counts that grow with every outcome, and the newest ``window`` of them.

    Attributes
    ----------
    totals : (n_regimes, n_members, 5) sums of trades, wins, profit, profit squared, agreements with the combination.
    recent : (n_regimes, n_members, window) newest profits, NaN where there is none yet.
    recent_won : the same for wins (1, 0). cursor : (n_regimes, n_members) int64 next place to write.
    """

    totals: np.ndarray
    recent: np.ndarray
    recent_won: np.ndarray
    cursor: np.ndarray

    @classmethod
    def empty(cls, n_regimes: int, n_members: int, window: int) -> "TrackRecord":
        shape = (n_regimes, n_members)
        return cls(
            np.zeros((*shape, 5)),
            np.full((*shape, window), np.nan),
            np.full((*shape, window), np.nan),
            np.zeros(shape, np.int64),
        )

    def add(self, member: int, regime: int, profit: float, won: bool, agreed: bool) -> None:
        """One outcome of one member."""
        self.totals[regime, member] += (1.0, won, profit, profit * profit, agreed)
        place = self.cursor[regime, member] % self.recent.shape[2]
        self.recent[regime, member, place] = profit
        self.recent_won[regime, member, place] = won
        self.cursor[regime, member] += 1

    def windowed(self, metric: str, regime: int) -> tuple[np.ndarray, np.ndarray]:
        """The metric over the window, (n_members,), and how many trades it stands on; 0 without trades."""
        values = self.recent_won[regime] if metric == "win_rate" else self.recent[regime]
        count = np.isfinite(values).sum(axis=1)
        mean = np.nansum(values, axis=1) / np.maximum(count, 1)
        if metric != "sharpe":
            return mean, count
        spread = np.sqrt(np.nansum((values - mean[:, None]) ** 2, axis=1) / np.maximum(count - 1, 1))
        varies = spread > 1e-12 * np.abs(mean)  # what rounding leaves of equal profits is no spread
        return np.divide(mean, spread, out=np.zeros_like(mean), where=varies), count

    def report(self, names: tuple[str, ...], periods_per_year: float) -> pd.DataFrame:
        """One row per (regime, member): trades, win_rate, mean_profit, sharpe (annualised), agreement."""
        trades, wins, profit, squares, agreed = np.moveaxis(self.totals, 2, 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = profit / trades
            spread = np.sqrt((squares - trades * mean**2) / (trades - 1))
            columns = {
                "trades": trades.astype(np.int64),
                "win_rate": wins / trades,
                "mean_profit": mean,
                "sharpe": np.where(spread > 0, mean / spread, np.nan) * np.sqrt(periods_per_year),
                "agreement": agreed / trades,
            }
        index = pd.MultiIndex.from_product([range(len(trades)), names], names=["regime", "member"])
        return pd.DataFrame({name: values.ravel() for name, values in columns.items()}, index=index)


def window_weights(values: np.ndarray, count: np.ndarray, min_trades: int, neutral: float) -> np.ndarray:
    """Weights (n_members,) in proportion to how far the metric is above neutral.

    A member with fewer than ``min_trades`` gets the mean weight of the others; if nobody is above neutral all are
    equal.

    >>> window_weights(np.array([0.60, 0.55, 0.40]), np.array([50, 50, 50]), 20, 0.5).round(3)
    array([0.667, 0.333, 0.   ])
    """
    counted = count >= min_trades
    skill = np.where(counted, np.maximum(values - neutral, 0.0), 0.0)
    if skill.sum() <= 0.0:
        return np.full(len(values), 1.0 / len(values))
    skill = np.where(counted, skill, skill[counted].mean())
    return skill / skill.sum()
