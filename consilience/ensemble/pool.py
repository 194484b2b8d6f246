"""The meta-learners: a log-linear pool of probabilities and a linear pool of values, both anchored at the base rate."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from consilience.ensemble.combine import evidence, softmax


class _ByRegime:
    """Reading the regimes of rows as the pool wants them."""

    hard: bool

    def _regimes(self, regimes: np.ndarray | None) -> np.ndarray | None:
        return hardened(regimes) if self.hard and regimes is not None else regimes


@dataclass(frozen=True)
class LogOddsPool(_ByRegime):
    """Probabilities whose log-odds are the base rate's plus a weighted sum of the members' centred evidence.

    With all weights zero it says the base rate. A member's evidence is centred on its own out-of-fold mean, so that a
    member that is always too high or too low cannot move the base rate.

    Attributes
    ----------
    base : (n_classes,) class frequencies.
    centre : (n_members, n_classes) mean evidence of each member.
    weights : (n_regimes, n_members); one row where regimes play no part. A row's weights are the mean over
        regimes, by the filtered probabilities.
    hard : take the weights of the most probable regime instead of their mean.
    """

    base: np.ndarray
    centre: np.ndarray
    weights: np.ndarray
    hard: bool = False

    def logits(self, outputs: np.ndarray, regimes: np.ndarray | None = None) -> np.ndarray:
        """(n, n_classes) unnormalised log-probabilities.

        Parameters
        ----------
        outputs : (n_members, n, n_classes) the members' probabilities. regimes : (n, n_regimes), or None for one
            regime.
        """
        moved = evidence(outputs, self.base) - self.centre[:, None, :]
        pooled = row_sums(self.weights, moved, self._regimes(regimes))
        pooled += np.log(self.base)
        return pooled

    def combine(self, outputs: np.ndarray, regimes: np.ndarray | None = None) -> np.ndarray:
        """(n, n_classes) probabilities."""
        return softmax(self.logits(outputs, regimes))

    def contributions(self, outputs: np.ndarray, regimes: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Per member (n_members, n, n_classes − 1) log-odds against the first class, and the base's (n_classes − 1,).

        The base's plus the sum over members is the log-odds of the prediction.
        """
        moved = evidence(outputs, self.base) - self.centre[:, None, :]
        moved = moved * row_weights(self.weights, moved.shape[1], self._regimes(regimes))[:, :, None]
        return moved[:, :, 1:] - moved[:, :, :1], np.log(self.base[1:] / self.base[0])


@dataclass(frozen=True)
class LinearPool(_ByRegime):
    """Values: the mean of the target plus a weighted sum of the members' centred predictions.

    Attributes
    ----------
    base : () mean of the target. centre : (n_members,). weights : (n_regimes, n_members). hard : as above.
    """

    base: np.ndarray
    centre: np.ndarray
    weights: np.ndarray
    hard: bool = False

    def combine(self, outputs: np.ndarray, regimes: np.ndarray | None = None) -> np.ndarray:
        """(n,) from the members' values (n_members, n)."""
        return self.base + row_sums(self.weights, outputs - self.centre[:, None], self._regimes(regimes))

    def contributions(self, outputs: np.ndarray, regimes: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Per member (n_members, n), and the base; together they sum to the prediction."""
        moved = outputs - self.centre[:, None]
        return row_weights(self.weights, moved.shape[1], self._regimes(regimes)) * moved, self.base


Pool = LogOddsPool | LinearPool


def hardened(regimes: np.ndarray) -> np.ndarray:
    """(n, n_regimes) with 1 at each row's most probable regime.

    >>> hardened(np.array([[0.4, 0.6]]))
    array([[0., 1.]])
    """
    return np.eye(regimes.shape[1])[regimes.argmax(axis=1)]


def row_weights(weights: np.ndarray, n_rows: int, regimes: np.ndarray | None) -> np.ndarray:
    """(n_members, n) each row's weights, from weights (n_regimes, n_members) and regimes (n, n_regimes)."""
    if len(weights) == 1 or regimes is None:
        return np.broadcast_to(weights.mean(axis=0)[:, None], (weights.shape[1], n_rows))
    own: np.ndarray = (regimes @ weights).T
    return own


def row_sums(weights: np.ndarray, moved: np.ndarray, regimes: np.ndarray | None) -> np.ndarray:
    """(n, …) weighted sums over the members of moved (n_members, n, …)."""
    if len(weights) == 1 or regimes is None:
        mean = weights[0] if len(weights) == 1 else weights.mean(axis=0)
        return np.tensordot(mean, moved, axes=1)
    total: np.ndarray = np.einsum("mn,mn...->n...", row_weights(weights, moved.shape[1], regimes), moved)
    return total


def by_regime(design: np.ndarray, regimes: np.ndarray) -> np.ndarray:
    """The design of regime-wise weights, (n_regimes · n_members, n, …), from design (n_members, n, …)."""
    shares = regimes.T.reshape(regimes.shape[1], 1, len(regimes), *([1] * (design.ndim - 2)))
    return (shares * design).reshape(-1, *design.shape[1:])


class LogLoss:
    """Fitting a LogOddsPool; each method works on some rows of the table only.

    A design is (n_members, n, n_classes - 1): centred evidence as log-odds against the first class, which halves the
    work for two classes.
    """

    def __init__(self, outputs: np.ndarray, target: np.ndarray, weight: np.ndarray, prior: np.ndarray):
        self.log_proba = evidence(outputs, np.ones(outputs.shape[2]))
        self.odds = np.ascontiguousarray(self.log_proba[:, :, 1:] - self.log_proba[:, :, :1])
        self.target, self.weight, self.prior = target, weight, prior

    def anchor(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Base rate (smoothed by half a row per class, so that an unseen class keeps a chance), and the centres."""
        weight = self.weight[rows]
        counts = self.prior + np.bincount(self.target[rows], weight, len(self.prior)) + 0.5
        base = counts / counts.sum()
        mean = np.einsum("mnc,n->mc", self.log_proba[:, rows], weight) / max(weight.sum(), 1e-300)
        return base, mean - np.log(base)

    def design(self, rows: np.ndarray, base: np.ndarray, centre: np.ndarray) -> np.ndarray:
        """(n_members, n, n_classes - 1) centred log-odds against the first class."""
        shift = np.log(base) + centre
        moved: np.ndarray = self.odds[:, rows] - (shift[:, 1:] - shift[:, :1])[:, None, :]
        return moved

    def losses(self, design: np.ndarray, rows: np.ndarray, base: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(n,) log loss of each row."""
        return self._log_losses(self._logits(design, base, weights), self.target[rows])[0]

    def curvature(self, design: np.ndarray, rows: np.ndarray, base: np.ndarray) -> float:
        """Mean over the members of the loss's second derivative in their weight, at the base rate."""
        variance = (design**2) @ base[1:] - (design @ base[1:]) ** 2
        return float((variance @ self.weight[rows]).mean())

    def fit(
        self,
        design: np.ndarray,
        rows: np.ndarray,
        base: np.ndarray,
        goal: np.ndarray,
        ridge: float,
        start: np.ndarray,
        signed: bool = False,
    ) -> np.ndarray:
        """Weights (non-negative unless ``signed``) that minimise Σ loss + ridge/2 · |weights − goal|², by Newton
        steps."""
        target, sample = self.target[rows], self.weight[rows]
        return newton(lambda w: self._expand(design, target, sample, base, w), goal, ridge, start, signed)

    def _logits(self, design: np.ndarray, base: np.ndarray, weights: np.ndarray) -> np.ndarray:
        logits: np.ndarray = np.tensordot(weights, design, axes=1) + np.log(base[1:] / base[0])
        return logits

    def _log_losses(self, logits: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Loss of each row (n,), and the probabilities of all classes but the first (n, n_classes - 1)."""
        if logits.shape[1] == 1:
            odds = logits[:, 0]
            small = np.exp(-np.abs(odds))  # in (0, 1]: one exponential and one logarithm that numpy has vector code for
            proba = np.where(odds > 0.0, 1.0, small) / (1.0 + small)
            return np.maximum(odds, 0.0) + np.log(1.0 + small) - odds * target, proba[:, None]
        full = np.concatenate([np.zeros((len(logits), 1)), logits], axis=1)
        highest = full.max(axis=1)
        total = np.log(np.exp(full - highest[:, None]).sum(axis=1)) + highest
        return total - full[np.arange(len(full)), target], np.exp(logits - total[:, None])

    def _expand(
        self, design: np.ndarray, target: np.ndarray, sample: np.ndarray, base: np.ndarray, w: np.ndarray
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """Loss, gradient and Hessian of the sum over rows."""
        losses, proba = self._log_losses(self._logits(design, base, w), target)
        error = (proba - (target[:, None] == np.arange(1, len(base)))) * sample[:, None]
        flat = design.reshape(len(design), -1)
        if len(base) == 2:
            hessian = (flat * (proba[:, 0] * (1.0 - proba[:, 0]) * sample)) @ flat.T
        else:
            mean = np.einsum("mnc,nc->mn", design, proba)
            hessian = (flat * (proba * sample[:, None]).ravel()) @ flat.T - (mean * sample) @ mean.T
        return float(sample @ losses), flat @ error.ravel(), hessian


class SquaredLoss:
    """Fitting a LinearPool: the same steps with squared errors, in units of the target's variance."""

    def __init__(self, outputs: np.ndarray, target: np.ndarray, weight: np.ndarray, prior: np.ndarray):
        self.values, self.target, self.weight = outputs, target, weight

    def anchor(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean of the target, and of each member's values."""
        weight = self.weight[rows]
        weight = weight / max(weight.sum(), 1e-300)
        return np.asarray(self.target[rows] @ weight), self.values[:, rows] @ weight

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
        goal: np.ndarray,
        ridge: float,
        start: np.ndarray,
        signed: bool = False,
    ) -> np.ndarray:
        weighted = design * self.weight[rows]
        hessian = weighted @ design.T + ridge * np.eye(len(design))
        return quadratic_minimum(hessian, weighted @ (self.target[rows] - base) + ridge * goal, signed)


Expansion = tuple[float, np.ndarray, np.ndarray]  # loss, gradient (n,), Hessian (n, n)


def newton(
    expand: Callable[[np.ndarray], Expansion], goal: np.ndarray, ridge: float, start: np.ndarray, signed: bool = False
) -> np.ndarray:
    """argmin over w (>= 0 unless signed) of a smooth convex loss + ridge/2 · |w − goal|², by Newton steps with
    backtracking."""

    def whole(w: np.ndarray) -> Expansion:
        value, gradient, hessian = expand(w)
        away = w - goal
        return value + 0.5 * ridge * float(away @ away), gradient + ridge * away, hessian + ridge * np.eye(len(w))

    w = start
    value, gradient, hessian = whole(w)
    for _ in range(30):
        step = quadratic_minimum(hessian, hessian @ w - gradient, signed) - w
        slope = float(gradient @ step)
        if slope > -1e-7:  # nats in all: far below what any row could notice
            break
        size = 1.0
        trial = whole(w + step)
        while trial[0] > value + 1e-4 * size * slope and size > 1e-4:
            size *= 0.5
            trial = whole(w + size * step)
        w = w + size * step
        value, gradient, hessian = trial
    return w


def quadratic_minimum(hessian: np.ndarray, linear: np.ndarray, signed: bool = False) -> np.ndarray:
    """argmin over w (>= 0 unless signed) of w'Hw/2 − linear'w, for a positive semi-definite H (jitter makes it
    definite)."""
    scale = np.trace(hessian) / len(hessian)
    if scale <= 0.0:
        return np.zeros(len(hessian))
    factor = np.linalg.cholesky(hessian + 1e-9 * scale * np.eye(len(hessian)))
    if signed:
        return np.asarray(np.linalg.solve(factor.T, np.linalg.solve(factor, linear)))
    found: np.ndarray = nnls(factor.T, np.linalg.solve(factor, linear))[0]
    return found
