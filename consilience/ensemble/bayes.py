"""Bayes' rule over candidates that each predicted rows which they were not fitted on.

Half of the prior is on the simplest candidate, the first; the others share the rest. Rows repeat each other: labels
of one asset overlap in time, and assets move together. What repeats counts once, or a thousand stocks would be a
thousand witnesses of one market day. The summed losses are therefore divided by the factor by which repetition
widens their spread (the design effect of Kish, *Survey Sampling*, 1965; a likelihood is tempered by it in Ribatet,
Cooley & Davison, "Bayesian inference from composite likelihoods", *Statistica Sinica* 22, 2012).
"""

from dataclasses import dataclass

import numpy as np

from consilience.base.magnitude import magnitude


@dataclass(frozen=True)
class Scored:
    """Losses of candidates on rows that they were not fitted on.

    Attributes
    ----------
    losses : (n, n_candidates), the simplest candidate first: log losses, or half the squared errors.
    weight : (n,) how much each row counts.
    begin : (n,) int64 when each row is. reach : (n,) time steps that its label reaches over, see ``reach``.
    squared : the losses are squared errors, of which the least mean is taken as the variance.
    """

    losses: np.ndarray
    weight: np.ndarray
    begin: np.ndarray
    reach: np.ndarray
    squared: bool


def half_on_the_first(n_candidates: int) -> np.ndarray:
    """The prior (n_candidates,) that needs evidence to leave the simplest candidate.

    >>> half_on_the_first(3)
    array([0.5 , 0.25, 0.25])
    """
    prior = np.full(n_candidates, 0.5 / (n_candidates - 1))
    prior[0] = 0.5
    return prior


def posterior_shares(scored: Scored, prior: np.ndarray) -> np.ndarray:
    """Each candidate's share (n_candidates,), summing to 1; the prior where nothing was scored.

    >>> rows = np.arange(4)
    >>> losses = np.array([[0.7, 0.2]] * 4)
    >>> posterior_shares(Scored(losses, np.ones(4), rows, np.ones(4), False), np.array([0.5, 0.5])).round(2)
    array([0.12, 0.88])
    """
    if not scored.weight.sum() > 0:
        return prior
    total = scored.weight @ scored.losses
    more = total - total.min()
    if scored.squared:
        variance = 2.0 * total.min() / scored.weight.sum()
        more = np.divide(more, variance, out=np.where(more > 0.0, np.inf, 0.0), where=variance > 0.0)
    log_share = np.log(prior) - more / repetition(scored)
    share = np.exp(log_share - log_share.max())
    result: np.ndarray = share / share.sum()
    return result


def repetition(scored: Scored) -> float:
    """How many rows say what one independent row would: at least 1."""
    return max(1.0, float(scored.reach.mean())) * common_movement(scored)


def reach(begin: np.ndarray, end: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """(n,) how many of the time steps (t,) from its begin on a label needs to become known.

    >>> steps = np.arange(100)
    >>> reach(steps[:3], steps[:3] + 5, steps)
    array([5, 5, 5])
    """
    found: np.ndarray = np.searchsorted(steps, end, side="left") - np.searchsorted(steps, begin, side="left")
    return found


def common_movement(scored: Scored) -> float:
    """The variance of what one time step says, over what it would be if its rows were independent; at least 1.

    What a row says is by how much a candidate's loss differs there from the simplest candidate's, so that a forecast
    of differences between assets is not held for a repeated one because all assets follow the market. Candidates must
    be judged by one scale: the one whose rows repeat each other most sets it. A single step is a single witness.
    """
    weight = scored.weight[:, None]
    said = scored.losses[:, 1:] - scored.losses[:, :1]
    said = said / magnitude(said)
    said = (said - np.average(said, axis=0, weights=scored.weight)) * weight
    order = np.argsort(scored.begin, kind="stable")
    first = np.flatnonzero(np.diff(scored.begin[order], prepend=scored.begin[order[0]] - 1))
    if len(first) == 1:
        return float(scored.weight.sum() ** 2 / (scored.weight**2).sum())
    alone = (said**2).sum(axis=0)
    together = (np.add.reduceat(said[order], first, axis=0) ** 2).sum(axis=0)
    told = alone > 0.0
    most = np.diff(first, append=len(order)).max()  # rows of one step; the ratio cannot be larger but by rounding
    return float(np.minimum(together[told] / alone[told], most).max(initial=1.0))
