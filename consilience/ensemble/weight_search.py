"""Searching a vote's weights on an out-of-fold table, pulled towards equal weights as far as walking forward says."""

from collections.abc import Callable

import numpy as np

from consilience.ensemble.evidence import Evidence
from consilience.ensemble.shrinkage import blocks, overlap
from consilience.ensemble.weights import (
    FLOOR,
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

SEARCHES = ("performance", "simplex", "greedy")
STRENGTHS = np.array([1.0, 0.75, 0.5, 0.25, 0.0])


def searched_weights(table: Evidence, method: str) -> np.ndarray:
    """Weights (n_members,) summing to 1; ``method`` is one of SEARCHES."""
    found = best_weights(table, np.arange(table.n_rows), method)
    return shrink_to_equal(found, strength_of(table, method))


def best_weights(table: Evidence, rows: np.ndarray, method: str) -> np.ndarray:
    """The search itself on some rows, without shrinkage."""
    weight = table.weight[rows]
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
        values, target = table.outputs[:, rows], table.target[rows]
        spread = float(np.average((target - np.average(target, weights=weight)) ** 2, weights=weight))
        searches = {
            "simplex": lambda: simplex_weights_of_values(values, target, weight),
            "greedy": lambda: greedy_weights(values, squared_loss_of(target, weight)),
            "performance": lambda: performance_weights(
                np.average((values - target) ** 2, axis=1, weights=weight), spread
            ),
        }
    return searches[method]()


def strength_of(table: Evidence, method: str) -> float:
    """How far to go towards equal weights, in [0, 1]: the mean over STRENGTHS by their walk-forward losses.

    Half of the prior is on equal weights; a strength gains by predicting rows that its weights were not fitted on.
    """
    block, starts = blocks(table)
    total = np.zeros(len(STRENGTHS))
    scored = 0.0
    for number, start in enumerate(starts.tolist()):
        known = np.flatnonzero(table.known_before(start))
        if number == 0 or len(known) < 2 * len(table.names) + 10:
            continue
        best, rows = best_weights(table, known, method), np.flatnonzero(block == number)
        tried = np.stack([shrink_to_equal(best, strength) for strength in STRENGTHS])
        total += _losses(table, rows, tried) @ table.weight[rows]
        scored += float(table.weight[rows].sum())
    if table.outputs.ndim == 2 and scored > 0:
        total = total / max(2.0 * total.min() / scored, 1e-300)
    prior = np.full(len(STRENGTHS), 0.5 / (len(STRENGTHS) - 1))
    prior[0] = 0.5
    log_share = np.log(prior) - (total - total.min()) / overlap(table)
    share = np.exp(log_share - log_share.max())
    return float(share @ STRENGTHS / share.sum())


def _losses(table: Evidence, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(n_candidates, n) losses of votes with weights (n_candidates, n_members)."""
    if table.outputs.ndim == 2:
        error: np.ndarray = 0.5 * (weights @ table.outputs[:, rows] - table.target[rows]) ** 2
        return error
    mixed = np.tensordot(weights, table.outputs[:, rows], axes=1)
    return -np.log(np.maximum(mixed[:, np.arange(len(rows)), table.target[rows]], FLOOR))
