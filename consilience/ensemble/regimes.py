"""Filtered regime probabilities that no later row has touched, out of fold and live, under one numbering."""

from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from sklearn.base import clone

from consilience.base import InvalidInput, predict_rows, take


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
