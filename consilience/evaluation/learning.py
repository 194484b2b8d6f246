"""Learning and validation curves over purged folds: does more data help, and where does over-fitting begin?"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone, is_classifier

from consilience.base import InvalidInput, take
from consilience.evaluation.classification import classification_metrics
from consilience.evaluation.metrics import LOWER_IS_BETTER
from consilience.evaluation.out_of_fold import out_of_fold
from consilience.evaluation.regression import regression_metrics


@dataclass(frozen=True)
class _Shortened:
    """A splitter whose training rows are cut to their newest share."""

    splitter: Any
    share: float = 1.0

    @property
    def label_horizon(self) -> int | None:
        return getattr(self.splitter, "label_horizon", None)

    def split(self, X: Any, y: Any = None, groups: Any = None, *, label_end: Any = None) -> Any:
        for train, test in self.splitter.split(X, y, label_end=label_end):
            yield train[len(train) - max(2, round(self.share * len(train))) :], test


def learning_curve(
    predictor: Any,
    X: Any,
    y: Any,
    splitter: Any,
    *,
    metric: str = "auc",
    shares: Sequence[float] = (0.1, 0.25, 0.5, 0.75, 1.0),
    label_end: Any = None,
) -> pd.DataFrame:
    """The metric on training rows and out of fold when only the newest share of the training rows is used.

    Returns
    -------
    DataFrame indexed by share: ``train`` (mean over folds), ``test`` (out of fold), ``gap`` (how much better train is).
    """
    if not all(0.0 < share <= 1.0 for share in shares):
        raise InvalidInput(f"shares must be in (0, 1]; got {list(shares)}.")
    folds = _Shortened(splitter)
    lines = [_both(predictor, X, y, replace(folds, share=share), metric, label_end) for share in shares]
    return pd.DataFrame(lines, index=pd.Index(shares, name="share"))


def validation_curve(
    predictor: Any,
    X: Any,
    y: Any,
    splitter: Any,
    parameter: str,
    values: Sequence[Any],
    *,
    metric: str = "auc",
    label_end: Any = None,
) -> pd.DataFrame:
    """The metric on training rows and out of fold for each value of one parameter; columns as in ``learning_curve``.

    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from consilience.evaluation import PurgedWalkForward
    >>> X = np.random.default_rng(0).standard_normal((300, 3))
    >>> y = X[:, 0] + np.random.default_rng(1).standard_normal(300) > 0
    >>> tree, folds = DecisionTreeClassifier(random_state=0), PurgedWalkForward(3, label_horizon=1)
    >>> curve = validation_curve(tree, X, y, folds, "max_depth", [2, 20])
    >>> bool(curve["gap"].iloc[1] > curve["gap"].iloc[0])
    True
    """
    lines = []
    for value in values:
        changed = clone(predictor).set_params(**{parameter: value})
        lines.append(_both(changed, X, y, splitter, metric, label_end))
    return pd.DataFrame(lines, index=pd.Index(list(values), name=parameter))


def _both(predictor: Any, X: Any, y: Any, splitter: Any, metric: str, label_end: Any) -> dict[str, float]:
    target, classifier = np.asarray(y), is_classifier(predictor)
    train_scores: list[float] = []

    def measure(labels: np.ndarray, output: np.ndarray, classes: np.ndarray) -> float:
        found = classification_metrics(labels, output, classes) if classifier else regression_metrics(labels, output)
        if metric not in found:
            raise InvalidInput(f"The metric {metric!r} does not exist here; there are {', '.join(found)}.")
        return found[metric]

    for train, _ in splitter.split(X, target, label_end=label_end):
        model = clone(predictor).fit(take(X, train), target[train])
        output = model.predict_proba(take(X, train)) if classifier else model.predict(take(X, train))
        train_scores.append(measure(target[train], output, getattr(model, "classes_", np.empty(0))))
    oof = out_of_fold(predictor, X, target, splitter, label_end=label_end)
    test = measure(target[oof.rows], oof.output[oof.rows], oof.classes)
    train_mean = float(np.mean(train_scores))
    gap = test - train_mean if metric in LOWER_IS_BETTER else train_mean - test
    return {"train": train_mean, "test": test, "gap": gap}
