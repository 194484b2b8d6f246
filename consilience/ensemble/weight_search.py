"""Searching a vote's weights on an out-of-fold table, pulled towards equal weights as far as walking forward says."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from consilience.base.magnitude import magnitude
from consilience.ensemble.bayes import half_on_the_first, posterior_shares
from consilience.ensemble.combine import FLOOR
from consilience.ensemble.evidence import Evidence
from consilience.ensemble.pool_fitting import SquaredLoss
from consilience.ensemble.shrinkage import blocks, scored_rows
from consilience.ensemble.vote_pools import VotePool
from consilience.ensemble.weights import (
    base_rate_loss,
    greedy_weights,
    log_loss_of,
    log_losses,
    performance_weights,
    picked_probabilities,
    shrink_to_equal,
    simplex_weights,
    simplex_weights_of_values,
    squared_loss_of,
)

MakeVote = Callable[[np.ndarray], VotePool]
SEARCHES = ("performance", "simplex", "greedy")
STRENGTHS = np.array([1.0, 0.75, 0.5, 0.25, 0.0])


@dataclass(frozen=True)
class Searched:
    """A search repeated before each block of the out-of-fold rows.

    Attributes
    ----------
    starts : (n_blocks,) int64 time of each block's first row.
    weights : (n_blocks, n_members) found in the rows known before the block; NaN where too little was known.
    losses : (n, n_strengths) of each row with those weights pulled by STRENGTHS towards equal; NaN likewise.
    """

    starts: np.ndarray
    weights: np.ndarray
    losses: np.ndarray


def searched_weights(table: Evidence, method: str) -> np.ndarray:
    """Weights (n_members,) summing to 1; ``method`` is one of SEARCHES."""
    found = best_weights(table, np.arange(table.n_rows), method)
    return shrink_to_equal(found, strength_of(table, method))


def fit_vote(table: Evidence, method: str, make: MakeVote) -> VotePool:
    """The vote with searched weights; ``make`` turns weights into a vote."""
    return make(searched_weights(table, method))


def said_by_votes(table: Evidence, method: str, make: MakeVote) -> dict[int, np.ndarray]:
    """By fold, what the vote of its time said: weights and strength from what was known when the fold began."""
    searched, said = search_forward(table, method), {}
    for fold in np.unique(table.fold).tolist():
        inside = table.fold == fold
        start = int(table.begin[inside].min())
        found = searched.weights[np.searchsorted(searched.starts, start)]
        if np.isfinite(found).all():
            weights = shrink_to_equal(found, strength(table, searched.losses, start))
            said[fold] = make(weights).combine(table.outputs[:, inside])
    return said


def best_weights(table: Evidence, rows: np.ndarray, method: str) -> np.ndarray:
    """The search itself on some rows, without shrinkage."""
    weight = table.weight[rows]
    if weight.sum() <= 0.0:
        return np.full(len(table.names), 1.0 / len(table.names))
    if table.outputs.ndim == 3:
        codes = table.target[rows]
        picked = picked_probabilities(table.outputs[:, rows], codes)
        searches: dict[str, Callable[[], np.ndarray]] = {
            "simplex": lambda: simplex_weights(picked, weight),
            "greedy": lambda: greedy_weights(picked, log_loss_of(weight)),
            "performance": lambda: performance_weights(
                log_losses(picked, weight), base_rate_loss(codes, table.outputs.shape[2], weight)
            ),
        }
    else:
        values, target = _within_reach(table, rows)
        spread = float(np.average((target - np.average(target, weights=weight)) ** 2, weights=weight))
        searches = {
            "simplex": lambda: simplex_weights_of_values(values, target, weight),
            "greedy": lambda: greedy_weights(values, squared_loss_of(target, weight)),
            "performance": lambda: performance_weights(
                np.average((values - target) ** 2, axis=1, weights=weight), spread
            ),
        }
    return searches[method]()


def _within_reach(table: Evidence, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values and target in units of the largest target, values kept as near to the mean as ``LinearPool`` keeps them:
    a member that is absurdly far off must not hide the differences between the others."""
    loss = SquaredLoss(table.outputs, table.target, table.weight, table.prior)
    anchor = loss.anchor(rows)
    values = np.clip(loss.values[:, rows], anchor.base - anchor.limit, anchor.base + anchor.limit)
    return values, loss.target[rows]


def search_forward(table: Evidence, method: str) -> Searched:
    """Search before each block and score what was found on that block."""
    block, starts = blocks(table)
    weights = np.full((len(starts), len(table.names)), np.nan)
    losses = np.full((table.n_rows, len(STRENGTHS)), np.nan)
    for number, start in enumerate(starts.tolist()):
        known = np.flatnonzero(table.known_before(start))
        if number == 0 or len(known) < 2 * len(table.names) + 10:
            continue
        weights[number], rows = best_weights(table, known, method), np.flatnonzero(block == number)
        tried = np.stack([shrink_to_equal(weights[number], strength) for strength in STRENGTHS])
        losses[rows] = _losses(table, rows, tried).T
    return Searched(starts, weights, losses)


def strength_of(table: Evidence, method: str) -> float:
    """How far to go towards equal weights, in [0, 1], judged by all blocks; see ``strength``."""
    return strength(table, search_forward(table, method).losses)


def strength(table: Evidence, losses: np.ndarray, before: int | None = None) -> float:
    """The mean over STRENGTHS by their walk-forward losses (n, n_strengths), of the labels known before a time.

    Half of the prior is on equal weights; a strength gains by predicting rows that its weights were not fitted on.
    """
    rows = np.isfinite(losses).all(axis=1)
    if before is not None:
        rows &= table.known_before(before)
    shares = posterior_shares(scored_rows(table, losses, rows), half_on_the_first(len(STRENGTHS)))
    return float(shares @ STRENGTHS)


def _losses(table: Evidence, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(n_candidates, n) losses of votes with weights (n_candidates, n_members)."""
    if table.outputs.ndim == 2:
        unit = magnitude(table.target)
        error: np.ndarray = np.clip((weights @ table.outputs[:, rows] - table.target[rows]) / unit, -1e100, 1e100)
        return 0.5 * error**2
    mixed = np.tensordot(weights, table.outputs[:, rows], axes=1)
    return -np.log(np.maximum(mixed[:, np.arange(len(rows)), table.target[rows]], FLOOR))
