"""Prediction sets and intervals that hold the truth as often as they say, from out-of-fold scores.

Split conformal prediction: if the calibration rows and the new row are exchangeable, the set at coverage c holds the
truth with a probability of at least c and at most c + 1/(n + 1). Markets shift: ``coverage_over_time`` shows by how
much the promise was missed, block after block.

References
----------
Vovk, Gammerman & Shafer, *Algorithmic Learning in a Random World* (2005). Sadinle, Lei & Wasserman, *Least ambiguous
set-valued classifiers with bounded error levels* (2019), for the score of classes.
"""

from math import ceil

import numpy as np
import pandas as pd

from consilience.base import invalid


def class_scores(proba: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """How strange each row's class was, 1 − its probability, (n,), from proba (n, n_classes) and codes (n,)."""
    strange: np.ndarray = 1.0 - proba[np.arange(len(codes)), codes]
    return strange


def value_scores(values: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Absolute errors, (n,)."""
    error: np.ndarray = np.abs(target - values)
    return error


def threshold(scores: np.ndarray, coverage: float) -> float:
    """The score that a new row stays below or at with probability ``coverage``; infinite where too few are known.

    >>> threshold(np.arange(1.0, 10.0), 0.9), threshold(np.arange(1.0, 9.0), 0.9)
    (9.0, inf)
    """
    rank = ceil((len(scores) + 1) * coverage)
    return float(np.partition(scores, rank - 1)[rank - 1]) if rank <= len(scores) else float("inf")


def class_sets(proba: np.ndarray, limit: float | np.ndarray) -> np.ndarray:
    """(n, n_classes) bool: the classes whose score is within the limit; both of two means "cannot tell".

    Parameters
    ----------
    limit : of ``threshold``, one for all rows or one for each, (n,).
    """
    inside: np.ndarray = 1.0 - proba <= np.reshape(limit, (-1, 1))
    return inside


def value_intervals(values: np.ndarray, limit: float | np.ndarray) -> np.ndarray:
    """(n, 2) lower and upper end; ``limit`` as for ``class_sets``."""
    return np.stack([values - limit, values + limit], axis=1)


def coverage_over_time(
    scores: np.ndarray, begin: np.ndarray, end: np.ndarray, coverage: float = 0.9, n_blocks: int = 5
) -> pd.DataFrame:
    """What the sets would have covered, walking forward: each block with the threshold of what was known before it.

    Parameters
    ----------
    scores : (n,) in time order. begin, end : (n,) when each row is and when its label is known.

    Returns
    -------
    One row per block after the first: start (as begin holds it), rows, coverage, drift (coverage − nominal), and
    whether the drift is larger than chance allows (three binomial standard errors).
    Blocks before which no label was known are left out, so few scores may give no row at all.
    """
    if isinstance(n_blocks, bool) or not isinstance(n_blocks, int) or n_blocks < 2:
        raise invalid("n_blocks", "coverage_over_time", "an integer >= 2", n_blocks)
    if not 0.0 < coverage < 1.0:
        raise invalid("coverage", "coverage_over_time", "a share in (0, 1)", coverage)
    rows = []
    for part in np.array_split(np.arange(len(scores)), n_blocks)[1:]:
        known = scores[end < begin[part[0]]] if len(part) else part
        if len(known) == 0:
            continue
        covered = float(np.mean(scores[part] <= threshold(known, coverage)))
        chance = 3.0 * np.sqrt(coverage * (1.0 - coverage) * (1.0 / len(part) + 1.0 / len(known)))
        drift = covered - coverage
        rows.append((begin[part[0]], len(part), covered, drift, abs(drift) > chance))
    return pd.DataFrame(rows, columns=["start", "rows", "coverage", "drift", "drifted"])
