"""Any estimator as the meta-learner: its inputs, its own walk forward, and calibration towards the base rate."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.base import clone

from consilience.base import invalid
from consilience.base.magnitude import magnitude
from consilience.ensemble.combine import CLIP
from consilience.ensemble.evidence import Evidence
from consilience.ensemble.failures import usable
from consilience.ensemble.pool import Pool
from consilience.ensemble.shrinkage import fit_pool, fit_pool_before, walk_forward
from consilience.ensemble.vote_pools import in_turn, log_odds


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
    weights : (n_members,) by how much one unit of a member's log-odds (or value) moved the answer out of fold: the
        slope of its contribution.
    """

    model: Any
    pool: Pool
    neutral: np.ndarray
    weights: np.ndarray

    def combine(
        self, outputs: np.ndarray, regimes: np.ndarray | None = None, features: np.ndarray | None = None
    ) -> np.ndarray:
        """(n, n_classes) probabilities, or (n,) values; NaN in rows to which the model has no answer."""
        said = _answer_where_it_can(self.model, meta_features(outputs, regimes, features), _n_classes(outputs))
        fine = usable(said[None], _n_classes(outputs))[0]
        out = np.full(said.shape, np.nan)
        out[fine] = self.pool.combine(said[None, fine])
        return out

    def contributions(
        self, outputs: np.ndarray, regimes: np.ndarray | None = None, features: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Per member, and the base of each row: the answer if every member were at its mean (``in_turn``).

        The base plus the sum is the prediction (on the log-odds scale).
        """

        def scale(said: np.ndarray) -> np.ndarray:
            combined = self.combine(said, regimes, features)
            return combined if combined.ndim == 1 else log_odds(combined)

        return in_turn(scale, outputs, np.broadcast_to(np.expand_dims(self.neutral, 1), outputs.shape))


def check_final(estimator: Any, owner: str) -> None:
    """Refuse a meta-learner that looks at earlier rows: out-of-fold rows have gaps, and live ones come one by one."""
    lookback = int(getattr(estimator, "lookback", 0))
    if lookback > 0:
        required = "an estimator that predicts each row from that row alone (lookback 0)"
        raise invalid(
            "final_estimator",
            owner,
            required,
            f"{type(estimator).__name__} with lookback {lookback}",
            "Make it a member instead.",
        )


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
    n_classes = _n_classes(table.outputs)
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
        required = "enough folds that one of them has an earlier one for the final_estimator to learn from"
        raise invalid("folds", "a stack with a final_estimator", required, len(np.unique(table.fold)), "Use more rows.")
    own = _only(table, covered, said[covered])
    walk = walk_forward(own)
    folds = {}
    for fold in np.unique(own.fold).tolist():
        pool = fit_pool_before(own, walk, fold)
        if pool is not None:
            folds[fold] = pool.combine(own.outputs[:, own.fold == fold])
    model = _fit(estimator, inputs, table.target, table.weight)
    check_final(model, "a stack")
    return final_of(model, fit_pool(own, walk), table, features), folds


def said_by_final(estimator: Any, features: np.ndarray | None, table: Evidence) -> dict[int, np.ndarray]:
    """By fold, what the estimator said when it knew earlier folds only."""
    return fit_final(estimator, table, features)[1]


def final_of(model: Any, pool: Pool, table: Evidence, features: np.ndarray | None) -> FinalEstimator:
    """The meta-learner of a fitted model, with its members' weights read off the table."""
    final = FinalEstimator(model, pool, table.outputs.mean(axis=1), np.zeros(len(table.names)))
    moved, _ = final.contributions(table.outputs, table.regimes, features)
    scale = np.stack([log_odds(one) for one in table.outputs]) if table.outputs.ndim == 3 else table.outputs
    unit = magnitude(scale)
    away, moved = scale / unit - (scale / unit).mean(axis=1, keepdims=True), moved / unit
    size, slope = (np.nan_to_num(part).reshape(len(away), -1).sum(axis=1) for part in (away**2, away * moved))
    return replace(final, weights=np.divide(slope, size, out=np.zeros_like(slope), where=size > 0.0))


def _only(table: Evidence, rows: np.ndarray, said: np.ndarray) -> Evidence:
    """A table whose one member is the meta-learner's own walk forward."""
    parts = {name: getattr(table, name)[rows] for name in ("target", "rows", "fold", "begin", "end", "weight")}
    ones = np.ones((int(rows.sum()), 1))
    return replace(table, names=("final",), outputs=said[None], regimes=ones, **parts)


def _fit(estimator: Any, inputs: np.ndarray, target: np.ndarray, weight: np.ndarray) -> Any:
    model = clone(estimator)
    return model.fit(inputs, target) if (weight == 1.0).all() else model.fit(inputs, target, sample_weight=weight)


def _n_classes(outputs: np.ndarray) -> int:
    return outputs.shape[2] if outputs.ndim == 3 else 0


def _answer_where_it_can(model: Any, inputs: np.ndarray, n_classes: int) -> np.ndarray:
    """The model's answers; one that refuses the inputs is asked about their finite rows only, the others are NaN."""
    try:
        return _answer(model, inputs, n_classes)
    except Exception:
        out = np.full((len(inputs), n_classes) if n_classes else len(inputs), np.nan)
        rows = np.flatnonzero(np.isfinite(inputs).all(axis=1))
        if 0 < len(rows) < len(inputs):
            try:
                out[rows] = _answer(model, inputs[rows], n_classes)
            except Exception:
                return out
        return out


def _answer(model: Any, inputs: np.ndarray, n_classes: int) -> np.ndarray:
    if not n_classes:
        return np.asarray(model.predict(inputs), np.float64)
    proba = np.zeros((len(inputs), n_classes))
    proba[:, np.asarray(model.classes_, np.int64)] = model.predict_proba(inputs)
    return proba
