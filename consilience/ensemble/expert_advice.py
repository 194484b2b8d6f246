"""Weights that learn from every outcome, with a bound on what they can lose to the best member, known in advance.

With log loss and a learning rate of 1, exponential weights are Bayes' rule and the weighted mean of the members'
probabilities loses at most ln M to the best of M members, whatever the market does. Fixed share gives a little of every
weight back to all members after each step, so that it can follow when the best member changes.

References
----------
Cesa-Bianchi & Lugosi, *Prediction, Learning, and Games* (2006), ch. 2, 3 and 5. Herbster & Warmuth, *Tracking the best
expert* (1998). Freund et al., *Using and combining predictors that specialize* (1997) for members that are absent.
"""

from math import log

import numpy as np


def normalise(log_weights: np.ndarray, alive: np.ndarray | None = None) -> np.ndarray:
    """Weights summing to 1 over the members that are there, at least one, from log weights (n_members,).

    >>> normalise(np.log([1.0, 3.0, 4.0]), np.array([True, True, False]))
    array([0.25, 0.75, 0.  ])
    """
    present = log_weights if alive is None else np.where(alive, log_weights, -np.inf)
    weights = np.exp(present - present.max())
    total: np.ndarray = weights / weights.sum()
    return total


def exponential_step(
    log_weights: np.ndarray, losses: np.ndarray, own: float, reported: np.ndarray | None = None
) -> np.ndarray:
    """Log weights after losses (n_members,) against the mixture's ``own`` loss.

    Members that are not ``reported`` (n_members,) bool are treated as if they had said what the mixture said, so that
    members may also report one after the other.

    >>> exponential_step(np.zeros(2), np.array([0.5, 1.0]), 0.7).round(1)
    array([ 0.2, -0.3])
    """
    moved = own - losses
    result: np.ndarray = log_weights + (moved if reported is None else np.where(reported, moved, 0.0))
    return result


def share_step(log_weights: np.ndarray, share: float) -> np.ndarray:
    """Move ``share`` of every weight to the other members, in equal parts."""
    n_members = len(log_weights)
    if n_members == 1 or share == 0.0:
        return log_weights
    weights = normalise(log_weights)
    moved: np.ndarray = np.log((1.0 - share) * weights + share * (1.0 - weights) / (n_members - 1))
    return moved


def exponential_bound(n_members: int) -> float:
    """Most nats of log loss in all that exponential weights (rate 1) can lose to the best member: ln M."""
    return log(n_members)


def fixed_share_bound(n_members: int, n_steps: int, n_switches: int, share: float) -> float:
    """Most nats in all that fixed share (rate 1) can lose to the best sequence of members with so many switches.

    >>> round(fixed_share_bound(8, 1000, 1, 0.01), 1)
    18.7
    """
    if n_members == 1:
        return 0.0
    stay = n_steps - 1 - n_switches
    switch = n_switches * (log(n_members - 1) - log(share)) if n_switches else 0.0
    return log(n_members) + switch - stay * log(1.0 - share)


def best_sequence_loss(losses: np.ndarray, n_switches: int) -> float:
    """Least total loss (n_steps, n_members) of any sequence of members that changes at most so often."""
    best = np.full((n_switches + 1, losses.shape[1]), np.inf)
    best[0] = 0.0
    for row in losses:
        entered = np.full_like(best, np.inf)
        entered[1:] = best[:-1].min(axis=1, keepdims=True)
        best = np.minimum(best, entered) + row
    return float(best.min())
