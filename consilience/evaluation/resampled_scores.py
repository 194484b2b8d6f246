"""Every classification measure in many resamples of whole steps at once, from weighted counts."""

from typing import Any

import numpy as np

from consilience.evaluation.classification import N_BINS, calibration_bins, log_losses, precision_recall, read_proba
from consilience.evaluation.trading import ratio

_CELLS = 4_000_000  # bounds the memory of the (samples, rows) weights that an AUC needs


def resampled_scores(
    y: Any, proba: np.ndarray, classes: np.ndarray, step: np.ndarray, counts: np.ndarray
) -> dict[str, np.ndarray]:
    """The measures of ``classification_metrics`` in each of many resamples of whole steps (days).

    Parameters
    ----------
    y : (n,) labels; proba : (n, k); classes : (k,).
    step : (n,) the step of each row; counts : (b, t) how often each step occurs in each sample.

    Returns
    -------
    dict of (b,) arrays. An AUC that does not exist (one class only in a sample) is NaN. The bins of the calibration
    error are those of the whole sample.
    """
    labels, proba, classes = read_proba(y, proba, classes)
    codes, n_steps = np.searchsorted(classes, labels), counts.shape[1]

    def total(part: np.ndarray) -> np.ndarray:
        return counts @ np.bincount(step, part, n_steps)

    k = len(classes)
    rows = total(np.ones(len(codes)))
    squares = ((proba - np.eye(k)[codes]) ** 2).sum(axis=1) / (2.0 if k == 2 else 1.0)
    cell = codes * k + proba.argmax(axis=1)
    confusion = np.stack([total(cell == one) for one in range(k * k)], axis=1).reshape(-1, k, k)
    out = {
        "log_loss": total(log_losses(labels, proba, classes)) / rows,
        "brier": total(squares) / rows,
        **confusion_scores(confusion),
    }
    if k == 2:
        up, score = codes == 1, proba[:, 1]
        out["calibration_error"] = _calibration(up, score, total) / rows
        chunk = max(1, _CELLS // len(codes))
        pieces = [
            weighted_auc(up, score, step, counts[first : first + chunk]) for first in range(0, len(counts), chunk)
        ]
        out["auc"] = np.concatenate(pieces)
    return out


def confusion_scores(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """Accuracy and its relatives from confusion counts (b, true, predicted)."""
    right, k = np.einsum("bii->bi", confusion), confusion.shape[1]
    true, guessed, total = confusion.sum(axis=2), confusion.sum(axis=1), confusion.sum(axis=(1, 2))
    present = true > 0
    recalls = ratio(right, np.where(present, true, 1.0))
    precision, recall, f1 = precision_recall(right, true, guessed)
    covariance = right.sum(axis=1) * total - (true * guessed).sum(axis=1)
    spread = np.sqrt((total**2 - (guessed**2).sum(axis=1)) * (total**2 - (true**2).sum(axis=1)))
    chosen = slice(1, 2) if k == 2 else slice(None)
    return {
        "accuracy": right.sum(axis=1) / total,
        "balanced_accuracy": (recalls * present).sum(axis=1) / present.sum(axis=1),
        "precision": precision[:, chosen].mean(axis=1),
        "recall": recall[:, chosen].mean(axis=1),
        "f1": f1[:, chosen].mean(axis=1),
        "mcc": np.where(spread > 0, covariance / np.where(spread > 0, spread, 1.0), 0.0),
    }


def _calibration(up: np.ndarray, score: np.ndarray, total: Any) -> np.ndarray:
    bins = calibration_bins(score, N_BINS)
    gaps = [np.abs(total(np.where(bins == one, score - up, 0.0))) for one in np.unique(bins)]
    return np.asarray(np.sum(gaps, axis=0))


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
