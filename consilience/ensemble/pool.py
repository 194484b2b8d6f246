"""The meta-learners: a log-linear pool of probabilities and a linear pool of values, both anchored at the base rate."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from consilience.ensemble.combine import evidence, softmax


@dataclass(frozen=True)
class LogOddsPool:
    """Probabilities whose log-odds are the base rate's plus a weighted sum of the members' centred evidence.

    With all weights zero it says the base rate. A member's evidence is centred on its own out-of-fold mean, so that a
    member that is always too high or too low cannot move the base rate.

    Attributes
    ----------
    base : (n_classes,) class frequencies.
    centre : (n_members, n_classes) mean evidence of each member.
    weights : (n_members,) non-negative.
    """

    base: np.ndarray
    centre: np.ndarray
    weights: np.ndarray

    def logits(self, outputs: np.ndarray) -> np.ndarray:
        """(n, n_classes) unnormalised log-probabilities from the members' probabilities (n_members, n, n_classes)."""
        moved = evidence(outputs, self.base) - self.centre[:, None, :]
        return np.log(self.base) + np.tensordot(self.weights, moved, axes=1)

    def combine(self, outputs: np.ndarray) -> np.ndarray:
        """(n, n_classes) probabilities."""
        return softmax(self.logits(outputs))

    def contributions(self, outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Per member (n_members, n, n_classes − 1) log-odds against the first class, and the base rate's (n_classes −
        1,).

        The base's plus the sum over members is the log-odds of the prediction.
        """
        moved = self.weights[:, None, None] * (evidence(outputs, self.base) - self.centre[:, None, :])
        return moved[:, :, 1:] - moved[:, :, :1], np.log(self.base[1:] / self.base[0])


@dataclass(frozen=True)
class LinearPool:
    """Values: the mean of the target plus a weighted sum of the members' centred predictions.

    Attributes
    ----------
    base : () mean of the target. centre : (n_members,). weights : (n_members,) non-negative.
    """

    base: np.ndarray
    centre: np.ndarray
    weights: np.ndarray

    def combine(self, outputs: np.ndarray) -> np.ndarray:
        """(n,) from the members' values (n_members, n)."""
        return self.base + np.tensordot(self.weights, outputs - self.centre[:, None], axes=1)

    def contributions(self, outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Per member (n_members, n), and the base; together they sum to the prediction."""
        return self.weights[:, None] * (outputs - self.centre[:, None]), self.base


class LogLoss:
    """Fitting a LogOddsPool; each method works on some rows of the table only."""

    def __init__(self, outputs: np.ndarray, target: np.ndarray, weight: np.ndarray, prior: np.ndarray):
        self.log_proba = evidence(outputs, np.ones(outputs.shape[2]))
        self.target, self.weight, self.prior = target, weight, prior

    def anchor(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Base rate (smoothed by half a row per class, so that an unseen class keeps a chance), and the centres."""
        counts = self.prior + np.bincount(self.target[rows], self.weight[rows], len(self.prior)) + 0.5
        base = counts / counts.sum()
        mean = np.average(self.log_proba[:, rows], axis=1, weights=self.weight[rows])
        return base, mean - np.log(base)

    def design(self, rows: np.ndarray, base: np.ndarray, centre: np.ndarray) -> np.ndarray:
        """(n_members, n, n_classes) centred evidence."""
        moved: np.ndarray = self.log_proba[:, rows] - (np.log(base) + centre)[:, None, :]
        return moved

    def losses(self, design: np.ndarray, rows: np.ndarray, base: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(n,) log loss of each row."""
        logits = np.log(base) + np.tensordot(weights, design, axes=1)
        logits -= logits.max(axis=1, keepdims=True)
        picked = logits[np.arange(len(logits)), self.target[rows]]
        total: np.ndarray = np.log(np.exp(logits).sum(axis=1)) - picked
        return total

    def curvature(self, design: np.ndarray, rows: np.ndarray, base: np.ndarray) -> float:
        """Mean over the members of the loss's second derivative in their weight, at the base rate."""
        mean = design @ base
        variance = (design**2) @ base - mean**2
        return float((variance @ self.weight[rows]).mean())

    def fit(
        self,
        design: np.ndarray,
        rows: np.ndarray,
        base: np.ndarray,
        target: np.ndarray,
        ridge: float,
        start: np.ndarray,
    ) -> np.ndarray:
        """Non-negative weights that minimise Σ loss + ridge/2 · |weights − target|², by projected Newton steps."""
        return newton(lambda w: self._expand(design, rows, base, w), target, ridge, start)

    def _expand(
        self, design: np.ndarray, rows: np.ndarray, base: np.ndarray, w: np.ndarray
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """Loss, gradient and Hessian of the sum over rows."""
        sample = self.weight[rows]
        logits = np.log(base) + np.tensordot(w, design, axes=1)
        proba = softmax(logits)
        picked = proba[np.arange(len(rows)), self.target[rows]]
        mean = np.einsum("mnc,nc->mn", design, proba)
        own = design[:, np.arange(len(rows)), self.target[rows]]
        flat = (design * np.sqrt(proba * sample[:, None])).reshape(len(design), -1)
        hessian = flat @ flat.T - (mean * sample) @ mean.T
        return -float(sample @ np.log(picked)), (mean - own) @ sample, hessian


class SquaredLoss:
    """Fitting a LinearPool: the same steps with squared errors, in units of the target's variance."""

    def __init__(self, outputs: np.ndarray, target: np.ndarray, weight: np.ndarray, prior: np.ndarray):
        self.values, self.target, self.weight = outputs, target, weight

    def anchor(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        weight = self.weight[rows]
        return np.average(self.target[rows], weights=weight), np.average(self.values[:, rows], axis=1, weights=weight)

    def design(self, rows: np.ndarray, base: np.ndarray, centre: np.ndarray) -> np.ndarray:
        moved: np.ndarray = self.values[:, rows] - centre[:, None]
        return moved

    def losses(self, design: np.ndarray, rows: np.ndarray, base: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(n,) half the squared error; the caller divides by the variance."""
        error: np.ndarray = self.target[rows] - base - weights @ design
        return 0.5 * error**2

    def curvature(self, design: np.ndarray, rows: np.ndarray, base: np.ndarray) -> float:
        return float(((design**2) @ self.weight[rows]).mean())

    def fit(
        self,
        design: np.ndarray,
        rows: np.ndarray,
        base: np.ndarray,
        target: np.ndarray,
        ridge: float,
        start: np.ndarray,
    ) -> np.ndarray:
        weighted = design * self.weight[rows]
        hessian = weighted @ design.T + ridge * np.eye(len(design))
        return quadratic_minimum(hessian, weighted @ (self.target[rows] - base) + ridge * target)


def newton(expand, target: np.ndarray, ridge: float, start: np.ndarray) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Minimise a smooth convex function plus a ridge over non-negative weights."""
    w = start
    value, gradient, hessian = expand(w)
    value += 0.5 * ridge * float((w - target) @ (w - target))
    for _ in range(30):
        full = hessian + ridge * np.eye(len(w))
        goal = quadratic_minimum(full, full @ w - gradient - ridge * (w - target))
        step, slope = goal - w, float((gradient + ridge * (w - target)) @ (goal - w))
        if -slope < 1e-7 * (1.0 + abs(value)) * 1e-2:
            break
        size = 1.0
        while True:
            trial = w + size * step
            new, new_gradient, new_hessian = expand(trial)
            new += 0.5 * ridge * float((trial - target) @ (trial - target))
            if new <= value + 1e-4 * size * slope or size < 1e-4:
                break
            size *= 0.5
        w, value, gradient, hessian = trial, new, new_gradient, new_hessian
    return w


def quadratic_minimum(hessian: np.ndarray, linear: np.ndarray) -> np.ndarray:
    """argmin over w >= 0 of w'Hw/2 − linear'w, for a positive semi-definite H (a trace of jitter makes it definite)."""
    scale = np.trace(hessian) / len(hessian)
    if scale <= 0.0:
        return np.zeros(len(hessian))
    factor = np.linalg.cholesky(hessian + 1e-9 * scale * np.eye(len(hessian)))
    found: np.ndarray = nnls(factor.T, np.linalg.solve(factor, linear))[0]
    return found
