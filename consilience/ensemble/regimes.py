"""Filtered regime probabilities that no later row has touched, out of fold and live, under one numbering."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from sklearn.base import clone

from consilience.base import InvalidInput, predict_rows, take, time_axis


def filtered(model: Any, X: Any) -> np.ndarray:
    """Filtered probabilities (n, n_regimes) of a fitted regime model.

    The model has ``transform`` giving a DataFrame with the columns ``regime_0``, ``regime_1``, …
    (``RegimeFeatures``), or ``predict_proba`` giving nothing else (``GaussianHMM``).
    """
    if not hasattr(model, "transform"):
        return np.asarray(model.predict_proba(X), np.float64)
    table = model.transform(X)
    if not isinstance(table, pd.DataFrame) or "regime_0" not in table:
        raise InvalidInput(f"{type(model).__name__} gives no column regime_0, regime_1, …; use RegimeFeatures.")
    names = [name for name in table.columns if str(name).removeprefix("regime_").isdigit()]
    return table[names].to_numpy(np.float64)


def filtered_where_known(model: Any, X: Any, n_regimes: int) -> tuple[np.ndarray, str | None]:
    """``filtered``, with NaN in the rows that the model cannot read, and why, if there are any.

    A model that refuses X gets the rows that hold finite numbers only, and starts afresh after each gap: what it says
    about a row must not hang on rows that come later, so neither must the refusal.
    """
    try:
        proba, reason = filtered(model, X), None
    except Exception as error:
        proba, reason = np.full((len(X), n_regimes), np.nan), f"{type(error).__name__}: {error}"
        rows, pieces = _clean_pieces(X, getattr(model, "feature_names_in_", None))
        if 0 < len(rows) < len(X):
            try:
                with warnings.catch_warnings(action="ignore", category=UserWarning):  # about names of columns
                    proba[rows] = filtered(model, pieces)
            except Exception:
                return proba, reason
    unknown = ~np.isfinite(proba).all(axis=1)
    if reason is None and unknown.any():
        reason = f"{int(unknown.sum())} of {len(unknown)} rows have no regime"
    return proba, reason


def _clean_pieces(X: Any, names: Any) -> tuple[np.ndarray, pd.DataFrame]:
    """The rows without a missing number, each piece between two gaps of an asset as if it were an asset of its own."""
    axis, values = time_axis(X), np.asarray(X, np.float64)
    clean = np.asarray(np.isfinite(values).all(axis=1))
    gaps = np.zeros(len(values), np.int64)
    for code in np.unique(axis.assets):
        own = axis.assets == code
        gaps[own] = np.cumsum(~clean[own])
    rows = np.flatnonzero(clean)
    piece = [f"{asset}.{gap}" for asset, gap in zip(axis.assets[rows], gaps[rows])]
    times = pd.DatetimeIndex(axis.times[rows].astype("datetime64[ns]"))
    index = pd.MultiIndex.from_arrays([piece, times], names=["asset", "time"])
    columns = X.columns if isinstance(X, pd.DataFrame) else names
    return rows, pd.DataFrame(values[rows], columns=columns, index=index)


def match(reference: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The order in which to take the columns of ``other`` (n, k) so that they agree most with ``reference`` (n, k).

    >>> match(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([[0.2, 0.8], [0.7, 0.3]]))
    array([1, 0])
    """
    order: np.ndarray = linear_sum_assignment(-(reference.T @ other))[1]
    return order


def regimes_out_of_fold(
    model: Any, X: Any, y: Any, splitter: Any, label_end: Any
) -> tuple[np.ndarray, Any, np.ndarray]:
    """Regime probabilities of every fold's test rows from a model of its training rows, and the model of all rows.

    Regimes have no names of their own: each fold's are numbered as the fold before it numbered them on the rows that
    both know, so that "regime 1" means the same all along.

    Returns
    -------
    proba : (n, n_regimes), NaN where no fold tests.
    model : fitted on all rows. order : (n_regimes,) how to take its columns.
    """
    proba, before, order = None, None, None
    for train, test in splitter.split(X, y, label_end=label_end):
        fitted = clone(model).fit(take(X, train))
        order = _continue(before, order, fitted, take(X, train))
        lookback = int(getattr(fitted, "lookback", 0))
        known = predict_rows(_Filter(fitted), X, test, lookback)[:, order]
        if proba is None:
            proba = np.full((len(X), known.shape[1]), np.nan)
        proba[test] = known
        before = fitted
    final = clone(model).fit(X)
    assert proba is not None
    return proba, final, _continue(before, order, final, X)


def _continue(before: Any, order: np.ndarray | None, model: Any, X: Any) -> np.ndarray:
    """How to take a model's columns so that they continue the numbering of the model before it."""
    own = filtered(model, X)
    if before is None or order is None:
        return np.arange(own.shape[1])
    return match(filtered(before, X)[:, order], own)


class _Filter:
    """A regime model as ``predict_rows`` wants it."""

    def __init__(self, model: Any):
        self.model = model

    def __call__(self, X: Any) -> np.ndarray:
        return filtered(self.model, X)
