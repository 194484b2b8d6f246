"""Every trading measure of many strategies in many bootstrap samples at once."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from consilience.base import InvalidInput
from consilience.base.magnitude import magnitude
from consilience.evaluation.trading import annual_return, ratio

_CHUNK = 32  # samples per task: large enough to hide the call, small enough to share the work


def resampled_trading(
    returns: np.ndarray,
    samples: np.ndarray,
    *,
    periods_per_year: float = 252.0,
    risk_free: float = 0.0,
    n_threads: int | None = None,
) -> dict[str, np.ndarray]:
    """``trading_metrics`` (without turnover and exposure) of each resampled series.

    Parameters
    ----------
    returns : (n, k) or (n,) finite simple returns.
    samples : (b, n) positions of ``stationary_bootstrap``.
    n_threads : threads of the compiled pass; by default one per core. The result does not depend on it.

    Returns
    -------
    dict of (b, k) arrays, or (b,) for one series.

    >>> r = np.random.default_rng(0).normal(0, 0.01, 50)
    >>> float(resampled_trading(r, np.arange(50)[None])["max_drawdown"][0]) < 0
    True
    """
    values = np.ascontiguousarray(returns, np.float64)
    matrix = values.reshape(len(values), -1)
    if len(matrix) < 2 or not np.isfinite(matrix).all():
        raise InvalidInput(f"resampled_trading needs at least two finite returns; got the shape {values.shape}.")
    n, k = matrix.shape
    places = np.ascontiguousarray(samples, np.int64)
    if places.ndim != 2 or places.shape[1] != n or (places < 0).any() or (places >= n).any():
        raise InvalidInput(f"samples must be (b, {n}) positions of the returns; got {places.shape}.")
    from consilience.evaluation import _resampled_returns as kernel  # Numba takes a second to import

    unit = magnitude(matrix)
    matrix = matrix / unit
    centre = np.median(matrix, axis=0)
    sums = np.zeros((len(places), kernel.N_SUMS, k))

    def run(first: int) -> None:
        block = slice(first, first + _CHUNK)
        kernel.resampled_sums(matrix, places[block], centre, risk_free / unit, unit, sums[block])

    with ThreadPoolExecutor(n_threads or os.cpu_count() or 1) as threads:
        list(threads.map(run, range(0, len(places), _CHUNK)))
    measures = _measures(sums, n, centre, periods_per_year, risk_free / unit)
    measures["annual_volatility"] = measures["annual_volatility"] * unit
    return {name: value[:, 0] if values.ndim == 1 else value for name, value in measures.items()}


def _measures(
    sums: np.ndarray, n: int, centre: np.ndarray, periods_per_year: float, risk_free: float
) -> dict[str, np.ndarray]:
    """The measures from sums, centre and risk_free in one unit; ``annual_volatility`` is in that unit too."""
    from consilience.evaluation import _resampled_returns as kernel

    total, squares = sums[:, kernel.SUM], sums[:, kernel.SQUARES]
    variance = (squares - total**2 / n) / (n - 1)
    # What rounding leaves of a constant series is not a variance.
    deviation = np.sqrt(np.where(variance > 1e-13 * squares / n, variance, 0.0))
    excess = total / n + centre - risk_free
    downside = np.sqrt(sums[:, kernel.DOWNSIDE] / n)
    drawdown = np.maximum(sums[:, kernel.DRAWDOWN], -1.0)
    annual = annual_return(sums[:, kernel.WEALTH], n, periods_per_year)
    root = np.sqrt(periods_per_year)
    return {
        "annual_return": annual,
        "annual_volatility": deviation * root,
        "sharpe": ratio(excess, deviation) * root,
        "sortino": ratio(excess, downside) * root,
        "calmar": ratio(annual, -drawdown),
        "max_drawdown": drawdown,
        "max_drawdown_length": sums[:, kernel.LONGEST],
        "win_rate": sums[:, kernel.WINS] / np.maximum(sums[:, kernel.TRADES], 1),
        "profit_factor": ratio(sums[:, kernel.GAINS], sums[:, kernel.LOSSES]),
    }
