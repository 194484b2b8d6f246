"""The plain scores of predictions, by scikit-learn's definitions; ``evaluation.metrics`` builds on them."""

import numpy as np
from sklearn import metrics

from consilience.base.magnitude import magnitude


def classification_scores(y: np.ndarray, proba: np.ndarray, classes: np.ndarray) -> dict[str, float]:
    """Log loss (nats), Brier, accuracy, balanced accuracy, F1, Matthews correlation and AUC.

    Parameters
    ----------
    y : (n,) labels, each one of classes.
    proba : (n, len(classes)) probabilities, rows summing to 1.

    The Brier score is the mean squared error of the probabilities summed over classes, half of it for two (Brier 1950).
    An AUC needs both classes in y; it is left out when only one is there.
    """
    codes = np.searchsorted(classes, y)
    guess = proba.argmax(axis=1)
    onehot = np.eye(len(classes))[codes]
    brier = float(np.mean(((proba - onehot) ** 2).sum(axis=1)))
    scores = {
        "log_loss": float(metrics.log_loss(codes, proba, labels=np.arange(len(classes)))),
        "brier": brier / 2 if len(classes) == 2 else brier,
        "accuracy": float(np.mean(guess == codes)),
        "balanced_accuracy": float(np.mean([np.mean(guess[codes == c] == c) for c in np.unique(codes)])),
        "f1": float(
            metrics.f1_score(codes, guess, average="binary" if len(classes) == 2 else "macro", zero_division=0.0)
        ),
        # scikit-learn warns of a single label; the correlation is then 0 by definition.
        "mcc": float(metrics.matthews_corrcoef(codes, guess)) if np.ptp([codes, guess]) > 0 else 0.0,
    }
    if len(np.unique(codes)) == len(classes):
        if len(classes) == 2:
            scores["auc"] = float(metrics.roc_auc_score(codes, proba[:, 1]))
        else:
            scores["auc"] = float(
                metrics.roc_auc_score(codes, proba, multi_class="ovr", labels=np.arange(len(classes)))
            )
    return scores


def regression_scores(y: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """RMSE and MAE (units of y) and R² (1 is perfect, 0 is the mean of y)."""
    unit = max(magnitude(y), magnitude(predicted))
    y, predicted = y / unit, predicted / unit
    return {
        "rmse": float(metrics.root_mean_squared_error(y, predicted)) * unit,
        "mae": float(metrics.mean_absolute_error(y, predicted)) * unit,
        "r2": float(metrics.r2_score(y, predicted)),
    }
