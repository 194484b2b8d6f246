"""What a stack itself said about rows that neither its members nor its meta-learner had seen."""

import numpy as np

from consilience.ensemble.evidence import Evidence
from consilience.ensemble.shrinkage import Walk, fit_pool_before
from consilience.evaluation.out_of_fold import OutOfFold


def said_by_pools(table: Evidence, walk: Walk) -> dict[int, np.ndarray]:
    """By fold, what the pool of its time said; a fold before which nothing was known is left out."""
    said = {}
    for fold in np.unique(table.fold).tolist():
        pool = fit_pool_before(table, walk, fold)
        if pool is not None:
            inside = table.fold == fold
            said[fold] = pool.combine(table.outputs[:, inside], table.regimes[inside])
    return said


def own_record(
    table: Evidence, said: dict[int, np.ndarray], n_rows: int, classes: np.ndarray, members: list[OutOfFold]
) -> OutOfFold:
    """The stack's OutOfFold over all ``n_rows`` of X, from what was said by fold; other rows are NaN.

    Seconds are those of all members together.
    """
    output = np.full((n_rows, *table.outputs.shape[2:]), np.nan)
    fold = np.full(n_rows, -1, np.int64)
    for number, answer in said.items():
        rows = table.rows[table.fold == number]
        output[rows], fold[rows] = answer, number
    for array in (output, fold):
        array.flags.writeable = False
    classifies = table.outputs.ndim == 3
    return OutOfFold(
        name="stack",
        proba=output if classifies else None,
        values=None if classifies else output,
        rows=np.flatnonzero(fold >= 0),
        fold=fold,
        classes=classes,
        fit_seconds=np.sum([member.fit_seconds for member in members], axis=0),
        predict_seconds=np.sum([member.predict_seconds for member in members], axis=0),
    )
