"""Predictions of rows that the predictor was not trained on, fold by fold, as a frozen record."""

import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone, is_classifier

from consilience.base import InvalidInput, invalid, predict_rows, take
from consilience.evaluation.fold_cache import FoldCache
from consilience.evaluation.fold_output import FoldOutput, LearningCurves
from consilience.evaluation.folds import Fold, tail_of
from consilience.evaluation.label_intervals import LabelIntervals, label_intervals

OnFold = Callable[[int, int, float], None]


@dataclass(frozen=True)
class OutOfFold:
    """Out-of-fold predictions of one predictor.

    Attributes
    ----------
    name : the predictor's name.
    proba : (n, n_classes) float64 with NaN rows where no fold tested; None for regressors. Where several folds test a
        row (combinatorial, Monte Carlo, overlapping blocks) it is their mean; ``by_fold`` has them one by one.
    values : (n,) float64 likewise for regressors; None for classifiers.
    rows : (m,) int64, the covered rows, sorted.
    fold : (n,) int64, the last fold that tested the row, -1 where none did.
    classes : the labels in the order of proba's columns; empty for regressors.
    fit_seconds, predict_seconds : (n_folds,) float64.
    learning_curves : per fold a dict of name to one number per epoch, or None where no fold has any.
    baseline : like proba (or values): what the training labels' base rate (or mean) would have predicted.
    by_fold : the folds' own outputs.
    """

    name: str
    proba: np.ndarray | None
    rows: np.ndarray
    fold: np.ndarray
    classes: np.ndarray
    fit_seconds: np.ndarray
    predict_seconds: np.ndarray
    values: np.ndarray | None = None
    learning_curves: tuple[LearningCurves, ...] | None = None
    baseline: np.ndarray | None = None
    by_fold: tuple[FoldOutput, ...] = field(default=(), repr=False)

    @property
    def output(self) -> np.ndarray:
        """``proba`` of a classifier, ``values`` of a regressor."""
        out = self.proba if self.proba is not None else self.values
        assert out is not None
        return out


def out_of_fold(
    predictor: Any,
    X: Any,
    y: Any,
    splitter: Any,
    *,
    label_end: Any = None,
    sample_weight: Any = None,
    n_jobs: int = 1,
    on_fold: OnFold | None = None,
    validation_fraction: float = 0.15,
    name: str | None = None,
    cache: str | Path | None = None,
) -> OutOfFold:
    """Fit a clone per fold on its training rows and predict its test rows.

    Parameters
    ----------
    predictor : any estimator of this framework or scikit-learn; it is cloned, never changed.
    X : (n, d) in time order; y : (n,).
    splitter : anything with ``split(X, y, label_end=...)``; folds need not be a partition.
    label_end : (n,) when each label becomes known (see ``label_intervals``); passed on to a ``fit`` that takes it.
    sample_weight : (n,) passed to ``fit`` where given.
    n_jobs : folds fitted at once, by joblib.
    on_fold : called as (fold number from 1, number of folds, its seconds) when a fold is done.
    validation_fraction : share of the training times that a predictor with ``uses_validation`` gets for early stopping,
        as a purged chronological tail.
    cache : a folder of finished folds; those with the same predictor, data and rows are read back, not fitted again.

    A row is predicted with the ``lookback`` rows of its asset before it as context; those may lie in the training
    block, they are features only.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from consilience.evaluation import PurgedWalkForward
    >>> X = np.random.default_rng(0).standard_normal((40, 2))
    >>> oof = out_of_fold(LogisticRegression(), X, X[:, 0] > 0, PurgedWalkForward(3, label_horizon=1))
    >>> oof.rows[0], oof.proba.shape, np.isnan(oof.proba[:10]).all()
    (np.int64(10), (40, 2), np.True_)
    """
    target = np.asarray(y)
    if target.ndim != 1 or len(target) != len(X):
        raise InvalidInput(f"y must have one entry per row of X ({len(X)}); its shape is {target.shape}.")
    weight = None if sample_weight is None else np.asarray(sample_weight, np.float64)
    if weight is not None and weight.shape != target.shape:
        raise InvalidInput(f"sample_weight must have one entry per row of X ({len(X)}); its shape is {weight.shape}.")
    if not 0.0 < validation_fraction < 1.0:
        raise invalid("validation_fraction", "out_of_fold", "a share in (0, 1)", validation_fraction)
    folds = list(splitter.split(X, target, label_end=label_end))
    job = _Job(
        predictor=clone(predictor),
        X=X,
        y=target,
        weight=weight,
        label_end=None if label_end is None or not _takes(predictor, "label_end") else label_end,
        classes=np.unique(target) if is_classifier(predictor) else np.empty(0),
        intervals=label_intervals(X, label_end, getattr(splitter, "label_horizon", None))
        if getattr(predictor, "uses_validation", False)
        else None,
        validation_fraction=validation_fraction,
    )
    outputs = _run(job, folds, n_jobs, on_fold, None if cache is None else FoldCache(cache, job))
    return assemble(name or type(predictor).__name__, outputs, len(target), job.classes)


def assemble(name: str, outputs: list[FoldOutput], n_rows: int, classes: np.ndarray) -> OutOfFold:
    """One record from the folds' outputs: each row gets the mean over the folds that tested it."""
    shape = (n_rows, len(classes)) if len(classes) else (n_rows,)
    total, base, count = np.zeros(shape), np.zeros(shape), np.zeros(n_rows)
    fold = np.full(n_rows, -1, np.int64)
    for number, piece in enumerate(outputs):
        total[piece.rows] += piece.output
        if piece.base_rate is not None:
            base[piece.rows] += piece.base_rate if len(classes) else piece.base_rate[0]
        count[piece.rows] += 1
        fold[piece.rows] = number
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, baseline = (sums / (count[:, None] if len(classes) else count) for sums in (total, base))
    curves = tuple(piece.history or {} for piece in outputs)
    record = OutOfFold(
        name=name,
        proba=mean if len(classes) else None,
        values=None if len(classes) else mean,
        rows=np.flatnonzero(count),
        fold=fold,
        classes=classes,
        fit_seconds=np.array([piece.fit_seconds for piece in outputs]),
        predict_seconds=np.array([piece.predict_seconds for piece in outputs]),
        learning_curves=curves if any(curves) else None,
        baseline=baseline if all(piece.base_rate is not None for piece in outputs) else None,
        by_fold=tuple(outputs),
    )
    for array in (mean, baseline, record.rows, fold, record.fit_seconds, record.predict_seconds):
        array.flags.writeable = False
    return record


@dataclass(frozen=True)
class _Job:
    """Everything that one fold needs, so that it can run in another process."""

    predictor: Any
    X: Any
    y: np.ndarray
    weight: np.ndarray | None
    label_end: Any
    classes: np.ndarray
    intervals: LabelIntervals | None
    validation_fraction: float

    def __call__(self, number: int, fold: Fold) -> tuple[int, FoldOutput]:
        try:
            return number, self._fit_predict(*fold)
        except Exception as error:
            error.add_note(f"in fold {number + 1} of {type(self.predictor).__name__}")
            raise

    def _fit_predict(self, train: np.ndarray, test: np.ndarray) -> FoldOutput:
        model = clone(self.predictor)
        options: dict[str, Any] = {}
        if self.intervals is not None:
            train, tail = tail_of(self.intervals, train, self.validation_fraction)
            options["validation"] = (take(self.X, tail), self.y[tail])
        if self.weight is not None:
            options["sample_weight"] = self.weight[train]
        if self.label_end is not None:
            options["label_end"] = take(self.label_end, train)
        begin = time.perf_counter()
        model.fit(take(self.X, train), self.y[train], **options)
        fitted = time.perf_counter()
        output = self._predict(model, test)
        seconds = fitted - begin, time.perf_counter() - fitted
        return FoldOutput(test, output, *seconds, _history(model), self._base_rate(train))

    def _predict(self, model: Any, test: np.ndarray) -> np.ndarray:
        lookback = int(getattr(model, "lookback", 0))
        if len(self.classes) == 0:
            return np.asarray(predict_rows(model.predict, self.X, test, lookback), np.float64)
        proba = predict_rows(model.predict_proba, self.X, test, lookback)
        # A fold's training rows may lack a class; its probability is then 0, in the column that all folds share.
        out = np.zeros((len(test), len(self.classes)))
        out[:, np.searchsorted(self.classes, model.classes_)] = proba
        return out

    def _base_rate(self, train: np.ndarray) -> np.ndarray:
        weight = np.ones(len(train)) if self.weight is None else self.weight[train]
        if len(self.classes) == 0:
            return np.array([np.average(self.y[train], weights=weight)])
        codes = np.searchsorted(self.classes, self.y[train])
        return np.bincount(codes, weight, len(self.classes)) / weight.sum()


def _run(
    job: _Job, folds: list[Fold], n_jobs: int, on_fold: OnFold | None, cache: FoldCache | None
) -> list[FoldOutput]:
    done: dict[int, FoldOutput] = {}
    if cache is not None:
        kept = {number: cache.read(*fold) for number, fold in enumerate(folds)}
        done = {number: output for number, output in kept.items() if output is not None}
    calls = [delayed(job)(number, fold) for number, fold in enumerate(folds) if number not in done]
    if on_fold is not None:
        for number in done:
            on_fold(number + 1, len(folds), 0.0)
    for number, output in Parallel(n_jobs=n_jobs, return_as="generator_unordered")(calls):
        done[number] = output
        if cache is not None:
            train, test = folds[number]
            cache.write(train, test, output)
        if on_fold is not None:
            on_fold(number + 1, len(folds), output.fit_seconds + output.predict_seconds)
    return [done[number] for number in range(len(folds))]


def _takes(predictor: Any, parameter: str) -> bool:
    return parameter in inspect.signature(predictor.fit).parameters


def _history(model: Any) -> LearningCurves | None:
    history = getattr(model, "history_", None)
    if not isinstance(history, dict):
        return None
    return {str(key): [float(value) for value in values] for key, values in history.items()}
