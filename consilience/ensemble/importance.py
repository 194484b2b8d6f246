"""Which features the whole ensemble lives on: permutation over folds, and the members' own importances, weighted."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from consilience.base import invalid, predict_rows
from consilience.ensemble.combine import CLIP
from consilience.ensemble.failures import in_all_classes
from consilience.ensemble.fits import refit_on
from consilience.evaluation.label_intervals import label_intervals


def permutation_importance(
    predictor: Any,
    X: Any,
    y: Any,
    splitter: Any,
    *,
    label_end: Any = None,
    sample_weight: Any = None,
    n_repeats: int = 3,
    validation_fraction: float = 0.15,
    random_state: int = 0,
) -> pd.DataFrame:
    """How much worse a predictor does on rows it has not seen when one feature's values are shuffled among them.

    Parameters
    ----------
    predictor : any predictor, fitted or not; a clone is fitted in every fold. Of a stack that means its members, its
        regimes and its meta-learner, out-of-fold predictions within the training rows included.
    X : (n, d), y : (n,), splitter, label_end, validation_fraction : as for ``out_of_fold``.
    sample_weight : (n,) for the fits and for the losses.
    n_repeats : shuffles per fold and feature.

    Returns
    -------
    DataFrame, one row per feature in descending order: importance (mean rise of the log loss in nats, or of the mean
    squared error) and spread (standard deviation over folds). Features that stand in for each other share their
    importance; a value near or below 0 says that the feature is not used or does harm.

    Raises
    ------
    InvalidInput : numbers that cannot be used, label ends that are missing.

    References
    ----------
    Breiman, *Random forests* (2001); Fisher, Rudin & Dominici, *All models are wrong, but many are useful* (2019).

    Examples
    --------
    >>> from consilience.boosting import LogisticClassifier
    >>> from consilience.evaluation import PurgedWalkForward
    >>> X = np.random.default_rng(0).standard_normal((200, 2))
    >>> folds = PurgedWalkForward(n_splits=3, label_horizon=1)
    >>> permutation_importance(LogisticClassifier(), X, X[:, 1] > 0, folds).index.tolist()
    ['x1', 'x0']
    """
    if isinstance(n_repeats, bool) or not isinstance(n_repeats, int) or n_repeats < 1:
        raise invalid("n_repeats", "permutation_importance", "an integer >= 1", n_repeats)
    target, rng = np.asarray(y), np.random.default_rng(random_state)
    weight = None if sample_weight is None else np.asarray(sample_weight, np.float64)
    if weight is not None and weight.shape != target.shape:
        raise invalid("sample_weight", "permutation_importance", f"one number per row ({len(target)})", weight.shape)
    names = list(X.columns) if isinstance(X, pd.DataFrame) else [f"x{i}" for i in range(np.shape(X)[1])]
    horizon = getattr(splitter, "label_horizon", None)
    known = label_end is not None or horizon is not None
    intervals = label_intervals(X, label_end, horizon) if known else None
    rises = []
    for train, test in splitter.split(X, target, label_end=label_end):
        model = refit_on(predictor, train, X, target, label_end, intervals, weight, validation_fraction)
        loss = partial(_loss_on, model, target, test, None if weight is None else weight[test])
        whole = loss(X)
        rises.append([_shuffled(X, test, column, n_repeats, rng, loss) - whole for column in range(len(names))])
    found = pd.DataFrame({"importance": np.mean(rises, axis=0), "spread": np.std(rises, axis=0)}, index=names)
    return found.sort_values("importance", ascending=False, kind="stable")


def weighted_importances(members: Mapping[str, Any], weights: Mapping[str, float], names: list[str]) -> pd.Series:
    """The members' own ``feature_importances_``, each scaled to sum to 1, averaged by the size of the members' weights.

    Members without importances are left out; all is NaN if none has any.
    """
    total, weight = np.zeros(len(names)), 0.0
    for name, member in members.items():
        own = _own(member, names)
        if own is not None and weights.get(name, 0.0) != 0.0 and own.sum() > 0.0:
            total += abs(weights[name]) * own / own.sum()
            weight += abs(weights[name])
    shares = total / weight if weight > 0.0 else np.full(len(names), np.nan)
    return pd.Series(shares, index=pd.Index(names, name="feature"), name="importance")


def _own(member: Any, names: list[str]) -> np.ndarray | None:
    try:
        own = member.feature_importances_
    except (AttributeError, NotImplementedError):
        return None
    if isinstance(own, Mapping | pd.Series):
        own = [own.get(name, 0.0) for name in names]
    values = np.abs(np.asarray(own, np.float64))
    return values if values.shape == (len(names),) else None


def _shuffled(
    X: Any, rows: np.ndarray, column: int, n_repeats: int, rng: np.random.Generator, loss: Callable[[Any], float]
) -> float:
    """Mean loss with one column shuffled among some rows."""
    total = 0.0
    for _ in range(n_repeats):
        order = rng.permutation(rows)
        if isinstance(X, pd.DataFrame):
            data = X.copy()
            data.iloc[rows, column] = X.iloc[order, column].to_numpy()
        else:
            data = np.array(X)  # type: ignore[assignment]
            data[rows, column] = np.asarray(X)[order, column]
        total += loss(data)
    return total / n_repeats


def _loss_on(model: Any, target: np.ndarray, rows: np.ndarray, weight: np.ndarray | None, X: Any) -> float:
    """Loss of a model's predictions of some rows of X; a class that it never saw has the least probability."""
    classes = getattr(model, "classes_", None)
    predict = model.predict if classes is None else model.predict_proba
    output, target = predict_rows(predict, X, rows, int(getattr(model, "lookback", 0))), target[rows]
    if classes is None:
        return float(np.average((output - target) ** 2, weights=weight))
    labels = np.unique(np.concatenate([classes, target]))
    picked = in_all_classes(output, classes, labels)[np.arange(len(target)), np.searchsorted(labels, target)]
    return float(np.average(-np.log(np.clip(picked, CLIP, 1.0)), weights=weight))
