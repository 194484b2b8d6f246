"""Measures of forecasts of a number."""

from typing import Any

import numpy as np
from scipy.stats import rankdata

from consilience.base import InvalidInput
from consilience.base.scores import regression_scores
from consilience.evaluation.trading import ratio, std


def regression_metrics(y: Any, predicted: Any, times: np.ndarray | None = None) -> dict[str, float]:
    """RMSE, MAE, R² and, where they exist, MAPE, the rank information coefficient and its ratio.

    Parameters
    ----------
    y, predicted : (n,) numbers.
    times : (n,) for a panel: the rank IC is then the mean over days of the cross-sectional Spearman correlation.

    Units: RMSE and MAE those of y; MAPE a share of |y|, left out where y contains a zero, infinite where it overflows;
    ``rank_ic`` in [-1, 1]
    (Spearman 1904, ties at their mean rank; 0 where a side is constant); ``ic_ratio`` is the mean over the standard
    deviation (ddof = 1) of the daily rank ICs (Grinold & Kahn 2000), per period, for panels with at least two days.

    >>> round(regression_metrics([1.0, 2.0, 3.0], [1.0, 3.0, 2.0])["rank_ic"], 6)
    0.5
    """
    target, forecast = np.asarray(y, np.float64), np.asarray(predicted, np.float64)
    if target.ndim != 1 or target.shape != forecast.shape or len(target) < 2:
        raise InvalidInput(
            f"regression_metrics needs two equally long series (n,); got {target.shape}, {forecast.shape}."
        )
    if not (np.isfinite(target).all() and np.isfinite(forecast).all()):
        raise InvalidInput("y and predicted must be finite.")
    scores = regression_scores(target, forecast)
    if (target != 0).all():
        with np.errstate(over="ignore"):
            scores["mape"] = float(np.mean(np.abs((target - forecast) / target)))
    if times is None:
        scores["rank_ic"] = rank_correlation(target, forecast)
        return scores
    daily = np.array(
        [rank_correlation(target[rows], forecast[rows]) for rows in _same_time(np.asarray(times)) if len(rows) > 1]
    )
    if len(daily):
        scores["rank_ic"] = float(daily.mean())
    if len(daily) > 1:
        scores["ic_ratio"] = float(ratio(daily.mean(), std(daily)))
    return scores


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's correlation; 0 where either side is constant."""
    first, second = (rankdata(side) - (len(side) + 1) / 2.0 for side in (a, b))
    return float(ratio(first @ second, np.sqrt((first @ first) * (second @ second))))


def _same_time(times: np.ndarray) -> list[np.ndarray]:
    order = np.argsort(times, kind="stable")
    return np.split(order, np.flatnonzero(times[order][1:] != times[order][:-1]) + 1)
