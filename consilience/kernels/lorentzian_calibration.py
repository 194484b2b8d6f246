"""Making a neighbour vote's probabilities mean what they say."""

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from consilience.base import InvalidState

_RIDGE = 1.0  # pseudo-rows that hold the slope at 1 and the offsets at 0; they only matter when rows are few


def fit_calibration(proba: np.ndarray, codes: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """Slope and offsets (1 + n_classes,) for ``apply_calibration``, by maximum likelihood on rows not learnt from.

    Parameters
    ----------
    proba : (n, n_classes), positive, rows summing to 1.
    codes : (n,) int64, the classes that came.
    weight : (n,) or None.

    The slope is kept from going below 0: a vote that points the wrong way on few rows is noise, and is then ignored.

    References
    ----------
    J. Platt, "Probabilistic outputs for support vector machines", 1999; C. Guo et al., "On calibration of modern neural
    networks", ICML 2017 (temperature and bias scaling).
    """
    logs = np.log(proba)
    rows = np.ones(len(codes)) if weight is None else weight
    onehot = np.eye(proba.shape[1])[codes]
    start = np.zeros(1 + proba.shape[1])
    start[0] = 1.0

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        scores = log_softmax(theta[0] * logs + theta[1:], axis=1)
        error = rows[:, None] * (np.exp(scores) - onehot)
        away = theta - start
        value = -(rows[:, None] * onehot * scores).sum() + 0.5 * _RIDGE * away @ away
        gradient = np.concatenate([[(error * logs).sum()], error.sum(axis=0)]) + _RIDGE * away
        return float(value), gradient

    bounds = [(0.0, None)] + [(None, None)] * proba.shape[1]
    return np.asarray(minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x, np.float64)


def apply_calibration(theta: np.ndarray, proba: np.ndarray) -> np.ndarray:
    """Probabilities proportional to exp(slope · log p + offset), (n, n_classes)."""
    return np.exp(log_softmax(theta[0] * np.log(proba) + theta[1:], axis=1))


def check_calibration(theta: np.ndarray, n_classes: int) -> None:
    """Refuse a stored calibration that ``fit_calibration`` could not have made."""
    if theta.shape != (1 + n_classes,) or theta.dtype != np.float64 or not np.isfinite(theta).all() or theta[0] < 0:
        raise InvalidState(f"The stored calibration must be a slope >= 0 and {n_classes} finite float64 offsets.")
