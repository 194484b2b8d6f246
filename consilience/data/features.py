"""Features of a bar, each computed from that bar and earlier ones of the same asset.

The indicators are TA-Lib's (https://ta-lib.org); ratios of prices are used rather than prices, so that a feature means
the same in 1999 and in 2018. Recursive indicators never forget completely: after ``WARM_UP`` bars what came before
weighs less than 1e-7, so a file that starts later gives the same features, and the rows before that are dropped.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import talib

from consilience.base.errors import InvalidInput, invalid, nearest

WARM_UP = 250

Bars = dict[str, np.ndarray]  # open, high, low, close, volume of one asset, each (n,)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Quotient, 0 where the denominator is 0 (a flat price, no volume)."""
    out = np.zeros_like(numerator)
    np.divide(numerator, denominator, out=out, where=np.abs(denominator) > 1e-300)
    out[np.isnan(numerator) | np.isnan(denominator)] = np.nan
    return out


def _log_return(bars: Bars, n: int) -> np.ndarray:
    out = np.full(len(bars["close"]), np.nan)
    log_close = np.log(bars["close"])
    out[n:] = log_close[n:] - log_close[:-n]
    return out


def _rolling(values: np.ndarray, window: int, statistic: str) -> np.ndarray:
    # computed window by window, not by a running sum: a running sum carries rounding from the start of the file
    out = np.full(len(values), np.nan)
    if len(values) >= window:
        views = np.lib.stride_tricks.sliding_window_view(values, window)
        out[window - 1 :] = getattr(np, statistic)(views, axis=1)
    return out


def _volatility(bars: Bars, window: int) -> np.ndarray:
    return _rolling(_log_return(bars, 1), window, "std")


def _z_score(values: np.ndarray, window: int) -> np.ndarray:
    return _ratio(values - _rolling(values, window, "mean"), _rolling(values, window, "std"))


def _gap(bars: Bars) -> np.ndarray:
    out = np.full(len(bars["close"]), np.nan)
    out[1:] = np.log(bars["open"][1:] / bars["close"][:-1])
    return out


def _shadow(bars: Bars) -> np.ndarray:
    upper = bars["high"] - np.maximum(bars["open"], bars["close"])
    lower = np.minimum(bars["open"], bars["close"]) - bars["low"]
    return _ratio(upper - lower, bars["high"] - bars["low"])


def _close_location(bars: Bars) -> np.ndarray:
    return _ratio(2 * bars["close"] - bars["high"] - bars["low"], bars["high"] - bars["low"])


def _bollinger(bars: Bars) -> np.ndarray:
    return _z_score(np.log(bars["close"]), 20)


def _macd(bars: Bars) -> np.ndarray:
    return talib.MACD(bars["close"])[2] / bars["close"]


FEATURES: dict[str, Callable[[Bars], np.ndarray]] = {
    "ret_1": lambda b: _log_return(b, 1),
    "ret_5": lambda b: _log_return(b, 5),
    "ret_20": lambda b: _log_return(b, 20),
    "ret_60": lambda b: _log_return(b, 60),
    "gap": _gap,
    "shadow": _shadow,
    "close_location": _close_location,
    "range": lambda b: np.log(b["high"] / b["low"]),
    "vol_20": lambda b: _volatility(b, 20),
    "vol_ratio": lambda b: _ratio(_volatility(b, 5), _volatility(b, 60)),
    "atr_14": lambda b: talib.ATR(b["high"], b["low"], b["close"], 14) / b["close"],
    "rsi_14": lambda b: talib.RSI(b["close"], 14) / 50.0 - 1.0,
    "macd": _macd,
    "adx_14": lambda b: talib.ADX(b["high"], b["low"], b["close"], 14) / 100.0,
    "trend_14": lambda b: (
        (talib.PLUS_DI(b["high"], b["low"], b["close"], 14) - talib.MINUS_DI(b["high"], b["low"], b["close"], 14))
        / 100.0
    ),
    "bollinger_20": _bollinger,
    "sma_50": lambda b: np.log(b["close"] / _rolling(b["close"], 50, "mean")),
    "volume_z": lambda b: _z_score(np.log1p(b["volume"]), 20),
    "volume_trend": lambda b: _ratio(_rolling(b["volume"], 5, "mean"), _rolling(b["volume"], 60, "mean")) - 1.0,
}


def build_features(bars: pd.DataFrame, names: Sequence[str] | None = None) -> pd.DataFrame:
    """The features of every bar after the warm-up of its asset.

    Parameters
    ----------
    bars : DataFrame from ``check_bars``, index (asset, time).
    names : which of ``FEATURES``; all of them by default.

    Returns
    -------
    DataFrame float64, one column per name, index (asset, time), in the order of ``bars``; an asset's first ``WARM_UP``
    bars are left out.

    Raises
    ------
    InvalidInput : an unknown name, an asset with too few bars, or a feature that is not finite.
    """
    chosen = list(FEATURES) if names is None else list(names)
    for name in chosen:
        if name not in FEATURES:
            known = ", ".join(FEATURES)
            raise invalid(
                "features", "build_features", f"names among {known}", name, nearest(str(name), FEATURES).strip()
            )
    assets = bars.index.get_level_values(0)
    values = np.full((len(bars), len(chosen)), np.nan)
    keep = np.zeros(len(bars), bool)
    for asset in assets.unique():
        own = np.flatnonzero(assets == asset)
        if len(own) <= WARM_UP:
            raise InvalidInput(
                f"{asset} has {len(own)} bars; the features need {WARM_UP} bars of history before the first row that "
                f"counts, so at least {WARM_UP + 1}. Give more history."
            )
        arrays = {column: np.ascontiguousarray(bars[column].to_numpy()[own]) for column in bars.columns}
        values[own] = np.column_stack([FEATURES[name](arrays) for name in chosen])
        keep[own[WARM_UP:]] = True
    X = pd.DataFrame(values[keep], index=bars.index[keep], columns=chosen)
    bad = ~np.isfinite(X.to_numpy())
    if bad.any():
        row, column = np.argwhere(bad)[0]
        asset, time = X.index[row]
        raise InvalidInput(
            f"The feature {chosen[column]!r} of {asset} at {time} is not finite; check the bars before it."
        )
    return X
