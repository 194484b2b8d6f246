"""Intervals from the stationary block bootstrap, which keeps the dependence of neighbouring periods."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from consilience.base import InvalidInput, invalid
from consilience.base.magnitude import magnitude


@dataclass(frozen=True)
class Interval:
    """An estimate with the bounds of its interval at ``level``."""

    estimate: float
    lower: float
    upper: float
    level: float = 0.95


def stationary_bootstrap(n: int, block_length: float, n_samples: int, random_state: int = 0) -> np.ndarray:
    """(n_samples, n) int64 resampled positions (Politis & Romano 1994).

    Blocks start anywhere, have geometric length with mean ``block_length`` (>= 1, in periods) and wrap around the end.

    >>> stationary_bootstrap(5, 1e9, 2, random_state=0).tolist()
    [[3, 4, 0, 1, 2], [3, 4, 0, 1, 2]]
    """
    if n < 1 or n_samples < 1:
        raise InvalidInput(f"A bootstrap needs at least one period and one sample; got {n} and {n_samples}.")
    if not block_length >= 1.0:
        raise invalid("block_length", "stationary_bootstrap", "a mean length >= 1", block_length)
    rng = np.random.default_rng(random_state)
    begins = rng.random((n_samples, n), np.float32) < 1.0 / block_length
    begins[:, 0] = True
    starts = rng.integers(0, n, (n_samples, n), np.int32)
    step = np.arange(n, dtype=np.int32)
    last = np.maximum.accumulate(np.where(begins, step, 0), axis=1)
    return ((np.take_along_axis(starts, last, axis=1) + (step - last)) % n).astype(np.int64)


def optimal_block_length(series: np.ndarray) -> float:
    """Mean block length that minimises the error of the bootstrapped mean's variance, for the stationary bootstrap.

    Politis & White (2004) with the correction of Patton, Politis & White (2009). series : (n,) or (n, k), for which the
    longest over columns is returned. At least 1; 1 for constant or very short series.
    """
    values = np.asarray(series, np.float64).reshape(len(series), -1)
    return max(_block_length(column) for column in values.T)


def _block_length(series: np.ndarray) -> float:
    n = len(series)
    series = series / magnitude(series)
    centred = series - series.mean()
    if n < 10 or not np.any(np.abs(centred) > 1e-14 * np.abs(series).max()):
        return 1.0
    quiet = max(5, int(np.log10(n)))  # this many insignificant lags in a row end the search for dependence
    furthest = min(int(np.ceil(np.sqrt(n))) + quiet, n - 2)
    size = 2 ** int(np.ceil(np.log2(2 * n)))
    spectrum = np.abs(np.fft.rfft(centred, size)) ** 2
    covariance = np.fft.irfft(spectrum, size)[: furthest + 1] / n
    squares = np.cumsum(centred**2)
    early, late = squares[n - 2 - np.arange(furthest)], squares[-1] - squares[:furthest]
    small = np.abs(covariance[:-1]) * n < 2.0 * np.sqrt(np.log10(n) / n * early * late)
    runs = np.convolve(small, np.ones(quiet), "valid") == quiet
    bandwidth = min(2 * max(int(np.argmax(runs)), 1), furthest) if runs.any() else furthest
    lags = np.arange(-bandwidth, bandwidth + 1)
    window = np.clip(2.0 * (1.0 - np.abs(lags) / bandwidth), 0.0, 1.0)
    weighted = window * covariance[np.abs(lags)]
    slope, spectral = float(np.abs(lags) @ weighted), float(weighted.sum())
    if spectral <= 0.0:
        return 1.0
    length = (slope**2 / spectral**2) ** (1.0 / 3.0) * n ** (1.0 / 3.0)
    return float(np.clip(length, 1.0, np.ceil(min(3.0 * np.sqrt(n), n / 3.0))))


def bootstrap_interval(
    statistic: Callable[[np.ndarray], Any],
    data: np.ndarray,
    *,
    level: float = 0.95,
    n_samples: int = 1000,
    block_length: float | None = None,
    random_state: int = 0,
) -> Interval:
    """Percentile interval of ``statistic(data)`` for data (n, ...) in time order; resamples whole periods.

    >>> x = np.random.default_rng(0).standard_normal(500)
    >>> interval = bootstrap_interval(np.mean, x)
    >>> interval.lower < 0 < interval.upper
    True
    """
    values = np.asarray(data, np.float64)
    length = optimal_block_length(values) if block_length is None else block_length
    samples = stationary_bootstrap(len(values), length, n_samples, random_state)
    return percentile_interval(
        float(statistic(values)), np.array([float(statistic(values[rows])) for rows in samples]), level
    )


def bootstrap_metrics(
    measure: Callable[[np.ndarray], Mapping[str, float]],
    n_rows: int,
    *,
    steps: np.ndarray | None = None,
    level: float = 0.95,
    n_samples: int = 1000,
    block_length: float = 1.0,
    random_state: int = 0,
) -> dict[str, Interval]:
    """Percentile interval of every entry of ``measure(rows)``, a dictionary of metrics of the rows at those positions.

    Parameters
    ----------
    n_rows : rows in all, in time order.
    steps : (n_rows,) the step 0, 1, … of each row of a panel; whole steps are then resampled.
    """
    place = np.arange(n_rows) if steps is None else np.asarray(steps)
    order = np.argsort(place, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(place[order])) + 1)
    estimate = measure(np.arange(n_rows))
    replicates: dict[str, list[float]] = {name: [] for name in estimate}
    for sample in stationary_bootstrap(len(parts), block_length, n_samples, random_state):
        drawn = measure(np.concatenate([parts[one] for one in sample]))
        for name, values in replicates.items():
            values.append(drawn.get(name, np.nan))
    return {name: percentile_interval(estimate[name], np.array(replicates[name]), level) for name in estimate}


def percentile_interval(estimate: float, replicates: np.ndarray, level: float = 0.95) -> Interval:
    """The interval between the quantiles of bootstrap replicates (b,); infinite replicates stay at their end."""
    if not 0.0 < level < 1.0:
        raise invalid("level", "percentile_interval", "a share in (0, 1)", level)
    ordered = np.sort(replicates[~np.isnan(replicates)])
    if len(ordered) == 0:
        return Interval(estimate, -np.inf, np.inf, level)
    tail = (1.0 - level) / 2.0
    last = len(ordered) - 1
    return Interval(
        estimate, float(ordered[int(np.floor(tail * last))]), float(ordered[int(np.ceil((1.0 - tail) * last))]), level
    )
