"""One member per regime: whoever was best there out of fold, pulled towards whoever was best on the whole."""

from dataclasses import replace

import numpy as np

from consilience.ensemble.bayes import repetition
from consilience.ensemble.evidence import Evidence
from consilience.ensemble.pool import Pool, hardened
from consilience.ensemble.shrinkage import loss_of, make_pool, scored_rows

PSEUDO_ROWS = 100  # labels at the member's overall loss that every regime's own labels are joined with


def fit_specialists(table: Evidence) -> Pool:
    """A pool with a single weight of 1 per regime, its specialist's, or none where nobody beats the base rate.

    A row belongs to its most probable regime. Each member's mean loss in a regime is joined with ``PSEUDO_ROWS``
    labels (as many times more rows as rows repeat each other) at its loss over all regimes, so that a regime of few
    rows keeps the member that is best overall.
    """
    loss, rows = loss_of(table), np.arange(table.n_rows)
    anchor = loss.anchor(rows)
    design = loss.design(rows, anchor)
    alone = np.concatenate([np.zeros((1, len(design))), np.eye(len(design))])
    losses = np.stack([loss.losses(design, rows, anchor, one) for one in alone])  # the base rate first: it wins ties
    whole = np.average(losses, axis=1, weights=table.weight)
    repeated = repetition(scored_rows(table, losses.T, np.ones(table.n_rows, bool)))
    share = (hardened(table.regimes) * table.weight[:, None]) / repeated
    within = (losses @ share + PSEUDO_ROWS * whole[:, None]) / (share.sum(axis=0) + PSEUDO_ROWS)
    pool = make_pool(table, anchor, alone[within.argmin(axis=0)])
    return replace(pool, hard=True)


def said_by_specialists(table: Evidence) -> dict[int, np.ndarray]:
    """By fold, what the specialists chosen before it said; folds before which too little was known are left out."""
    said = {}
    for fold in np.unique(table.fold).tolist():
        inside = table.fold == fold
        known = np.flatnonzero(table.known_before(int(table.begin[inside].min())) & (table.weight > 0.0))
        if len(known) >= 2 * len(table.names) + 10:
            pool = fit_specialists(table.only(known))
            said[fold] = pool.combine(table.outputs[:, inside], table.regimes[inside])
    return said
