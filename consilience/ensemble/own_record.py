"""What an ensemble itself said about rows that neither its members nor its combination had seen."""

from collections.abc import Callable

import numpy as np

from consilience.ensemble.diversity import leaders
from consilience.ensemble.evidence import Evidence
from consilience.ensemble.shrinkage import Walk, fit_pool_before, walk_forward
from consilience.evaluation.out_of_fold import OutOfFold

Said = dict[int, np.ndarray]  # by fold, what was said about its rows
SaidOf = Callable[[Evidence], Said]


def said_by_pools(table: Evidence, walk: Walk | None = None) -> Said:
    """By fold, what the pool of its time said; a fold before which nothing was known is left out."""
    walk = walk_forward(table) if walk is None else walk
    said = {}
    for fold in np.unique(table.fold).tolist():
        pool = fit_pool_before(table, walk, fold)
        if pool is not None:
            inside = table.fold == fold
            said[fold] = pool.combine(table.outputs[:, inside], table.regimes[inside])
    return said


def said_by_leaders(table: Evidence, max_correlation: float, said_of: SaidOf) -> Said:
    """By fold, what the members said together that led by the rows known when the fold began.

    Leaders chosen on all rows would bring what came later into the choice (see ``diversity``).
    """
    by_choice: dict[tuple[int, ...], Said] = {}
    said = {}
    for fold in np.unique(table.fold).tolist():
        known = np.flatnonzero(table.known_before(int(table.begin[table.fold == fold].min())))
        if len(known) < 2:
            continue
        leader = leaders(table.only(known), max_correlation)
        chosen = tuple(np.flatnonzero(leader == np.arange(len(leader))).tolist())
        if chosen not in by_choice:
            by_choice[chosen] = said_of(table.members(np.array(chosen)))
        if fold in by_choice[chosen]:
            said[fold] = by_choice[chosen][fold]
    return said


def own_record(
    name: str, table: Evidence, said: Said, n_rows: int, classes: np.ndarray, seconds: tuple[np.ndarray, np.ndarray]
) -> OutOfFold:
    """The ensemble's OutOfFold over all ``n_rows`` of X, from what was said by fold; other rows are NaN.

    Parameters
    ----------
    seconds : per fold, to fit and to predict, all members together.
    """
    output = np.full((n_rows, *table.outputs.shape[2:]), np.nan)
    fold = np.full(n_rows, -1, np.int64)
    for number, answer in said.items():
        rows = table.rows[table.fold == number]
        output[rows], fold[rows] = answer, number
    return _record(name, output, fold, classes, *seconds)


def member_records_of(table: Evidence, n_rows: int, classes: np.ndarray) -> dict[str, OutOfFold]:
    """The members' OutOfFold from a stored table: float32 precision, no seconds, no single folds."""
    fold = np.full(n_rows, -1, np.int64)
    fold[table.rows] = table.fold
    records = {}
    for name, said in zip(table.names, table.outputs):
        output = np.full((n_rows, *table.outputs.shape[2:]), np.nan)
        output[table.rows] = said
        records[name] = _record(name, output, fold.copy(), classes, np.empty(0), np.empty(0))
    return records


def seconds_of(records: list[OutOfFold]) -> tuple[np.ndarray, np.ndarray]:
    """Per fold, to fit and to predict, of all records together; empty where a record does not know."""
    parts = []
    for field in ("fit_seconds", "predict_seconds"):
        all_of = [np.asarray(getattr(record, field)) for record in records]
        known = len({one.shape for one in all_of}) == 1
        parts.append(np.sum(all_of, axis=0) if known else np.empty(0))
    return parts[0], parts[1]


def _record(
    name: str, output: np.ndarray, fold: np.ndarray, classes: np.ndarray, fit: np.ndarray, predict: np.ndarray
) -> OutOfFold:
    for array in (output, fold):
        array.flags.writeable = False
    return OutOfFold(
        name=name,
        proba=output if output.ndim == 2 else None,
        values=output if output.ndim == 1 else None,
        rows=np.flatnonzero(fold >= 0),
        fold=fold,
        classes=classes,
        fit_seconds=fit,
        predict_seconds=predict,
    )
