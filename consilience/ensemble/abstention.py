"""From probabilities to positions, with none where the confidence is too low."""

import numpy as np

from consilience.base import invalid


def check_threshold(threshold: float | None, owner: str) -> None:
    """Refuse a confidence threshold outside [0, 1]."""
    number = isinstance(threshold, int | float | np.number) and not isinstance(threshold, bool)
    if threshold is not None and not (number and 0.0 <= threshold <= 1.0):
        raise invalid("confidence_threshold", owner, "None or a probability in [0, 1]", threshold)


def positions(proba: np.ndarray, threshold: float | None = None) -> np.ndarray:
    """+1, 0 or −1 for each row of proba (n, n_classes), (n,) int64.

    Classes are taken in their order, from down to up: the lower half is short, the upper half long, and the middle
    one of an odd number stays out. A row whose most probable class has less than ``threshold`` stays out too.

    >>> positions(np.array([[0.7, 0.3], [0.48, 0.52], [0.1, 0.9]]), threshold=0.55)
    array([-1,  0,  1])
    """
    best = proba.argmax(axis=1)
    side = np.sign(2 * best - (proba.shape[1] - 1))
    sure = True if threshold is None else proba.max(axis=1) >= threshold
    return np.where(sure, side, 0).astype(np.int64)
