"""What positions earn after costs, and the measures of a return series. All returns are simple returns per period.

Conventions, where libraries differ: means and volatilities are of simple returns, the standard deviation has ddof = 1,
annualisation multiplies Sharpe and Sortino by sqrt(periods) and compounds the annual return; downside deviation is the
root mean square of the returns below the target over *all* periods; a drawdown is <= 0 and counts from the initial
capital. A ratio whose denominator is zero is 0 where its numerator is too, and infinite with its numerator's sign
otherwise: never NaN. Measures agree with empyrical-reloaded 0.5 where that gives a number.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from consilience.base import InvalidInput, TimeAxis, invalid
from consilience.base.magnitude import magnitude

YEAR = 365.25 * 24 * 3600 * 1e9  # nanoseconds


@dataclass(frozen=True)
class StrategyReturns:
    """One strategy, step by step; in a panel a step's numbers are means over the assets present.

    Attributes
    ----------
    times : (t,) the distinct times, datetime64[ns] or row numbers.
    returns : (t,) simple returns after costs over the label period that begins at that time.
    turnover : (t,) position traded per step, in units of capital. exposure : (t,) absolute position.
    horizon : steps per label period; returns of neighbouring steps overlap when it is more than one.
    periods_per_year : label periods per year, which annualises ``returns``.
    """

    times: np.ndarray
    returns: np.ndarray
    turnover: np.ndarray
    exposure: np.ndarray
    horizon: int
    periods_per_year: float

    @property
    def equity(self) -> np.ndarray:
        """(t,) wealth from 1 of capital, split over the overlapping label periods."""
        return compound(self.returns / self.horizon)


def positions(
    output: np.ndarray, *, sizing: str = "sign", threshold: float = 0.0, long_only: bool = False
) -> np.ndarray:
    """Positions in [-1, 1] from class probabilities (n, k), ordered from falling to rising, or from forecasts (n,).

    Parameters
    ----------
    sizing : "sign" holds -1, 0 or 1; "linear" holds the expected direction itself (forecasts are clipped to [-1, 1]).
    threshold : expected directions no larger than this are not traded.
    long_only : negative positions become 0.

    >>> positions(np.array([[0.4, 0.6], [0.9, 0.1], [0.5, 0.5]])).tolist()
    [1.0, -1.0, 0.0]
    """
    if sizing not in ("sign", "linear"):
        raise invalid("sizing", "positions", "'sign' or 'linear'", sizing)
    values = np.asarray(output, np.float64)
    expected = values if values.ndim == 1 else values @ np.linspace(-1.0, 1.0, values.shape[1])
    traded = np.where(np.abs(expected) > threshold, expected, 0.0)
    held = np.sign(traded) if sizing == "sign" else np.clip(traded, -1.0, 1.0)
    return np.maximum(held, 0.0) if long_only else held


def strategy_returns(
    axis: TimeAxis,
    rows: np.ndarray,
    position: np.ndarray,
    forward_return: np.ndarray,
    *,
    costs: float = 0.0,
    slippage: float = 0.0,
    horizon: int = 1,
    periods_per_year: float | None = None,
) -> StrategyReturns:
    """Returns of holding ``position`` over each row's label period, after costs.

    Parameters
    ----------
    axis : times and assets of all rows (``time_axis(X)``); rows : (m,) sorted rows that are traded.
    position, forward_return : (m,) aligned with ``rows``; forward_return is simple, over the label period.
    costs, slippage : each a share of the traded amount, per unit of position changed; 0.0005 is five basis points.
    horizon : steps per label period. With h > 1 the capital is split over h overlapping sub-portfolios, each renewed
        every h steps, so a trade changes the position of h steps before.
    periods_per_year : label periods per year; by default counted from the times (252 steps where there are none).
    """
    position, forward_return = np.asarray(position, np.float64), np.asarray(forward_return, np.float64)
    if not (len(rows) == len(position) == len(forward_return)) or len(rows) == 0:
        raise InvalidInput("strategy_returns needs one position and one forward return for each of at least one row.")
    if not (np.isfinite(position).all() and np.isfinite(forward_return).all()):
        raise InvalidInput(
            "positions and forward returns must be finite; drop the rows whose outcome is not known yet."
        )
    if costs < 0 or slippage < 0:
        raise invalid("costs", "strategy_returns", "a share >= 0", min(costs, slippage))
    assets, times = axis.assets[rows], axis.times[rows]
    traded = np.empty(len(rows))
    for code in np.unique(assets):
        own = np.flatnonzero(assets == code)
        before = np.concatenate([np.zeros(min(horizon, len(own))), position[own][:-horizon]])
        traded[own] = np.abs(position[own] - before)
    gained = position * forward_return - (costs + slippage) * traded
    steps, place = np.unique(times, return_inverse=True)
    count = np.bincount(place)
    returns, turnover, exposure = (np.bincount(place, part) / count for part in (gained, traded, np.abs(position)))
    if periods_per_year is None:
        periods_per_year = steps_per_year(steps) / horizon
    return StrategyReturns(steps, returns, turnover, exposure, horizon, periods_per_year)


def steps_per_year(steps: np.ndarray) -> float:
    """Distinct times per year of calendar time; 252 for row numbers or fewer than three times."""
    if steps.dtype.kind != "M" or len(steps) < 3:
        return 252.0
    span = float((steps[-1] - steps[0]).astype("timedelta64[ns]").astype(np.int64))
    return (len(steps) - 1) * YEAR / span


def trading_metrics(
    returns: np.ndarray,
    *,
    periods_per_year: float = 252.0,
    risk_free: float = 0.0,
    turnover: np.ndarray | None = None,
    exposure: np.ndarray | None = None,
) -> dict[str, Any]:
    """The trading measures of simple returns (n,) as floats, or of each column of (n, k) as arrays (k,).

    ``annual_return`` (compound), ``annual_volatility``, ``sharpe``, ``sortino``, ``calmar``, ``max_drawdown`` (<= 0),
    ``max_drawdown_length`` (periods under water, to recovery or the end), ``win_rate`` (share of the non-zero returns
    that are positive), ``profit_factor`` (gains over losses); with ``turnover`` and ``exposure`` given, ``turnover``
    (per year) and ``exposure`` (mean absolute position).

    Parameters
    ----------
    risk_free : simple return per period, subtracted from each return in Sharpe and Sortino.

    >>> m = trading_metrics(np.array([0.01, -0.02, 0.03]), periods_per_year=252)
    >>> round(m["sharpe"], 4), round(m["max_drawdown"], 4), m["profit_factor"]
    (4.2053, -0.02, 2.0)
    """
    values = np.asarray(returns, np.float64)
    if values.ndim not in (1, 2) or len(values) < 2:
        raise InvalidInput(f"trading_metrics needs at least two returns; got the shape {values.shape}.")
    if not np.isfinite(values).all():
        raise InvalidInput("Returns must be finite; a missing return is not a return of zero.")
    excess = values - risk_free
    mean, deviation, unit = excess.mean(axis=0), std(values), magnitude(excess)
    downside = np.sqrt(np.mean(np.minimum(excess / unit, 0.0) ** 2, axis=0)) * unit
    wealth = compound(values)
    drawdown, length = drawdowns(wealth)
    annual = annual_return(wealth[-1], len(values), periods_per_year)
    gains, losses = np.maximum(values, 0.0).sum(axis=0), -np.minimum(values, 0.0).sum(axis=0)
    wins, trades = (values > 0).sum(axis=0), (values != 0).sum(axis=0)
    root = np.sqrt(periods_per_year)
    out = {
        "annual_return": annual,
        "annual_volatility": deviation * root,
        "sharpe": ratio(mean, deviation) * root,
        "sortino": ratio(mean, downside) * root,
        "calmar": ratio(annual, -drawdown),
        "max_drawdown": drawdown,
        "max_drawdown_length": length,
        "win_rate": wins / np.maximum(trades, 1),
        "profit_factor": ratio(gains, losses),
    }
    if turnover is not None:
        out["turnover"] = np.mean(turnover, axis=0) * periods_per_year
    if exposure is not None:
        out["exposure"] = np.mean(exposure, axis=0)
    return {name: float(value) for name, value in out.items()} if values.ndim == 1 else out


def sharpe_ratio(returns: np.ndarray, *, periods_per_year: float = 252.0, risk_free: float = 0.0) -> Any:
    """Annualised Sharpe ratio (Sharpe 1994) of (n,) or each column of (n, k)."""
    return trading_metrics(returns, periods_per_year=periods_per_year, risk_free=risk_free)["sharpe"]


def compound(returns: np.ndarray) -> np.ndarray:
    """Wealth (n, ...) that began at 1, from simple returns; 0 for ever once everything is lost, at most 1e300.

    >>> compound(np.array([0.5, -3.0, 2.0])).tolist()
    [1.5, 0.0, 0.0]
    """
    growth = np.maximum(1.0 + returns, 0.0)
    with np.errstate(over="ignore", invalid="ignore"):
        wealth: np.ndarray = np.cumprod(growth, axis=0)
    if np.isfinite(wealth).all():
        return wealth
    with np.errstate(divide="ignore"):
        return np.exp(np.minimum(np.cumsum(np.log(growth), axis=0), np.log(1e300)))


def std(values: np.ndarray) -> np.ndarray:
    """Standard deviation (ddof = 1) along axis 0; exactly zero for a constant series, whatever the rounding."""
    constant, unit = (values == values[0]).all(axis=0), magnitude(values)
    return np.where(constant, 0.0, (values / unit).std(axis=0, ddof=1) * unit)


def ratio(numerator: Any, denominator: Any) -> np.ndarray:
    """numerator / denominator, with 0/0 = 0 and x/0 = ±inf."""
    above, below = np.broadcast_arrays(np.asarray(numerator, np.float64), np.asarray(denominator, np.float64))
    nowhere = below == 0.0
    infinite = np.where(above == 0.0, 0.0, np.copysign(np.inf, above))
    with np.errstate(over="ignore"):  # to infinity, as for x/0
        return np.where(nowhere, infinite, above / np.where(nowhere, 1.0, below))


def annual_return(final_wealth: Any, n_periods: int, periods_per_year: float) -> np.ndarray:
    """Compound annual return; -1 once everything is lost, at most 1e300."""
    with np.errstate(over="ignore"):
        return np.minimum(np.maximum(final_wealth, 0.0) ** (periods_per_year / n_periods) - 1.0, 1e300)


def drawdowns(wealth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Deepest drawdown (<= 0, at least -1) and longest time under water, of wealth (n, ...) that began at 1."""
    peak = np.maximum(np.maximum.accumulate(wealth, axis=0), 1.0)
    deepest = np.maximum((wealth / peak - 1.0).min(axis=0), -1.0)
    step = np.arange(1, len(wealth) + 1).reshape(-1, *[1] * (wealth.ndim - 1))
    last_peak = np.maximum.accumulate(np.where(wealth >= peak, step, 0), axis=0)
    return deepest, (step - last_peak).max(axis=0).astype(np.float64)
