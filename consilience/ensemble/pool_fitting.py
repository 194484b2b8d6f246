"""The losses that a pool's weights are fitted on, and their minimisation.

Scales come from what a prediction can mean, not from the data at hand alone. A weight of 1 takes a member at its word,
so weights have a prior around 0 with the standard deviation ``PRIOR_SD``: a direction in which the members hardly moved
has no evidence to leave 0. Two members whose predictions differ by less than ``RESOLUTION`` repeat each other and share
one weight.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from consilience.ensemble.combine import CLIP, evidence
from consilience.ensemble.pool import REACH, shift_limit

PRIOR_SD = 3.0  # standard deviation of a weight before any evidence, in rows of weight 1
PRIOR_PRECISION = 1.0 / PRIOR_SD**2
WEIGHT_LIMIT = 10.0  # no weight is larger, of either sign; members that repeat each other share it
RESOLUTION = 4.0 * CLIP  # in log-odds, a probability of 0.5 moved by CLIP; in standard deviations of a value


@dataclass(frozen=True)
class Anchor:
    """Where a pool starts from, of some known rows.

    Attributes
    ----------
    base : (n_classes,) class frequencies, or () the mean of the target.
    centre : (n_members, n_classes) mean log-odds shift of each member, or (n_members,) mean value.
    scale : standard deviation of the target; 1 for classes.
    limit : how far predictions may be from the base: log-odds between two classes, or a distance from the mean.
    """

    base: np.ndarray
    centre: np.ndarray
    scale: float
    limit: float


@dataclass(frozen=True)
class Penalty:
    """Σ strength/2 · (weights − goal)², and no weight larger in size than its limit; all of shape (n_weights,)."""

    goal: np.ndarray
    strength: np.ndarray
    limit: np.ndarray


class LogLoss:
    """Fitting a LogOddsPool; each method works on some rows of the table only.

    A design is (n_members, n, n_classes - 1): centred log-odds against the first class, which halves the work for two
    classes.
    """

    def __init__(self, outputs: np.ndarray, target: np.ndarray, weight: np.ndarray, prior: np.ndarray):
        self.log_proba = evidence(outputs, np.ones(outputs.shape[2]))
        self.odds = np.ascontiguousarray(self.log_proba[:, :, 1:] - self.log_proba[:, :, :1])
        self.target, self.weight, self.prior = target, weight, prior

    def anchor(self, rows: np.ndarray) -> Anchor:
        """Base rate (smoothed by half a row per class, so that an unseen class keeps a chance), and the centres."""
        weight = self.weight[rows]
        counts = self.prior + np.bincount(self.target[rows], weight, len(self.prior)) + 0.5
        base = counts / counts.sum()
        mean = np.einsum("mnc,n->mc", self.log_proba[:, rows], weight) / max(weight.sum(), 1e-300)
        return Anchor(base, mean - np.log(base), 1.0, shift_limit(base))

    def design(self, rows: np.ndarray, anchor: Anchor) -> np.ndarray:
        """(n_members, n, n_classes - 1) centred log-odds against the first class."""
        shift = np.log(anchor.base) + anchor.centre
        moved: np.ndarray = self.odds[:, rows] - (shift[:, 1:] - shift[:, :1])[:, None, :]
        return moved

    def losses(self, design: np.ndarray, rows: np.ndarray, anchor: Anchor, weights: np.ndarray) -> np.ndarray:
        """(n,) log loss of each row, with the pool's limit on how far it may be from the base rate."""
        shift = np.tensordot(weights, design, axes=1)
        spread = np.maximum(shift.max(axis=1), 0.0) - np.minimum(shift.min(axis=1), 0.0)
        shift = shift * np.divide(anchor.limit, spread, out=np.ones_like(spread), where=spread > anchor.limit)[:, None]
        return self._log_losses(shift + np.log(anchor.base[1:] / anchor.base[0]), self.target[rows])[0]

    def curvature(self, design: np.ndarray, rows: np.ndarray, anchor: Anchor) -> np.ndarray:
        """(n_members,) the summed loss's second derivative in each weight, at the base rate: the Fisher information."""
        share = anchor.base[1:]
        variance = (design**2) @ share - (design @ share) ** 2
        information: np.ndarray = np.maximum(variance, 0.0) @ self.weight[rows]
        return information

    def fit(
        self,
        design: np.ndarray,
        rows: np.ndarray,
        anchor: Anchor,
        penalty: Penalty,
        start: np.ndarray,
        signed: bool = False,
    ) -> np.ndarray:
        """Weights (non-negative unless ``signed``) that minimise Σ loss + penalty, by Newton steps; never worse than
        the penalty's goal, and inside its limit."""
        target, sample, base = self.target[rows], self.weight[rows], anchor.base
        return newton(lambda w: self._expand(design, target, sample, base, w), penalty, start, signed)

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
        logits = np.tensordot(w, design, axes=1) + np.log(base[1:] / base[0])
        losses, proba = self._log_losses(logits, target)
        error = (proba - (target[:, None] == np.arange(1, len(base)))) * sample[:, None]
        flat = design.reshape(len(design), -1)
        if len(base) == 2:
            hessian = (flat * (proba[:, 0] * (1.0 - proba[:, 0]) * sample)) @ flat.T
        else:
            mean = np.einsum("mnc,nc->mn", design, proba)
            hessian = (flat * (proba * sample[:, None]).ravel()) @ flat.T - (mean * sample) @ mean.T
        return float(sample @ losses), flat @ error.ravel(), hessian


class SquaredLoss:
    """Fitting a LinearPool: the same steps with half the squared errors, in standard deviations of the target.

    Target and values are first divided by the largest absolute target, so that nothing overflows or vanishes.
    """

    def __init__(self, outputs: np.ndarray, target: np.ndarray, weight: np.ndarray, prior: np.ndarray):
        self.unit = float(np.abs(target).max(initial=0.0)) or 1.0
        with np.errstate(over="ignore"):
            self.values = np.clip(outputs / self.unit, -1e9, 1e9)
        self.target, self.weight = target / self.unit, weight

    def anchor(self, rows: np.ndarray) -> Anchor:
        """Mean of the target, and of each member's values, in the loss's own unit."""
        weight = self.weight[rows]
        weight = weight / max(weight.sum(), 1e-300)
        base, centre = np.asarray(_mean(self.target[rows], weight)), _mean(self.values[:, rows], weight)
        away = self.target[rows] - base
        limit = REACH * float(np.abs(away[weight > 0.0]).max(initial=0.0))
        return Anchor(base, centre, float(np.sqrt(away**2 @ weight)), limit)

    def design(self, rows: np.ndarray, anchor: Anchor) -> np.ndarray:
        """(n_members, n) centred values in standard deviations of the target, inside the pool's limit."""
        if anchor.scale == 0.0:
            return np.zeros((len(self.values), len(rows)))
        moved = np.clip(self.values[:, rows] - anchor.centre[:, None], -anchor.limit, anchor.limit)
        scaled: np.ndarray = moved / anchor.scale
        return scaled

    def losses(self, design: np.ndarray, rows: np.ndarray, anchor: Anchor, weights: np.ndarray) -> np.ndarray:
        """(n,) half the squared error in the loss's own unit; the caller divides by the variance."""
        moved = np.clip(anchor.scale * (weights @ design), -anchor.limit, anchor.limit)
        error: np.ndarray = self.target[rows] - anchor.base - moved
        return 0.5 * error**2

    def curvature(self, design: np.ndarray, rows: np.ndarray, anchor: Anchor) -> np.ndarray:
        """(n_members,) the summed loss's second derivative in each weight."""
        information: np.ndarray = (design**2) @ self.weight[rows]
        return information

    def fit(
        self,
        design: np.ndarray,
        rows: np.ndarray,
        anchor: Anchor,
        penalty: Penalty,
        start: np.ndarray,
        signed: bool = False,
    ) -> np.ndarray:
        """As for ``LogLoss``; the loss is quadratic, so one step does it."""
        if anchor.scale == 0.0:
            return penalty.goal
        weighted = design * self.weight[rows]
        away = (self.target[rows] - anchor.base) / anchor.scale
        hessian, linear = weighted @ design.T, weighted @ away

        def expand(w: np.ndarray) -> Expansion:
            return float(0.5 * w @ hessian @ w - linear @ w), hessian @ w - linear, hessian

        return newton(expand, penalty, start, signed)


def _mean(values: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Weighted mean over the last axis; exact where all values are equal, so that a constant has no variance at all."""
    first = values[..., :1]
    mean: np.ndarray = first[..., 0] + (values - first) @ share
    return mean


Expansion = tuple[float, np.ndarray, np.ndarray]  # loss, gradient (n,), Hessian (n, n)


def multiplicity(design: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(n_members,) how many members each one repeats, itself included: between 1 and n_members.

    Members count as repeated by exp(−d²/2), where d is the root mean square of their difference in units of
    ``RESOLUTION``. There is no threshold: exact copies count fully, members that differ noticeably not at all.

    >>> design = np.array([[1.0, -1.0], [1.0, -1.0], [0.5, 0.0]])[:, :, None]
    >>> multiplicity(design, np.ones(2))
    array([2., 2., 1.])
    """
    flat = design.reshape(len(design), len(weight), -1)
    flat = (flat * np.sqrt(weight / max(weight.sum(), 1e-300))[:, None]).reshape(len(design), -1)
    gram = flat @ flat.T
    size = np.diag(gram)
    squared = np.maximum(size[:, None] + size - 2.0 * gram, 0.0) / RESOLUTION**2
    counts: np.ndarray = np.exp(-0.5 * squared).sum(axis=1)
    return counts


def newton(
    expand: Callable[[np.ndarray], Expansion], penalty: Penalty, start: np.ndarray, signed: bool = False
) -> np.ndarray:
    """argmin over w (>= 0 unless signed) of a smooth convex loss plus the penalty, by Newton steps with backtracking.

    The result is inside the limit (as the goal must be) and never worse than the goal: where the minimum is outside,
    the weights are the last ones inside on the line from the goal to it, along which a convex loss does not rise.
    """
    goal, strength = penalty.goal, penalty.strength

    def whole(w: np.ndarray) -> Expansion:
        value, gradient, hessian = expand(w)
        away = w - goal
        return value + 0.5 * float(strength @ away**2), gradient + strength * away, hessian + np.diag(strength)

    w = start
    value, gradient, hessian = whole(w)
    for _ in range(30):
        step = quadratic_minimum(hessian, hessian @ w - gradient, w, signed) - w
        slope = float(gradient @ step)
        if slope > -1e-12 * max(1.0, abs(value)):  # what the step could still gain is lost in the sum's rounding
            break
        size = 1.0
        trial = whole(w + step)
        while trial[0] > value + 1e-4 * size * slope and size > 1e-4:
            size *= 0.5
            trial = whole(w + size * step)
        w = w + size * step
        value, gradient, hessian = trial
    else:  # not converged: the goal may be better still
        if value > whole(goal)[0]:
            return goal
    return within_limit(goal, w, penalty.limit)


def within_limit(goal: np.ndarray, weights: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """The point closest to ``weights`` on the line from ``goal`` whose entries are at most ``limit`` in size.

    >>> within_limit(np.zeros(2), np.array([5.0, -40.0]), np.full(2, 10.0))
    array([  1.25, -10.  ])
    """
    step = weights - goal
    room = limit - np.sign(step) * goal
    share = np.divide(room, np.abs(step), out=np.ones_like(step), where=np.abs(step) > room)
    return weights if share.min() == 1.0 else goal + share.min() * step


def quadratic_minimum(hessian: np.ndarray, linear: np.ndarray, start: np.ndarray, signed: bool = False) -> np.ndarray:
    """argmin over w (>= 0 unless signed) of w'Hw/2 − linear'w, for a positive semi-definite H (jitter makes it
    definite); ``start`` (>= 0 unless signed) is where the search begins."""
    scale = np.trace(hessian) / len(hessian)
    if scale <= 0.0:
        return np.zeros(len(hessian))
    definite = hessian + 1e-9 * scale * np.eye(len(hessian))
    return np.linalg.solve(definite, linear) if signed else _non_negative_minimum(definite, linear, start)


def _non_negative_minimum(hessian: np.ndarray, linear: np.ndarray, start: np.ndarray) -> np.ndarray:
    """argmin over w >= 0 of w'Hw/2 − linear'w, for a positive definite H.

    The active-set method of Lawson & Hanson (*Solving Least Squares Problems*, 1974, ch. 23) on the normal equations
    (Bro & de Jong, *J. Chemometrics* 11, 1997), from a given start: near the minimum one or two solutions are enough.
    scipy's ``nnls`` takes no start, and left the minimum by far where columns were nearly parallel (1.17).
    """
    w, free = start.copy(), start > 0.0
    tolerance = 1e-10 * float(np.abs(linear).max())
    for _ in range(3 * len(w) + 10):
        while free.any():
            found = np.zeros(len(w))
            found[free] = np.linalg.solve(hessian[np.ix_(free, free)], linear[free])
            below = free & (found <= 0.0)
            if not below.any():
                w = found
                break
            share = w[below] / (w[below] - found[below])  # how far to go until the first weight is 0
            w = np.where(free, w + share.min() * (found - w), 0.0)
            free &= w > 0.0
            free[np.flatnonzero(below)[share.argmin()]] = False
            w[~free] = 0.0
        gain = np.where(free, -np.inf, linear - hessian @ w)
        if gain.max() <= tolerance:
            break
        free[int(gain.argmax())] = True
    return w
