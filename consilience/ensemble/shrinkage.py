"""How far the weights may leave the base rate, decided by walking forward over the out-of-fold rows.

Candidates run from "base rate only" over equal weights to freely fitted ones, then to signed ones (a negative weight
subtracts what other members have in common), and to weights per regime. Each predicts, block after block, rows that it
was not fitted on; their summed losses give each candidate a posterior weight (Bayes' rule with half of the prior on the
base rate), and the pool gets the posterior mean of the candidates' weights. So nothing is chosen in sample, a candidate
that is better by chance gets little, and where there is nothing to find the pool stays with the base rate. This is the
exponentially weighted forecaster of Cesa-Bianchi & Lugosi, *Prediction, Learning, and Games* (2006), ch. 2 and 9.

Notes
-----
What holds for every table, however degenerate (n rows of summed weight n, K classes, base rate b):

1. Every weight is at most ``WEIGHT_LIMIT`` in size.
2. The loss of every row is at most the base rate's loss of that row plus ``shift_limit(b)`` = 6.91 + ln(max b / min b)
   nats. For values the error is at most the target's distance from the mean plus ``REACH`` times the largest known one.
3. On the rows that it was fitted on, the pool's loss is at most the base rate's.
4. Weights follow evidence: if the members' mean moved log-odds by at most ε in every row, the equal candidate moves
   them by at most n·ε²·m·``PRIOR_SD``², where m is the number of distinct members. A rounding residue (ε = 1e-16)
   therefore moves nothing, and there is no threshold between a residue and a signal.
5. A member that exactly repeats another shares its weight and changes nothing else (``multiplicity``).

Why: the equal candidate minimises a convex loss plus a prior, from weights of 0, so that it is no worse than the base
rate, and its size is at most m ``PRIOR_SD``² times the loss's gradient at 0, which is at most n·ε. Every further
candidate is pulled to one that is no worse than the base rate, and ``newton`` returns nothing worse than what it pulls
to. The loss of the posterior mean of weights is at most the mean of their losses, since the loss is convex; ``held``
covers the rows in which the limit of 2 applies.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from consilience.ensemble.bayes import Scored, posterior_shares, reach
from consilience.ensemble.evidence import Evidence
from consilience.ensemble.pool import LinearPool, LogOddsPool, Pool, by_regime
from consilience.ensemble.pool_fitting import (
    PRIOR_PRECISION,
    WEIGHT_LIMIT,
    Anchor,
    LogLoss,
    Penalty,
    SquaredLoss,
    multiplicity,
)

RIDGES = (3.0, 0.3, 0.03, 0.003)  # pull towards equal weights, in units of what all rows tell about one weight
SIGNED_RIDGES = (0.3, 0.03, 0.003)  # pull of signed weights, and of each regime's, towards the global non-negative ones
BLOCKS_PER_FOLD = 3
LARGE = 20_000  # rows from which one block per fold is enough: each then holds thousands
BASE_ONLY, EQUAL = 0, 1  # positions among the candidates; then RIDGES from stiff to free, signed ones, regime-wise ones
N_POSITIVE = 2 + len(RIDGES)
N_GLOBAL = N_POSITIVE + len(SIGNED_RIDGES)
GLOBAL = EQUAL + 2  # what signed and regime-wise weights are pulled towards: fitted, with a moderate ridge


@dataclass(frozen=True)
class Walk:
    """Every candidate's weights and losses along the walk.

    Attributes
    ----------
    starts : (n_blocks,) int64 time of each block's first row.
    block : (n,) block of each row; block 0 has nothing before it to learn from.
    weights : (n_blocks, n_candidates, n_regimes, n_members) fitted on the rows known before the block.
    losses : (n, n_candidates) of each row under the weights of its block; NaN where nothing was known yet.
    """

    starts: np.ndarray
    block: np.ndarray
    weights: np.ndarray
    losses: np.ndarray


def loss_of(table: Evidence) -> LogLoss | SquaredLoss:
    """The loss that belongs to the table: log loss of probabilities, squared error of values."""
    family = LogLoss if table.outputs.ndim == 3 else SquaredLoss
    return family(table.outputs, table.target, table.weight, table.prior)


def n_candidates(table: Evidence) -> int:
    """Regime-wise candidates join the global ones where there is more than one regime."""
    return N_GLOBAL + (len(SIGNED_RIDGES) if table.regimes.shape[1] > 1 else 0)


def walk_forward(table: Evidence) -> Walk:
    """Fit every candidate before each block and score it on that block."""
    loss = loss_of(table)
    block, starts = blocks(table)
    weights = np.zeros((len(starts), n_candidates(table), table.regimes.shape[1], len(table.names)))
    losses = np.full((table.n_rows, weights.shape[1]), np.nan)
    for number, start in enumerate(starts):
        known = np.flatnonzero(table.known_before(int(start)))
        if number == 0 or len(known) == 0:
            continue
        anchor = loss.anchor(known)
        found = candidates(loss, table.regimes, known, anchor, weights[number - 1])
        if found is None:
            continue
        weights[number], rows = found, np.flatnonzero(block == number)
        losses[rows] = candidate_losses(loss, table.regimes, rows, anchor, found)
    return Walk(starts, block, weights, losses)


def blocks(table: Evidence) -> tuple[np.ndarray, np.ndarray]:
    """Cut each fold, in time order, into blocks of whole time steps: (block of each row, start of each block)."""
    firsts = np.sort([table.begin[table.fold == number].min() for number in np.unique(table.fold)])
    per_fold = BLOCKS_PER_FOLD if table.n_rows < LARGE else 1
    edges: list[int] = []
    for first, following in zip(firsts, [*firsts[1:], np.iinfo(np.int64).max]):
        times = np.unique(table.begin[(table.begin >= first) & (table.begin < following)])
        edges.extend(int(part[0]) for part in np.array_split(times, per_fold) if len(part))
    starts = np.array(edges, np.int64)
    return np.searchsorted(starts, table.begin, side="right") - 1, starts


def candidates(
    loss: LogLoss | SquaredLoss, regimes: np.ndarray, rows: np.ndarray, anchor: Anchor, start: np.ndarray
) -> np.ndarray | None:
    """Weights (n_candidates, n_regimes, n_members) fitted on some rows; ``start`` is where the search begins.

    None; equal; pulled towards equal less and less; signed, and per regime, pulled towards the global ones less and
    less. Without enough rows for the number of members there are no weights: None.
    """
    design, weight = loss.design(rows, anchor), loss.weight[rows]
    repeated = multiplicity(design, weight)
    n_distinct = float(np.round((1.0 / repeated).sum(), 6))  # whole where members differ or are exact copies
    if len(rows) < 2 * n_distinct + 10:
        return None
    n_members, found = len(design), np.zeros_like(start)
    share = (1.0 / repeated) / (1.0 / repeated).sum()  # members that repeat each other share one vote
    information = loss.curvature(design, rows, anchor)
    unit, limit = float(share @ information), WEIGHT_LIMIT / repeated
    direction = share * trust(information)
    found[EQUAL] = equal = direction * _equal_size(loss, design, rows, anchor, direction, repeated)

    def fit(goal: np.ndarray, ridge: float, begin: np.ndarray, signed: bool, wide: np.ndarray = design) -> np.ndarray:
        strength = repeated * (ridge * unit + PRIOR_PRECISION)
        penalty = Penalty(goal, np.resize(strength, len(goal)), np.resize(limit, len(goal)))
        return loss.fit(wide, rows, anchor, penalty, begin, signed)

    for position, ridge in enumerate(RIDGES, EQUAL + 1):
        begin = start[position, 0] if start[position].any() else found[position - 1, 0]
        found[position] = fit(equal, ridge, begin, signed=False)
    goal = found[GLOBAL, 0]
    for position, ridge in enumerate(SIGNED_RIDGES, N_POSITIVE):
        begin = start[position, 0] if start[position].any() else goal
        found[position] = fit(goal, ridge, begin, signed=True)
    if len(found) == N_GLOBAL:
        return found
    wide, goal = by_regime(design, regimes[rows]), found[GLOBAL].ravel()
    for position, ridge in enumerate(SIGNED_RIDGES, N_GLOBAL):
        begin = start[position].ravel() if start[position].any() else goal
        found[position] = fit(goal, ridge, begin, signed=True, wide=wide).reshape(-1, n_members)
    return found


def trust(information: np.ndarray) -> np.ndarray:
    """How much of a member's equal share it gets, in [0, 1): its Fisher information over that with the prior's.

    >>> trust(np.array([0.0, 1.0])).round(1)
    array([0. , 0.9])
    """
    share: np.ndarray = information / (information + PRIOR_PRECISION)
    return share


def _equal_size(
    loss: LogLoss | SquaredLoss,
    design: np.ndarray,
    rows: np.ndarray,
    anchor: Anchor,
    direction: np.ndarray,
    repeated: np.ndarray,
) -> float:
    """The multiple of a direction (n_members,) >= 0 that has the least loss, with no weight beyond the limit."""
    strength = PRIOR_PRECISION * float(repeated @ direction**2)
    if strength == 0.0:
        return 0.0
    mean = np.tensordot(direction, design, axes=1)[None]
    limit = WEIGHT_LIMIT / float((repeated * direction).max())
    penalty = Penalty(np.zeros(1), np.full(1, strength), np.full(1, limit))
    return float(loss.fit(mean, rows, anchor, penalty, np.zeros(1))[0])


def candidate_losses(
    loss: LogLoss | SquaredLoss, regimes: np.ndarray, rows: np.ndarray, anchor: Anchor, weights: np.ndarray
) -> np.ndarray:
    """(n, n_candidates) losses of some rows."""
    design = loss.design(rows, anchor)
    losses = [loss.losses(design, rows, anchor, one[0]) for one in weights[:N_GLOBAL]]
    if len(weights) > N_GLOBAL:
        wide = by_regime(design, regimes[rows])
        losses += [loss.losses(wide, rows, anchor, one.ravel()) for one in weights[N_GLOBAL:]]
    return np.stack(losses, axis=1)


def posterior(table: Evidence, walk: Walk, before: int | None = None) -> np.ndarray:
    """Each candidate's share, (n_candidates,), from the losses known before a time (all of them by default).

    A block counts by the share of today's rows that it knew, because early blocks judge fits on fewer rows.
    """
    rows = np.isfinite(walk.losses).all(axis=1)
    if before is not None:
        rows &= table.known_before(before)
    now = table.n_rows if before is None else table.known_before(before).sum()
    knew = np.minimum([table.known_before(int(start)).sum() / max(now, 1) for start in walk.starts], 1.0)
    scored = scored_rows(table, walk.losses, rows, knew[walk.block])
    return posterior_shares(scored, prior_shares(walk.losses.shape[1]))


def scored_rows(table: Evidence, losses: np.ndarray, rows: np.ndarray, share: np.ndarray | float = 1.0) -> Scored:
    """The losses of some rows (a mask); ``share`` is how much of its weight each row of the table counts."""
    weight, begin = (table.weight * share)[rows], table.begin[rows]
    spans = reach(begin, table.end[rows], np.unique(table.begin))
    return Scored(losses[rows], weight, begin, spans, table.outputs.ndim == 2)


def prior_shares(n_shares: int) -> np.ndarray:
    """Half on the base rate; the other half equally on the families: non-negative, signed and, if any, regime-wise."""
    edges = [EQUAL, N_POSITIVE, N_GLOBAL, n_shares] if n_shares > N_GLOBAL else [EQUAL, N_POSITIVE, N_GLOBAL]
    share = np.full(n_shares, 0.5)
    for first, stop in pairwise(edges):
        share[first:stop] = 0.5 / ((len(edges) - 1) * (stop - first))
    return share


def fit_pool(table: Evidence, walk: Walk | None = None) -> Pool:
    """The pool for rows after the whole table."""
    walk = walk_forward(table) if walk is None else walk
    loss, rows = loss_of(table), np.arange(table.n_rows)
    anchor = loss.anchor(rows)
    found = candidates(loss, table.regimes, rows, anchor, walk.weights[-1])
    if found is None:
        found = np.zeros_like(walk.weights[-1])
    return held(table, rows, anchor, np.tensordot(posterior(table, walk), found, axes=1))


def fit_pool_before(table: Evidence, walk: Walk, fold: int) -> Pool | None:
    """The pool as it stood when a fold began: from rows and losses known by then; None where nothing was known."""
    start = int(table.begin[table.fold == fold].min())
    number = int(np.searchsorted(walk.starts, start))
    if not np.isfinite(walk.losses[walk.block == number]).any():
        return None
    known = np.flatnonzero(table.known_before(start))
    weights = np.tensordot(posterior(table, walk, start), walk.weights[number], axes=1)
    return held(table, known, loss_of(table).anchor(known), weights)


def held(table: Evidence, rows: np.ndarray, anchor: Anchor, weights: np.ndarray) -> Pool:
    """The pool of these weights; of none where they make the rows' loss larger than the base rate's.

    Only the limit on shifts can do that: without it the loss is convex in the weights.
    """
    loss = loss_of(table)
    design = by_regime(loss.design(rows, anchor), table.regimes[rows])
    pooled, base = (loss.losses(design, rows, anchor, w.ravel()) for w in (weights, np.zeros_like(weights)))
    within = table.weight[rows] @ pooled <= table.weight[rows] @ base
    return make_pool(table, anchor, weights if within else np.zeros_like(weights))


def make_pool(table: Evidence, anchor: Anchor, weights: np.ndarray) -> Pool:
    """The pool of the table's kind."""
    if table.outputs.ndim == 3:
        return LogOddsPool(anchor.base, anchor.centre, weights)
    unit = SquaredLoss(table.outputs, table.target, table.weight, table.prior).unit
    return LinearPool(anchor.base * unit, anchor.centre * unit, weights, limit=anchor.limit * unit)
