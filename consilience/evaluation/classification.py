"""Measures of class probabilities."""

from typing import Any

import numpy as np

from consilience.base import InvalidInput
from consilience.base.scores import classification_scores

N_BINS = 10


def classification_metrics(y: Any, proba: np.ndarray, classes: np.ndarray) -> dict[str, float]:
    """Everything in ``base.scores.classification_scores``, precision, recall, and the calibration error of two classes.

    Parameters
    ----------
    y : (n,) labels; proba : (n, k), columns in the order of the sorted ``classes``.

    Units: log loss in nats; Brier in squared probability, in [0, 1] for two classes; the others in [0, 1] but for the
    Matthews correlation in [-1, 1]. Precision and recall are of the last of two classes, or the mean over more (0 where
    nothing was predicted, or nothing was there). ``auc`` is left out where y has one class only: it does not exist.
    """
    labels, proba, classes = read_proba(y, proba, classes)
    scores = classification_scores(labels, proba, classes)
    codes, guess, k = np.searchsorted(classes, labels), proba.argmax(axis=1), len(classes)
    right, true, guessed = (np.bincount(part, minlength=k) for part in (codes[codes == guess], codes, guess))
    precision, recall, _ = precision_recall(right, true, guessed)
    chosen = slice(1, 2) if k == 2 else slice(None)
    scores |= {"precision": float(precision[chosen].mean()), "recall": float(recall[chosen].mean())}
    if k == 2:
        scores["calibration_error"] = calibration_error(codes == 1, proba[:, 1])
    return scores


def precision_recall(
    right: np.ndarray, true: np.ndarray, guessed: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall and F1 of each class from counts (..., k); 0 where a count they divide by is 0."""
    precision, recall = (right / np.where(part > 0, part, 1) for part in (guessed, true))
    return precision, recall, 2.0 * right / np.where(true + guessed > 0, true + guessed, 1)


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


def log_losses(y: np.ndarray, proba: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """(n,) log loss of each row in nats; probabilities below the float64 epsilon count as it, as in scikit-learn."""
    codes = np.searchsorted(classes, y)
    return -np.log(np.clip(proba[np.arange(len(codes)), codes], np.finfo(np.float64).eps, 1.0))


def calibration_bins(proba: np.ndarray, n_bins: int) -> np.ndarray:
    """(n,) the bin of each probability: bins of about equal count, equal probabilities in the same one."""
    edges = np.unique(np.quantile(proba, np.linspace(0.0, 1.0, n_bins + 1)[1:-1]))
    return np.searchsorted(edges, proba, side="left")


def calibration_curve(outcome: np.ndarray, proba: np.ndarray, n_bins: int = N_BINS) -> dict[str, np.ndarray]:
    """Mean probability, observed frequency and count in bins of equal count (ties stay together), low to high.

    outcome : (n,) bool; proba : (n,) of that outcome. Returns arrays ``mean``, ``frequency``, ``count`` of one length.
    """
    bins = calibration_bins(proba, n_bins)
    count = np.bincount(bins)
    full = count > 0
    mean, frequency = (np.bincount(bins, part)[full] / count[full] for part in (proba, outcome))
    return {"mean": mean, "frequency": frequency, "count": count[full]}


def calibration_error(outcome: np.ndarray, proba: np.ndarray, n_bins: int = N_BINS) -> float:
    """Expected calibration error (Naeini et al. 2015) over bins of equal count, in [0, 1]."""
    curve = calibration_curve(outcome, proba, n_bins)
    return float(np.abs(curve["mean"] - curve["frequency"]) @ curve["count"] / curve["count"].sum())


def calibration_noise(proba: np.ndarray, n_bins: int = N_BINS, *, horizon: int = 1) -> float:
    """The calibration error expected of perfectly calibrated probabilities, from chance alone, in [0, 1].

    Each bin's frequency scatters with the binomial variance over its count; labels that overlap over ``horizon`` steps
    are worth one observation in ``horizon``. The mean of |N(0, s)| is s sqrt(2/pi).
    """
    bins = calibration_bins(proba, n_bins)
    count = np.bincount(bins)
    variance = np.bincount(bins, proba * (1.0 - proba)) * horizon
    return float(np.sqrt(variance * 2.0 / np.pi).sum() / count.sum())
