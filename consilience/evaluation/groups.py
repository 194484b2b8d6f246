"""Scores by group (asset, side, weekday, year, regime): where the predictor is good, and where it is not."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from consilience.base import InvalidInput, TimeAxis
from consilience.evaluation.bootstrap import Interval, percentile_interval, stationary_bootstrap
from consilience.evaluation.classification import classification_metrics
from consilience.evaluation.resampled_scores import resampled_scores

Groupings = Mapping[str, np.ndarray]
_DAYS = np.array(["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"])


def market_groupings(
    axis: TimeAxis, rows: np.ndarray, proba: np.ndarray, regime: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """The groupings that every market has: asset, side of the forecast, weekday, year, and regime where it is given.

    Parameters
    ----------
    axis : of all rows; rows : (m,) those that were predicted; proba : (m, k) their probabilities.
    regime : (m,) name or number of the filtered regime of each row.
    """
    times = axis.times[rows]
    direction = proba @ np.linspace(-1.0, 1.0, proba.shape[1])
    found = {"side": np.where(direction > 0, "long", "short")}
    if len(axis.asset_names) > 1:
        found["asset"] = np.asarray(axis.asset_names)[axis.assets[rows]]
    if times.dtype.kind == "M":
        stamps = pd.DatetimeIndex(times)
        found["weekday"] = _DAYS[stamps.day_of_week]
        found["year"] = stamps.year.to_numpy().astype(str)
    if regime is not None:
        found["regime"] = np.asarray(regime).astype(str)
    return found


def group_scores(
    y: Any,
    proba: np.ndarray,
    classes: np.ndarray,
    times: np.ndarray,
    groupings: Groupings,
    *,
    block_length: float = 1.0,
    n_samples: int = 300,
    level: float = 0.95,
    smallest: int = 30,
    random_state: int = 0,
) -> pd.DataFrame:
    """Log loss, AUC and accuracy of every group with intervals.

    Parameters
    ----------
    y, proba, classes : as in ``classification_metrics``; times : (n,) the step of each row, resampled as a whole.
    groupings : name to (n,) labels of the rows' groups.
    smallest : groups with fewer rows are left out; their scores would be noise.

    Returns
    -------
    DataFrame indexed by (grouping, group): ``n``, and for each metric its value, ``_lower`` and ``_upper``; NaN where
    the metric does not exist (an AUC of one class).
    """
    labels, lines = np.asarray(y), {}
    for grouping, of in groupings.items():
        if len(of) != len(labels):
            raise InvalidInput(
                f"The grouping {grouping!r} must have one label per row ({len(labels)}); it has {len(of)}."
            )
        for group in np.unique(of):
            rows = np.flatnonzero(of == group)
            if len(rows) < smallest:
                continue
            steps, step = np.unique(times[rows], return_inverse=True)
            samples = stationary_bootstrap(len(steps), min(block_length, len(steps)), n_samples, random_state)
            counts = np.stack([np.bincount(sample, minlength=len(steps)) for sample in samples]).astype(np.float64)
            own = classification_metrics(labels[rows], proba[rows], classes)
            drawn = resampled_scores(labels[rows], proba[rows], classes, step, counts)
            lines[grouping, str(group)] = {"n": float(len(rows))} | _flat(own, drawn, level)
    index = pd.MultiIndex.from_tuples(list(lines), names=["grouping", "group"])
    return pd.DataFrame(list(lines.values()), index=index)


def floor_intervals(table: pd.DataFrame, metric: str = "auc") -> dict[str, dict[str, Interval]]:
    """grouping to group to interval of one metric, as ``Evidence.groups`` holds it."""
    found: dict[str, dict[str, Interval]] = {}
    if len(table) == 0 or metric not in table:
        return found
    bounds = table[[metric, f"{metric}_lower", f"{metric}_upper"]].to_numpy()
    for (grouping, group), line in zip(table.index, bounds):
        if np.isfinite(line[0]):
            found.setdefault(str(grouping), {})[str(group)] = Interval(*line.tolist())
    return found


def _flat(own: dict[str, float], drawn: dict[str, np.ndarray], level: float) -> dict[str, float]:
    out: dict[str, float] = {}
    for name in ("log_loss", "auc", "accuracy"):
        if name not in own or name not in drawn:
            out |= {name: np.nan, f"{name}_lower": np.nan, f"{name}_upper": np.nan}
            continue
        interval = percentile_interval(own[name], drawn[name], level)
        out |= {name: interval.estimate, f"{name}_lower": interval.lower, f"{name}_upper": interval.upper}
    return out
