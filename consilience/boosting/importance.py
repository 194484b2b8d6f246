"""Permutation importance, for any predictor, and pictures of importances and contributions."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import is_classifier

from consilience.base import InvalidInput, invalid, time_axis

_UP, _DOWN = "#1f5a96", "#b3541e"


def permutation_importances(
    model: Any, X: Any, y: Any, *, metric: str | None = None, n_repeats: int = 10, random_state: int = 0
) -> pd.DataFrame:
    """How much worse a fitted model becomes on (X, y) when one feature is shuffled (Breiman 2001).

    Parameters
    ----------
    model : any fitted predictor; X, y : rows that it was not fitted on, or the importance of noise is measured too.
    metric : a name that ``model.evaluate`` gives; log loss (classifiers) or RMSE where left out.
    n_repeats : shuffles per feature.

    Returns
    -------
    DataFrame, one row per feature, most important first: ``mean`` and ``std`` of the loss, in units of the metric and
    positive where the feature helps. Features that say the same share their importance: neither is missed alone.

    A model with a lookback sees shuffled windows: rows are shuffled within each asset.
    """
    metric = metric or ("log_loss" if is_classifier(model) else "rmse")
    if not isinstance(n_repeats, int) or n_repeats < 1:
        raise invalid("n_repeats", "permutation_importances", "an integer >= 1", n_repeats)
    frame = X if isinstance(X, pd.DataFrame) else pd.DataFrame(np.asarray(X))
    scores = model.evaluate(X, y)
    if metric not in scores:
        raise invalid("metric", "permutation_importances", f"one of {', '.join(scores)}", metric)
    sign = 1.0 if metric in ("log_loss", "brier", "rmse", "mae") else -1.0
    groups = _groups(X)
    rng = np.random.default_rng(random_state)
    records = {}
    for position, name in enumerate(frame.columns):
        losses = []
        for _ in range(n_repeats):
            order = np.empty(len(frame), np.int64)
            for rows in groups:
                order[rows] = rng.permutation(rows)
            shuffled = frame.copy()
            shuffled.isetitem(position, frame.iloc[order, position].to_numpy())
            given = shuffled if isinstance(X, pd.DataFrame) else shuffled.to_numpy()
            losses.append(sign * (model.evaluate(given, y)[metric] - scores[metric]))
        label = name if isinstance(X, pd.DataFrame) else f"x{position}"
        records[label] = {"mean": float(np.mean(losses)), "std": float(np.std(losses))}
    return pd.DataFrame.from_dict(records, orient="index").sort_values("mean", ascending=False)


def _groups(X: Any) -> list[np.ndarray]:
    """Row positions of each asset."""
    assets = time_axis(X).assets
    return [np.flatnonzero(assets == code) for code in np.unique(assets)]


def plot_importances(importances: pd.Series | pd.DataFrame, *, top: int = 20, axes: Any = None) -> Any:
    """Bars of the most important features, on a matplotlib Axes (a new one where none is given).

    ``importances`` is ``model.feature_importances_``, or what ``permutation_importances`` gives, with its spread.
    """
    values = importances["mean"] if isinstance(importances, pd.DataFrame) else importances
    shown = values.sort_values(ascending=False).iloc[:top][::-1]
    spread = importances["std"].reindex(shown.index) if isinstance(importances, pd.DataFrame) else None
    axes = _axes(len(shown)) if axes is None else axes
    axes.barh([str(name) for name in shown.index], shown.to_numpy(), xerr=spread, color=_UP, ecolor="#888888")
    axes.set_xlabel("loss of the metric when shuffled" if spread is not None else f"share of {values.name}")
    return _plain(axes)


def plot_contributions(contributions: pd.DataFrame, row: int = -1, *, top: int = 12, axes: Any = None) -> Any:
    """What moved one prediction away from the mean, feature by feature, on a matplotlib Axes.

    ``contributions`` is ``model.contributions(X)``; of several classes give those of one: ``contributions["up"]``.
    """
    if contributions.columns.nlevels > 1:
        raise InvalidInput("There are contributions to several classes; give those of one, contributions[label].")
    parts = contributions.iloc[row]
    mean, parts = float(parts["mean"]), parts.drop("mean")
    order = parts.abs().sort_values(ascending=False).index
    shown = parts[order[:top]]
    if len(order) > top:
        shown = pd.concat([shown, pd.Series({f"{len(order) - top} others": float(parts[order[top:]].sum())})])
    shown = shown[::-1]
    axes = _axes(len(shown)) if axes is None else axes
    axes.barh([str(name) for name in shown.index], shown, color=[_UP if v > 0 else _DOWN for v in shown])
    axes.axvline(0.0, color="#444444", linewidth=0.8)
    axes.set_xlabel(f"contribution; mean {mean:.3g}, this row {mean + float(parts.sum()):.3g}")
    axes.set_title(str(contributions.index[row]), fontsize="medium")
    return _plain(axes)


def _axes(n_bars: int) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(8, 1.2 + 0.3 * n_bars), layout="constrained").subplots()


def _plain(axes: Any) -> Any:
    axes.spines[["top", "right"]].set_visible(False)
    return axes
