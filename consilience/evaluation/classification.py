"""Measures of class probabilities, for one sample or for many resamples at once."""

from typing import Any

import numpy as np

from consilience.base import InvalidInput
from consilience.base.scores import classification_scores

__all__ = ["calibration_curve", "calibration_error", "classification_metrics", "resampled_scores"]


def classification_metrics(y: Any, proba: np.ndarray, classes: np.ndarray) -> dict[str, float]:
    """Everything in ``base.scores.classification_scores``, and ``calibration_error`` for two classes.

    Parameters
    ----------
    y : (n,) labels; proba : (n, k), columns in the order of the sorted ``classes``.

    Units: log loss in nats; Brier in squared probability, in [0, 1] for two classes; the others in [0, 1] but for the
    Matthews correlation in [-1, 1]. ``auc`` is left out where y has one class only, because it does not exist there.
    """
    labels, proba, classes = read_proba(y, proba, classes)
    scores = classification_scores(labels, proba, classes)
    if len(classes) == 2:
        scores["calibration_error"] = calibration_error(labels == classes[1], proba[:, 1])
    return scores


def read_proba(y: Any, proba: Any, classes: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Check that labels, probabilities and classes belong together."""
    labels, proba, classes = np.asarray(y), np.asarray(proba, np.float64), np.asarray(classes)
    if proba.ndim != 2 or proba.shape != (len(labels), len(classes)) or len(labels) == 0:
        raise InvalidInput(
            f"proba must have one row per label and one column per class ({len(labels)}, {len(classes)}), and at least "
            f"one row; its shape is {proba.shape}."
        )
    if not np.isfinite(proba).all() or (proba < 0).any() or (np.abs(proba.sum(axis=1) - 1.0) > 1e-6).any():
        raise InvalidInput("proba must hold probabilities: finite, not negative, every row summing to 1.")
    if not np.isin(labels, classes).all():
        raise InvalidInput(f"y has the label {labels[~np.isin(labels, classes)][0]!r}, which is not one of {classes}.")
    return labels, proba, classes


def calibration_curve(outcome: np.ndarray, proba: np.ndarray, n_bins: int = 10) -> dict[str, np.ndarray]:
    """Mean probability, observed frequency and count in bins of equal count (ties stay together), low to high.

    outcome : (n,) bool; proba : (n,) of that outcome. Returns arrays ``mean``, ``frequency``, ``count`` of one length.
    """
    edges = np.unique(np.quantile(proba, np.linspace(0.0, 1.0, n_bins + 1)[1:-1]))
    bins = np.searchsorted(edges, proba, side="left")
    count = np.bincount(bins, minlength=len(edges) + 1)
    full = count > 0
    total = np.bincount(bins, proba, len(count))[full], np.bincount(bins, outcome, len(count))[full]
    return {"mean": total[0] / count[full], "frequency": total[1] / count[full], "count": count[full]}


def calibration_error(outcome: np.ndarray, proba: np.ndarray, n_bins: int = 10) -> float:
    """Expected calibration error (Naeini et al. 2015) over bins of equal count, in [0, 1]."""
    curve = calibration_curve(outcome, proba, n_bins)
    return float(np.abs(curve["mean"] - curve["frequency"]) @ curve["count"] / curve["count"].sum())


def log_losses(y: np.ndarray, proba: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """(n,) log loss of each row in nats; probabilities below the float64 epsilon count as it, as in scikit-learn."""
    codes = np.searchsorted(classes, y)
    return -np.log(np.clip(proba[np.arange(len(codes)), codes], np.finfo(np.float64).eps, 1.0))


def resampled_scores(
    y: Any, proba: np.ndarray, classes: np.ndarray, step: np.ndarray, counts: np.ndarray
) -> dict[str, np.ndarray]:
    """Log loss, Brier, accuracy and, for two classes, AUC in each of many resamples of whole steps.

    Parameters
    ----------
    step : (n,) the step (day) of each row; counts : (b, t) how often each step occurs in each sample.

    Returns
    -------
    dict of (b,) arrays. An AUC that does not exist (one class only in a sample) is NaN.
    """
    labels, proba, classes = read_proba(y, proba, classes)
    codes = np.searchsorted(classes, labels)
    brier = ((proba - np.eye(len(classes))[codes]) ** 2).sum(axis=1) / (2.0 if len(classes) == 2 else 1.0)
    parts = {"log_loss": log_losses(labels, proba, classes), "brier": brier, "accuracy": proba.argmax(axis=1) == codes}
    n_steps = counts.shape[1]
    total = counts @ np.bincount(step, minlength=n_steps).astype(np.float64)
    out = {name: counts @ np.bincount(step, part, n_steps) / total for name, part in parts.items()}
    if len(classes) == 2:
        chunk = max(1, 4_000_000 // len(codes))  # bounds the memory of the (samples, rows) weights
        pieces = [
            weighted_auc(codes == 1, proba[:, 1], step, counts[first : first + chunk])
            for first in range(0, len(counts), chunk)
        ]
        out["auc"] = np.concatenate(pieces)
    return out


def weighted_auc(outcome: np.ndarray, score: np.ndarray, step: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(b,) area under the ROC curve, ties counting half, rows weighted by their step's counts; NaN without both."""
    order = np.argsort(score, kind="stable")
    edges = np.flatnonzero(np.diff(score[order], prepend=-np.inf))
    ordered = counts[:, step[order]]
    positive, negative = ordered * outcome[order], ordered * ~outcome[order]
    if len(edges) < len(order):
        positive, negative = (np.add.reduceat(part, edges, axis=1) for part in (positive, negative))
    below = np.cumsum(negative, axis=1) - 0.5 * negative
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (positive * below).sum(axis=1) / np.where(pairs > 0, pairs, np.nan)
