"""Votes as pools: they combine and explain like the meta-learners of ``pool``, with given or searched weights."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from consilience.ensemble.combine import hard_vote, soft_vote

Scale = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class SoftVote:
    """The weighted mean of the members' probabilities.

    Attributes
    ----------
    base : (n_classes,) class frequencies at ``fit``, against which contributions are told. weights : (n_members,).
    """

    base: np.ndarray
    weights: np.ndarray

    def combine(self, outputs: np.ndarray, regimes: np.ndarray | None = None) -> np.ndarray:
        """(n, n_classes) probabilities from (n_members, n, n_classes)."""
        return soft_vote(outputs, self.weights)

    def contributions(self, outputs: np.ndarray, regimes: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Per member (n_members, n, n_classes − 1) log-odds against the first class, and the base's (``in_turn``)."""
        neutral = np.broadcast_to(self.base, outputs.shape)
        return in_turn(lambda said: log_odds(soft_vote(said, self.weights)), outputs, neutral)


@dataclass(frozen=True)
class HardVote:
    """The share of the weight that votes for each class; attributes as of ``SoftVote``.

    A share can be 0, whose log-odds are infinite, so contributions are shares of the vote: each member's weight for the
    class that it names, from a base of 0.
    """

    base: np.ndarray
    weights: np.ndarray

    def combine(self, outputs: np.ndarray, regimes: np.ndarray | None = None) -> np.ndarray:
        """(n, n_classes) shares from (n_members, n, n_classes)."""
        return hard_vote(outputs, self.weights)

    def contributions(self, outputs: np.ndarray, regimes: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Per member (n_members, n, n_classes − 1) shares for all classes but the first, and a base of zeros."""
        votes = outputs.argmax(axis=2)[:, :, None] == np.arange(1, outputs.shape[2])
        weights = self.weights / self.weights.sum()
        return weights[:, None, None] * votes, np.zeros(outputs.shape[2] - 1)


@dataclass(frozen=True)
class MeanVote:
    """The weighted mean of the members' values; base : () mean of the target at ``fit``, weights : (n_members,)."""

    base: np.ndarray
    weights: np.ndarray

    def combine(self, outputs: np.ndarray, regimes: np.ndarray | None = None) -> np.ndarray:
        """(n,) values from (n_members, n)."""
        return np.asarray(self.weights @ outputs / self.weights.sum())

    def contributions(self, outputs: np.ndarray, regimes: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Per member (n_members, n) how far it moves the value away from the mean of the target, and that mean."""
        weights = self.weights / self.weights.sum()
        return weights[:, None] * (outputs - self.base), self.base


VotePool = SoftVote | HardVote | MeanVote


def in_turn(scale: Scale, outputs: np.ndarray, neutral: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What each member adds to a combination that is no sum, and the base where all are neutral.

    Members go from neutral to what they said one after the other; each gets the change that it makes, averaged over the
    order of the list and its reverse. The base plus the sum is the combination.

    Parameters
    ----------
    scale : the combination of outputs (n_members, n, …), on the scale to explain, (n, …).
    neutral : like outputs, what stands for a member that says nothing.

    Examples
    --------
    >>> parts, base = in_turn(lambda said: said[0] * said[1], np.array([[3.0], [5.0]]), np.array([[1.0], [1.0]]))
    >>> parts.ravel().tolist(), base.tolist()
    ([6.0, 8.0], [1.0])
    """
    base = scale(np.array(neutral))
    total = np.zeros((len(outputs), *base.shape))
    for order in (range(len(outputs)), range(len(outputs) - 1, -1, -1)):
        mixed, before = np.array(neutral), base
        for member in order:
            mixed[member] = outputs[member]
            after = scale(mixed)
            total[member] += 0.5 * (after - before)
            before = after
    return total, base


def log_odds(proba: np.ndarray) -> np.ndarray:
    """(n, n_classes − 1) against the first class, finite also for probabilities of 0."""
    logs = np.log(np.maximum(proba, 1e-300))
    odds: np.ndarray = logs[:, 1:] - logs[:, :1]
    return odds
