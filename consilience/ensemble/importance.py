"""Which features the whole ensemble lives on: permutation over folds, and the members' own importances, weighted."""

from collections.abc import Callable, Mapping
from functools import partial
from inspect import signature
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone, is_classifier

from consilience.base import invalid, predict_rows, take
from consilience.ensemble.combine import CLIP

Predict = Callable[[Any], np.ndarray]


def permutation_importance(
    predictor: Any,
    X: Any,
    y: Any,
    splitter: Any,
    *,
    label_end: Any = None,
    n_repeats: int = 3,
    random_state: int = 0,
) -> pd.DataFrame:
    """How much worse a predictor does on rows it has not seen when one feature's values are shuffled among them.

    Parameters
    ----------
    predictor : any predictor. A fitted stack keeps its meta-learner; its members are fitted again in every fold.
    X : (n, d), y : (n,), splitter, label_end : as for ``out_of_fold``.
    n_repeats : shuffles per fold and feature.

    Returns
    -------
    DataFrame, one row per feature in descending order: importance (mean rise of the log loss in nats, or of the mean
    squared error) and spread (standard deviation over folds). Features that stand in for each other share their
    importance; a value near or below 0 says that the feature is not used or does harm.

    References
    ----------
    Breiman, *Random forests* (2001); Fisher, Rudin & Dominici, *All models are wrong, but many are useful* (2019).
    """
    if n_repeats < 1:
        raise invalid("n_repeats", "permutation_importance", "an integer >= 1", n_repeats)
    target, rng = np.asarray(y), np.random.default_rng(random_state)
    names = list(X.columns) if isinstance(X, pd.DataFrame) else [f"x{i}" for i in range(np.shape(X)[1])]
    rises = []
    for train, test in splitter.split(X, target, label_end=label_end):
        predict, lookback, classes = _fit_fold(predictor, X, target, label_end, splitter, train)

        loss = partial(_loss_on, predict, lookback, classes, target, test)
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


def _fit_fold(
    predictor: Any, X: Any, y: np.ndarray, label_end: Any, splitter: Any, train: np.ndarray
) -> tuple[Predict, int, np.ndarray]:
    """Predict function, lookback and classes after fitting on a fold's training rows."""
    ends = None if label_end is None else take(label_end, train)
    if hasattr(predictor, "refit_members") and hasattr(predictor, "combination_"):
        model = _same_meta_learner(predictor)
        model.refit_members(take(X, train), y[train], label_end=ends)
    else:
        model = clone(predictor)
        takes_ends = ends is not None and "label_end" in signature(model.fit).parameters
        options = {"label_end": ends} if takes_ends else {}
        model.fit(take(X, train), y[train], **options)
    predict = model.predict_proba if is_classifier(model) else model.predict
    return predict, int(getattr(model, "lookback", 0)), getattr(model, "classes_", np.empty(0))


def _same_meta_learner(stack: Any) -> Any:
    """A stack that shares everything with the fitted one but the members, which the caller fits again."""
    twin = clone(stack)
    vars(twin).update({name: value for name, value in vars(stack).items() if name.endswith("_")})
    twin.members_ = dict(stack.members_)
    return twin


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


def _loss_on(
    predict: Predict, lookback: int, classes: np.ndarray, target: np.ndarray, rows: np.ndarray, X: Any
) -> float:
    """Loss of the predictions of some rows of X."""
    output, target = predict_rows(predict, X, rows, lookback), target[rows]
    if not len(classes):
        return float(np.mean((output - target) ** 2))
    picked = output[np.arange(len(target)), np.searchsorted(classes, target)]
    return float(-np.log(np.clip(picked, CLIP, 1.0)).mean())
