"""Reading X: a matrix in time order, with the names, times and assets that came with it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from consilience.base.errors import InvalidInput, invalid


@dataclass(frozen=True)
class TimeAxis:
    """When each row is, and whose it is.

    Attributes
    ----------
    times : (n,) datetime64[ns] or int64 row numbers where X has no time index.
    assets : (n,) int64 codes 0, 1, …; all zero for a single series.
    asset_names : one per code.
    """

    times: np.ndarray
    assets: np.ndarray
    asset_names: tuple[str, ...]


def time_axis(X: Any) -> TimeAxis:
    """Times and assets of X: from a DatetimeIndex, from an (asset, time) MultiIndex, or row numbers otherwise.

    Raises
    ------
    InvalidInput : times that repeat or go backwards within one asset.
    """
    n_rows = len(X) if hasattr(X, "__len__") else len(np.asarray(X))
    index = getattr(X, "index", None)
    if isinstance(index, pd.MultiIndex):
        if index.nlevels != 2:
            raise InvalidInput(f"The index of X must have the two levels (asset, time); it has {index.nlevels}.")
        codes, names = pd.factorize(index.get_level_values(0), sort=True)
        axis = TimeAxis(
            _as_times(index.get_level_values(1)), codes.astype(np.int64), tuple(str(name) for name in names)
        )
    elif isinstance(index, pd.DatetimeIndex):
        axis = TimeAxis(_as_times(index), np.zeros(n_rows, np.int64), ("",))
    else:
        return TimeAxis(np.arange(n_rows, dtype=np.int64), np.zeros(n_rows, np.int64), ("",))
    _check_order(axis)
    return axis


def _as_times(level: pd.Index) -> np.ndarray:
    if not isinstance(level, pd.DatetimeIndex):
        raise InvalidInput(f"The time level of X's index must hold timestamps; it holds {level.dtype}.")
    if level.tz is not None:
        level = level.tz_convert("UTC").tz_localize(None)
    times = level.to_numpy().astype("datetime64[ns]")
    if np.isnat(times).any():
        raise InvalidInput(f"X has a missing timestamp in row {int(np.flatnonzero(np.isnat(times))[0])}.")
    return times


def _check_order(axis: TimeAxis) -> None:
    order = np.argsort(axis.assets, kind="stable")
    same_asset = axis.assets[order][1:] == axis.assets[order][:-1]
    bad = same_asset & (axis.times[order][1:] <= axis.times[order][:-1])
    if bad.any():
        row = int(order[1:][bad][0])
        raise InvalidInput(
            f"X must be in time order without repeated times within each asset; row {row} ({axis.times[row]}) is not "
            "later than the row before it. Sort it and drop duplicates first."
        )


def check_one_series(X: Any) -> None:
    """Refuse rows of more than one asset, or out of time order; rows without times pass. Costs microseconds.

    Raises
    ------
    InvalidInput : several assets, or times that repeat or go backwards.
    """
    index = getattr(X, "index", None)
    if isinstance(index, pd.MultiIndex) and index.nlevels == 2 and isinstance(index.levels[1], pd.DatetimeIndex):
        own = index.codes[0]
        if (own != own[0]).any():
            names = ", ".join(map(str, index.get_level_values(0).unique()[:3]))
            raise InvalidInput(
                f"X must hold the rows of one asset here; it has those of several ({names}, …). Give each asset's rows "
                "on their own, or ask consilience.base.predict_newest, which does."
            )
        stamps = index.levels[1].asi8[index.codes[1]]
    elif isinstance(index, pd.DatetimeIndex):
        stamps = index.asi8
    elif isinstance(index, pd.MultiIndex):
        stamps = time_axis(X).times  # which says what is wrong with this index
    else:
        return
    if (stamps[1:] <= stamps[:-1]).any():
        time_axis(X)  # says which row it is


def context_rows(axis: TimeAxis, rows: np.ndarray, lookback: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Split the rows to predict into blocks, each with the earlier rows of the same asset that its predictions need.

    Parameters
    ----------
    rows : (m,) sorted row positions to predict.
    lookback : earlier rows that one prediction needs.

    Returns
    -------
    list of (positions, keep): positions (p,) to pass to ``predict_proba``, keep (p,) bool, True for outputs to use.
    A block never bridges a gap in an asset's rows, so a window never jumps over left-out time.
    """
    wanted = np.zeros(len(axis.assets), bool)
    wanted[rows] = True
    if lookback == 0:
        return [(np.flatnonzero(wanted), np.ones(int(wanted.sum()), bool))]
    blocks = []
    for code in range(len(axis.asset_names)):
        own = np.flatnonzero(axis.assets == code)
        inside = wanted[own]
        edges = np.diff(np.concatenate([[0], inside.astype(np.int8), [0]]))
        for start, stop in zip(np.flatnonzero(edges == 1).tolist(), np.flatnonzero(edges == -1).tolist()):
            first = max(0, start - lookback)
            positions = own[first:stop]
            blocks.append((positions, np.arange(first, stop) >= start))
    return blocks


def predict_rows(predict: Any, X: Any, rows: np.ndarray, lookback: int) -> np.ndarray:
    """Outputs of ``predict`` (a bound ``predict`` or ``predict_proba``) for some rows of X, each with its context."""
    axis = time_axis(X)
    out: np.ndarray | None = None
    place = np.full(len(axis.assets), -1, np.int64)
    place[rows] = np.arange(len(rows))
    for positions, keep in context_rows(axis, rows, lookback):
        block = np.asarray(predict(take(X, positions)))
        if out is None:
            out = np.empty((len(rows), *block.shape[1:]), block.dtype)
        out[place[positions[keep]]] = block[keep]
    if out is None:
        raise invalid("rows", "predict_rows", "at least one row", rows)
    return out


def predict_newest(predictor: Any, X: pd.DataFrame, newest: int = 1) -> pd.DataFrame:
    """A classifier's probabilities of each asset's newest rows, from those rows and the ``lookback`` rows before them.

    Parameters
    ----------
    predictor : a fitted classifier. X : (n, d) features, index (asset, time) or time. newest : rows per asset.

    Returns
    -------
    DataFrame with one column ``p_<class>`` per class, and those rows of X's index.
    """
    if not isinstance(newest, int) or newest < 1:
        raise invalid("newest", "predict_newest", "an integer >= 1", newest)
    columns = [f"p_{label}" for label in predictor.classes_]
    if _one_asset(X.index):  # what a server asks for
        check_one_series(X)
        n_rows = min(newest, len(X))
        proba = newest_proba(predictor, X.iloc[-(newest + predictor.lookback) :], n_rows)
        return pd.DataFrame(proba, X.index[-n_rows:], columns)
    axis = time_axis(X)
    rows, blocks = [], []
    for code in range(len(axis.asset_names)):
        own = np.flatnonzero(axis.assets == code)
        rows.append(own[-newest:])
        block = take(X, own[-(newest + predictor.lookback) :])
        blocks.append(newest_proba(predictor, block, len(rows[-1])))
    place = np.concatenate(rows)
    order = np.argsort(place)
    return pd.DataFrame(np.concatenate(blocks)[order], index=X.index[place[order]], columns=columns)


def _one_asset(index: pd.Index) -> bool:
    """Whether the rows are seen at once to be of one asset; a missing name or time is left to ``time_axis`` to name."""
    if len(index) == 0:
        return False
    if not isinstance(index, pd.MultiIndex):
        return isinstance(index, pd.DatetimeIndex) and not index.hasnans
    own = index.codes[0]
    return index.nlevels == 2 and own[0] >= 0 and bool((own == own[0]).all()) and bool((index.codes[1] >= 0).all())


def newest_proba(predictor: Any, X: Any, n: int = 1) -> np.ndarray:
    """Probabilities (n, n_classes) of the last n rows of one asset's block; ensembles have a faster way to them."""
    fast = getattr(predictor, "predict_newest_proba", None)
    return np.asarray(fast(X, n) if fast is not None else predictor.predict_proba(X)[-n:])


def take(X: Any, rows: np.ndarray) -> Any:
    """Rows of an array or a DataFrame, by position."""
    return X.iloc[rows] if hasattr(X, "iloc") else np.asarray(X)[rows]
