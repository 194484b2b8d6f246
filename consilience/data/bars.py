"""Loading OHLCV bars into one form: columns open, high, low, close, volume; index (asset, time), in time order."""

from pathlib import Path

import numpy as np
import pandas as pd

from consilience.base.errors import InvalidInput, MissingDependency, nearest

COLUMNS = ("open", "high", "low", "close", "volume")
_PRICES = ("open", "high", "low", "close")


def load_csv(path: str | Path) -> pd.DataFrame:
    """Read a CSV file with the columns date, open, high, low, close, volume, and asset for a panel.

    Returns
    -------
    DataFrame, float64, columns open, high, low, close, volume; MultiIndex (asset, time), ordered by time, then asset.
    Without an ``asset`` column the file's name is the asset.

    Raises
    ------
    InvalidInput : a missing or unreadable file, a missing column, or a value that cannot be a price (``check_bars``).
    """
    path = Path(path)
    if not path.is_file():
        raise InvalidInput(f"There is no file {path}. Give the path of a CSV file: data.path=prices.csv")
    try:
        table = pd.read_csv(path)
    except (ValueError, UnicodeDecodeError, OSError) as error:
        raise InvalidInput(f"{path} cannot be read as CSV: {str(error).strip()}") from error
    table.columns = [str(column).strip().lower() for column in table.columns]
    for column in ("date", *COLUMNS):
        if column not in table.columns:
            hint = nearest(column, table.columns) or f" The columns are {', '.join(table.columns)}."
            raise InvalidInput(f"{path} has no column {column!r}.{hint}")
    times = pd.to_datetime(table["date"], errors="coerce", utc=True).dt.tz_localize(None)
    if times.isna().any():
        row = int(np.flatnonzero(times.isna())[0])
        raise InvalidInput(f"{path}, line {row + 2}: {table['date'].iloc[row]!r} is not a date; use YYYY-MM-DD.")
    assets = table["asset"].astype(str) if "asset" in table.columns else pd.Series(path.stem, index=table.index)
    bars = pd.DataFrame(index=table.index)
    for column in COLUMNS:
        bars[column] = pd.to_numeric(table[column], errors="coerce")
        bad = np.flatnonzero(bars[column].isna())
        if len(bad):
            shown = table[column].iloc[bad[0]]
            came = "is missing" if pd.isna(shown) else f"is {shown!r}, not a number"
            raise InvalidInput(f"{path}, line {bad[0] + 2}: {column} {came}; fill or drop that row.")
    bars.index = pd.MultiIndex.from_arrays([assets, times], names=["asset", "time"])
    return check_bars(bars, str(path))


def load_demo() -> pd.DataFrame:
    """Daily S&P 500 and NASDAQ bars, 1999 to 2018, from the package ``arch`` (extra ``demo``)."""
    try:
        from arch.data import nasdaq, sp500
    except ImportError as error:
        raise MissingDependency(
            "The demo's index data comes with the package arch; install it with: pip install 'consilience[demo]'"
        ) from error
    frames = []
    for asset, module in (("NASDAQ", nasdaq), ("SP500", sp500)):
        table = module.load().rename(columns=str.lower)[list(COLUMNS)]
        table.index = pd.MultiIndex.from_product([[asset], pd.DatetimeIndex(table.index)], names=["asset", "time"])
        frames.append(table)
    return check_bars(pd.concat(frames), "the demo data")


def check_bars(bars: pd.DataFrame, source: str = "bars") -> pd.DataFrame:
    """Hold bars to what the rest relies on, and put them in time order across assets.

    Parameters
    ----------
    bars : DataFrame with the columns of ``COLUMNS``; MultiIndex (asset, time), each asset's rows in time order.
    source : what to call them in an error.

    Raises
    ------
    InvalidInput : times unsorted or repeated within an asset, a price that is NaN, infinite, zero or negative,
        a high below the low, a negative volume; the text names the asset, the time and the column.
    """
    if len(bars) == 0:
        raise InvalidInput(f"{source} holds no rows.")
    for asset, own in bars.groupby(level=0, sort=True):
        times = own.index.get_level_values(1)
        steps = np.diff(times.to_numpy().astype("datetime64[ns]").astype(np.int64))
        if (steps == 0).any():
            raise InvalidInput(
                f"{source}: {asset} has two rows for {_day(times[int(np.argmax(steps == 0))])}; keep one."
            )
        if (steps < 0).any():
            place = int(np.argmax(steps < 0))
            raise InvalidInput(
                f"{source}: {asset} is not in time order: {_day(times[place + 1])} comes after {_day(times[place])}; "
                "sort the rows by date."
            )
        _check_values(own, asset, times, source)
    ordered = bars.loc[:, list(COLUMNS)].astype(np.float64)
    ordered.index = ordered.index.set_names(["asset", "time"])
    return ordered.sort_index(level=["time", "asset"], sort_remaining=False)


def _check_values(own: pd.DataFrame, asset: object, times: pd.Index, source: str) -> None:
    for column in COLUMNS:
        values = own[column].to_numpy(dtype=np.float64)
        bad = ~np.isfinite(values)
        required = "a finite number"
        if not bad.any():
            bad = values <= 0 if column in _PRICES else values < 0
            required = "above zero" if column in _PRICES else "zero or more"
        if bad.any():
            place = int(np.argmax(bad))
            raise InvalidInput(
                f"{source}: {asset}, {_day(times[place])}: {column} is {values[place]:g}; it must be {required}."
            )
    crossed = own["high"].to_numpy() < own["low"].to_numpy()
    if crossed.any():
        place = int(np.argmax(crossed))
        row = own.iloc[place]
        raise InvalidInput(
            f"{source}: {asset}, {_day(times[place])}: high {row['high']:g} is below low {row['low']:g}."
        )


def _day(time: pd.Timestamp) -> str:
    return str(time.date()) if time == time.normalize() else str(time)
