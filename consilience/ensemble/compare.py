"""Predictors side by side on the same folds: scores with intervals, paired tests, time, memory and size."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone, is_classifier

from consilience.base import InvalidInput, State, invalid, take
from consilience.base.state import canonical_json
from consilience.evaluation import OutOfFold, diebold_mariano, false_discovery, out_of_fold, stationary_bootstrap
from consilience.evaluation.bootstrap import percentile_interval
from consilience.evaluation.classification import classification_metrics, log_losses
from consilience.evaluation.folds import tail_of
from consilience.evaluation.label_intervals import label_intervals
from consilience.evaluation.metrics import LOWER_IS_BETTER
from consilience.evaluation.regression import regression_metrics
from consilience.evaluation.resampled_scores import resampled_scores

_SHOWN = {True: ("log_loss", "auc", "accuracy", "brier"), False: ("rmse", "mae", "r2")}
_PREDICT_REPEATS = 15


@dataclass(frozen=True)
class Comparison:
    """What ``compare`` found.

    Attributes
    ----------
    table : one row per predictor, best first: each metric with its interval (``_low``, ``_high``), seconds of fitting
        per fold, milliseconds to predict one row, MiB that a fit needed at its peak beyond what was there, KiB of
        state.
    pairs : one row per pair: mean loss difference (negative favours ``first``), its p-value by Diebold and Mariano's
        test, and that p-value adjusted for the number of pairs (Benjamini & Yekutieli 2001).
    out_of_fold : name to OutOfFold; a stack takes it instead of fitting again.
    metric : the metric that orders the table.
    """

    table: pd.DataFrame
    pairs: pd.DataFrame
    out_of_fold: Mapping[str, OutOfFold]
    metric: str

    def __str__(self) -> str:
        shown = self.table.copy()
        metrics = [name.removesuffix("_low") for name in shown.columns if name.endswith("_low")]
        for name in metrics:
            low, high = shown.pop(f"{name}_low"), shown.pop(f"{name}_high")
            shown[name] = [f"{v:.4f} [{a:.4f}, {b:.4f}]" for v, a, b in zip(shown[name], low, high)]
        text = shown.to_string(float_format=lambda value: f"{value:.3g}")
        return f"{text}\n\n{self.pairs.to_string(index=False, float_format=lambda value: f'{value:.4g}')}"

    def plot(self, axes: Any = None) -> Any:
        """Each predictor's metric with its interval, best on top, on a matplotlib Axes (a new one if none is given)."""
        if axes is None:
            from matplotlib.figure import Figure

            axes = Figure(figsize=(8, 1.2 + 0.45 * len(self.table)), layout="constrained").subplots()
        values = self.table[self.metric]
        place = np.arange(len(values))[::-1]
        spread = np.abs(
            self.table[[f"{self.metric}_low", f"{self.metric}_high"]].to_numpy() - values.to_numpy()[:, None]
        )
        axes.errorbar(values, place, xerr=spread.T, fmt="o", capsize=4, color="#1f5a96", ecolor="#9db8d2")
        axes.set_yticks(place, list(values.index))
        axes.set_xlabel(
            f"{self.metric} ({'lower' if self.metric in LOWER_IS_BETTER else 'higher'} is better), 95 % interval"
        )
        axes.spines[["top", "right"]].set_visible(False)
        return axes


def compare(
    predictors: Mapping[str, Any] | Sequence[tuple[str, Any]],
    X: Any,
    y: Any,
    folds: Any,
    *,
    label_end: Any = None,
    sample_weight: Any = None,
    horizon: int = 1,
    level: float = 0.95,
    n_samples: int = 1000,
    n_jobs: int = 1,
    random_state: int = 0,
) -> Comparison:
    """Fit every predictor on the same folds and compare what it predicted for the rows it had not seen.

    Parameters
    ----------
    predictors : name to predictor, all classifiers or all regressors.
    X : (n, d) in time order; y : (n,).
    folds : a splitter; label_end : when each label becomes known, as ``out_of_fold`` takes it.
    horizon : steps per label; overlapping labels make losses dependent, in the intervals as in the tests.
    level : of the intervals, from ``n_samples`` of the stationary bootstrap over whole time steps.
    n_jobs : folds fitted at once; times are per fold whatever it is, but truest with one.

    Raises
    ------
    InvalidInput : fewer than two predictors, or classifiers mixed with regressors.

    Examples
    --------
    >>> import numpy as np
    >>> from consilience.boosting import LogisticClassifier
    >>> from consilience.evaluation import PurgedWalkForward
    >>> X = np.random.default_rng(0).standard_normal((300, 2))
    >>> two = {"weak": LogisticClassifier(C=1e-6), "right": LogisticClassifier(C=1.0)}
    >>> found = compare(two, X, X[:, 0] > 0, PurgedWalkForward(3, label_horizon=1), n_samples=100)
    >>> list(found.table.index)
    ['right', 'weak']
    """
    named = dict(predictors)
    _check(named)
    classify = is_classifier(next(iter(named.values())))
    intervals = label_intervals(X, label_end, getattr(folds, "label_horizon", None))
    given = {"label_end": label_end, "sample_weight": sample_weight, "n_jobs": n_jobs}
    tables = {name: out_of_fold(one, X, y, folds, name=name, **given) for name, one in named.items()}
    rows = next(iter(tables.values())).rows
    step = np.unique(intervals.start[rows], return_inverse=True)[1]
    draw = stationary_bootstrap(int(step.max()) + 1, max(5.0, 2.0 * horizon), n_samples, random_state)
    counts = np.stack([np.bincount(sample, minlength=int(step.max()) + 1) for sample in draw]).astype(np.float64)
    truth = np.asarray(y)[rows]
    records, losses = {}, {}
    for name, table in tables.items():
        scores, loss = _judge(truth, table, rows, classify, step, counts, level)
        losses[name] = np.bincount(step, loss) / np.bincount(step)
        records[name] = (
            scores | {"fit_seconds": float(np.mean(table.fit_seconds))} | _cost(named[name], X, y, intervals, label_end)
        )
    metric = _SHOWN[classify][0]
    frame = pd.DataFrame.from_dict(records, orient="index").sort_values(metric, ascending=metric in LOWER_IS_BETTER)
    return Comparison(frame, _pairs(losses, list(frame.index), horizon), tables, metric)


def _check(named: Mapping[str, Any]) -> None:
    if len(named) < 2:
        raise invalid("predictors", "compare", "at least two named predictors", list(named))
    kinds = {is_classifier(one) for one in named.values()}
    if len(kinds) != 1:
        raise InvalidInput("compare takes classifiers or regressors, not both: their losses have different units.")


def _judge(
    truth: np.ndarray,
    table: OutOfFold,
    rows: np.ndarray,
    classify: bool,
    step: np.ndarray,
    counts: np.ndarray,
    level: float,
) -> tuple[dict[str, float], np.ndarray]:
    """The shown metrics with their intervals, and the loss of each row."""
    if classify:
        assert table.proba is not None
        proba = table.proba[rows]
        point = classification_metrics(truth, proba, table.classes)
        drawn = resampled_scores(truth, proba, table.classes, step, counts)
        loss = log_losses(truth, proba, table.classes)
    else:
        assert table.values is not None
        error = np.asarray(truth, dtype=np.float64) - table.values[rows]
        point = regression_metrics(truth, table.values[rows])
        drawn = _resampled_errors(np.asarray(truth, dtype=np.float64), error, step, counts)
        loss = error**2
    scores: dict[str, float] = {}
    for name in _SHOWN[classify]:
        if name in point and name in drawn:
            interval = percentile_interval(point[name], drawn[name], level)
            scores |= {name: point[name], f"{name}_low": interval.lower, f"{name}_high": interval.upper}
    return scores, loss


def _resampled_errors(
    truth: np.ndarray, error: np.ndarray, step: np.ndarray, counts: np.ndarray
) -> dict[str, np.ndarray]:
    """RMSE, MAE and R² (b,) in resamples of whole steps."""

    def mean(part: np.ndarray) -> np.ndarray:
        size: np.ndarray = counts @ np.bincount(step).astype(np.float64)
        return np.asarray(counts @ np.bincount(step, part) / size)

    squared, centred = mean(error**2), mean(truth**2) - mean(truth) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return {"rmse": np.sqrt(squared), "mae": mean(np.abs(error)), "r2": 1.0 - squared / centred}


def _pairs(losses: Mapping[str, np.ndarray], order: Sequence[str], horizon: int) -> pd.DataFrame:
    """Every pair, the better one first."""
    found = []
    for i, first in enumerate(order):
        for second in order[i + 1 :]:
            test = diebold_mariano(losses[first], losses[second], horizon=horizon)
            found.append({"first": first, "second": second, "difference": test.difference, "p_value": test.p_value})
    pairs = pd.DataFrame(found)
    pairs["p_adjusted"] = false_discovery(pairs["p_value"].to_numpy(), dependent=True)[1]
    return pairs


# -- what a predictor costs --------------------------------------------------------------------------------------------


def _cost(predictor: Any, X: Any, y: Any, intervals: Any, label_end: Any) -> dict[str, float]:
    """Fit once on all rows: the memory that it took, the time for one new row, and the size of what is stored."""
    rows, options = np.arange(len(X)), dict[str, Any]()
    if getattr(predictor, "uses_validation", False):
        rows, tail = tail_of(intervals, rows, 0.15)
        options["validation"] = (take(X, tail), np.asarray(y)[tail])
    model = clone(predictor)
    if label_end is not None and "label_end" in signature(model.fit).parameters:
        options["label_end"] = take(label_end, rows)
    with _Peak() as peak:
        model.fit(take(X, rows), np.asarray(y)[rows], **options)
    ask = model.predict_proba if is_classifier(model) else model.predict
    newest = take(X, np.arange(max(0, len(X) - getattr(model, "lookback", 0) - 1), len(X)))
    seconds = []
    for _ in range(_PREDICT_REPEATS):
        started = time.perf_counter()
        ask(newest)
        seconds.append(time.perf_counter() - started)
    size = _size(model.get_state()) / 1024 if hasattr(model, "get_state") else np.nan
    return {"predict_ms": float(np.median(seconds)) * 1e3, "fit_mib": peak.mib, "state_kib": size}


def _size(state: State) -> float:
    """Bytes of a state: its arrays, its spec as text, and its children."""
    own = sum(array.nbytes for array in state.arrays.values()) + len(canonical_json(state.spec))
    return float(own + sum(_size(child) for child in state.children.values()))


class _Peak:
    """The process's largest resident memory inside the block, less that at its start; NaN where /proc does not tell.

    Sampled every two milliseconds by a thread: native libraries allocate outside what Python itself can count.
    """

    mib = float("nan")

    def __enter__(self) -> "_Peak":
        self._done = threading.Event()
        self._start = self._largest = _resident()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        return self

    def _watch(self) -> None:
        while not self._done.wait(0.002):
            self._largest = max(self._largest, _resident())

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._watcher.join()
        self.mib = (max(self._largest, _resident()) - self._start) / 2**20


def _resident() -> float:
    try:
        return float(Path("/proc/self/statm").read_text().split()[1]) * 4096
    except (OSError, IndexError):
        return float("nan")
