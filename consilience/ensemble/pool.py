"""The meta-learners: a log-linear pool of probabilities and a linear pool of values, both anchored at the base rate.

Both limit how far the members together may move a prediction away from the base rate, so that the loss of every row is
bounded whatever the members predict. ``pool_fitting`` has the losses that the weights are fitted on.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from consilience.ensemble.combine import CLIP, evidence, softmax

SURE = float(np.log((1.0 - CLIP) / CLIP))  # log-odds of the surest prediction that a single member may make
REACH = 3.0  # how far a value may be from the mean, in units of the farthest that the target has been


class _ByRegime:
    """Reading the regimes of rows as the pool wants them."""

    hard: bool

    def _regimes(self, regimes: np.ndarray | None) -> np.ndarray | None:
        return hardened(regimes) if self.hard and regimes is not None else regimes


@dataclass(frozen=True)
class LogOddsPool(_ByRegime):
    """Probabilities whose log-odds are the base rate's plus a weighted sum of the members' centred evidence.

    With all weights zero it gives the base rate. A member's log-odds are centred on their own out-of-fold mean, so
    that a member that is always too high or too low cannot move the base rate.

    The sum is limited: the log-odds between any two classes move by at most ``shift_limit(base)``. Whatever the members
    predict, the log loss of a row is therefore at most the base rate's loss of that row plus ``shift_limit(base)``,
    since log loss changes by no more than the largest change of a log-odds.

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
        pooled = limited(row_sums(self.weights, moved, self._regimes(regimes)), self._limit)
        return pooled + np.log(self.base)

    def combine(self, outputs: np.ndarray, regimes: np.ndarray | None = None) -> np.ndarray:
        """(n, n_classes) probabilities."""
        return softmax(self.logits(outputs, regimes))

    def contributions(self, outputs: np.ndarray, regimes: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Per member (n_members, n, n_classes − 1) log-odds against the first class, and the base's (n_classes − 1,).

        The base's plus the sum over members is the log-odds of the prediction.
        """
        moved = evidence(outputs, self.base) - self.centre[:, None, :]
        moved = moved * row_weights(self.weights, moved.shape[1], self._regimes(regimes))[:, :, None]
        moved = moved * limit_factor(moved.sum(axis=0), self._limit)[:, None]
        return moved[:, :, 1:] - moved[:, :, :1], np.log(self.base[1:] / self.base[0])

    @cached_property
    def _limit(self) -> float:
        return shift_limit(self.base)


@dataclass(frozen=True)
class LinearPool(_ByRegime):
    """Values: the mean of the target plus a weighted sum of the members' centred predictions.

    No member, and not their sum, moves the value farther from the mean than ``limit``. With targets inside the limit
    the error of a row is therefore at most twice the limit.

    Attributes
    ----------
    base : () mean of the target. centre : (n_members,). weights : (n_regimes, n_members). hard : as above.
    limit : ``REACH`` times the target's largest known distance from its mean; infinite in versions stored before 0.2.
    """

    base: np.ndarray
    centre: np.ndarray
    weights: np.ndarray
    hard: bool = False
    limit: float = np.inf

    def combine(self, outputs: np.ndarray, regimes: np.ndarray | None = None) -> np.ndarray:
        """(n,) from the members' values (n_members, n)."""
        total = row_sums(self.weights, self._moved(outputs), self._regimes(regimes))
        value: np.ndarray = self.base + np.clip(total, -self.limit, self.limit)
        return value

    def contributions(self, outputs: np.ndarray, regimes: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Per member (n_members, n), and the base; together they sum to the prediction."""
        moved = self._moved(outputs)
        moved = row_weights(self.weights, moved.shape[1], self._regimes(regimes)) * moved
        total = np.abs(moved.sum(axis=0))
        return moved * np.divide(self.limit, total, out=np.ones_like(total), where=total > self.limit), self.base

    def _moved(self, outputs: np.ndarray) -> np.ndarray:
        moved: np.ndarray = np.clip(outputs - self.centre[:, None], -self.limit, self.limit)
        return moved


Pool = LogOddsPool | LinearPool


def shift_limit(base: np.ndarray) -> float:
    """How far members together may move the log-odds between two classes: to the surest prediction of a single member,
    from the other end of the base rate.

    >>> round(shift_limit(np.array([0.5, 0.5])), 2)
    6.91
    """
    return SURE + float(np.log(base.max() / base.min()))


def limit_factor(shift: np.ndarray, limit: float) -> np.ndarray:
    """(n,) what to multiply rows of log-odds shifts (n, n_classes) by, so that no two classes are moved further apart
    than the limit: 1 where they are not."""
    return _factor(shift.max(axis=-1) - shift.min(axis=-1), limit)


def limited(shift: np.ndarray, limit: float) -> np.ndarray:
    """The shifts (n, n_classes), scaled down where they exceed the limit.

    >>> limited(np.array([[-6.0, 6.0], [-1.0, 1.0]]), 8.0)
    array([[-4.,  4.],
           [-1.,  1.]])
    """
    spread = shift.max(axis=-1) - shift.min(axis=-1)
    return shift if spread.max(initial=0.0) <= limit else shift * _factor(spread, limit)[:, None]


def _factor(spread: np.ndarray, limit: float) -> np.ndarray:
    return np.divide(limit, spread, out=np.ones_like(spread), where=spread > limit)


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
