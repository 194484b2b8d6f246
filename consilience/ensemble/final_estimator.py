"""Any estimator as the meta-learner: its inputs, its own walk forward, and calibration towards the base rate."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.base import clone

from consilience.base import InvalidInput
from consilience.ensemble.combine import CLIP
from consilience.ensemble.evidence import Evidence
from consilience.ensemble.pool import Pool
from consilience.ensemble.shrinkage import fit_pool, fit_pool_before, walk_forward


def meta_features(outputs: np.ndarray, regimes: np.ndarray | None, features: np.ndarray | None) -> np.ndarray:
    """(n, p): each member's log-odds against the first class (or its value), regime probabilities, passed-through
    columns.

    Parameters
    ----------
    outputs : (n_members, n, n_classes) or (n_members, n). regimes : (n, n_regimes) or None. features : (n, d) or None.
    """
    if outputs.ndim == 3:
        log_proba = np.log(np.clip(outputs, CLIP, 1.0 - CLIP))
        odds = log_proba[:, :, 1:] - log_proba[:, :, :1]
        parts = [odds.transpose(1, 0, 2).reshape(outputs.shape[1], -1)]
    else:
        parts = [outputs.T]
    if regimes is not None and regimes.shape[1] > 1:
        parts.append(regimes)
    if features is not None:
        parts.append(features)
    return np.ascontiguousarray(np.concatenate(parts, axis=1))


@dataclass(frozen=True)
class FinalEstimator:
    """A fitted meta-learner whose answer is calibrated, and pulled to the base rate where it has shown no skill.

    Attributes
    ----------
    model : predicts from ``meta_features``. pool : of this one answer (see ``LogOddsPool``). neutral : (n_members, …)
        each member's mean answer, which stands for its absence in ``contributions``.
    """

    model: Any
    pool: Pool
    neutral: np.ndarray

    def combine(self, outputs: np.ndarray, regimes: np.ndarray | None, features: np.ndarray | None) -> np.ndarray:
        """(n, n_classes) probabilities, or (n,) values."""
        n_classes = outputs.shape[2] if outputs.ndim == 3 else 0
        return self.pool.combine(_answer(self.model, meta_features(outputs, regimes, features), n_classes)[None])

    def contributions(
        self, outputs: np.ndarray, regimes: np.ndarray | None, features: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Per member, and the base of each row: what the answer would be if every member were at its mean.

        Members go from their mean to what they said one after the other; each gets the change that it makes, averaged
        over the order of the list and its reverse. The base plus the sum is the prediction (on the log-odds scale).
        """
        n_members = len(outputs)
        neutral = np.broadcast_to(np.expand_dims(self.neutral, 1), outputs.shape)
        base = self._scale(neutral, regimes, features)
        total = np.zeros((n_members, *base.shape))
        for order in (range(n_members), range(n_members - 1, -1, -1)):
            mixed, before = np.array(neutral), base
            for member in order:
                mixed[member] = outputs[member]
                after = self._scale(mixed, regimes, features)
                total[member] += 0.5 * (after - before)
                before = after
        return total, base

    def _scale(self, outputs: np.ndarray, regimes: np.ndarray | None, features: np.ndarray | None) -> np.ndarray:
        said = self.combine(outputs, regimes, features)
        return said if said.ndim == 1 else np.log(said[:, 1:] / said[:, :1])


def fit_final(
    estimator: Any, table: Evidence, features: np.ndarray | None
) -> tuple[FinalEstimator, dict[int, np.ndarray]]:
    """Fit on all rows of the table, after walking forward to see what the estimator is worth.

    Parameters
    ----------
    features : (table.n_rows, d) columns passed through, or None.

    Returns
    -------
    the fitted meta-learner, and by fold what it said when it knew earlier folds only.
    """
    inputs = meta_features(table.outputs, table.regimes, features)
    n_classes = table.outputs.shape[2] if table.outputs.ndim == 3 else 0
    said = np.full(table.outputs.shape[1:], np.nan)
    for fold in np.unique(table.fold).tolist():
        inside = table.fold == fold
        known = table.known_before(int(table.begin[inside].min()))
        if known.sum() < 2 or (n_classes and len(np.unique(table.target[known])) < 2):
            continue
        model = _fit(estimator, inputs[known], table.target[known], table.weight[known])
        said[inside] = _answer(model, inputs[inside], n_classes)
    covered = np.isfinite(said).reshape(table.n_rows, -1).all(axis=1)
    if not covered.any():
        raise InvalidInput("final_estimator has no earlier fold to learn from; use at least two folds.")
    own = _only(table, covered, said[covered])
    walk = walk_forward(own)
    folds = {}
    for fold in np.unique(own.fold).tolist():
        pool = fit_pool_before(own, walk, fold)
        if pool is not None:
            folds[fold] = pool.combine(own.outputs[:, own.fold == fold])
    model = _fit(estimator, inputs, table.target, table.weight)
    return FinalEstimator(model, fit_pool(own, walk), table.outputs.mean(axis=1)), folds


def _only(table: Evidence, rows: np.ndarray, said: np.ndarray) -> Evidence:
    """A table whose one member is the meta-learner's own walk forward."""
    parts = {name: getattr(table, name)[rows] for name in ("target", "rows", "fold", "begin", "end", "weight")}
    ones = np.ones((int(rows.sum()), 1))
    return replace(table, names=("final",), outputs=said[None], regimes=ones, **parts)


def _fit(estimator: Any, inputs: np.ndarray, target: np.ndarray, weight: np.ndarray) -> Any:
    model = clone(estimator)
    return model.fit(inputs, target) if (weight == 1.0).all() else model.fit(inputs, target, sample_weight=weight)


def _answer(model: Any, inputs: np.ndarray, n_classes: int) -> np.ndarray:
    if not n_classes:
        return np.asarray(model.predict(inputs), np.float64)
    proba = np.zeros((len(inputs), n_classes))
    proba[:, np.asarray(model.classes_, np.int64)] = model.predict_proba(inputs)
    return proba
