"""Every member's out-of-fold predictions: those made before, the rest made now, and nobody whose are of no use."""

from functools import partial
from typing import Any

import numpy as np

from consilience.base import invalid
from consilience.ensemble.deadline import within
from consilience.ensemble.failures import unusable_reason, usable
from consilience.ensemble.fits import FitData
from consilience.ensemble.quorum import Quorum
from consilience.evaluation.out_of_fold import OutOfFold, out_of_fold


def member_records(ensemble: Any, data: FitData, quorum: Quorum) -> tuple[dict[str, OutOfFold], dict[str, str]]:
    """The usable records by member name, and why others are missing.

    A member is missing when it raises, is too slow, or says NaN or something that is no distribution in any row that
    its folds cover.

    Raises
    ------
    QuorumNotMet : too few are left to go on, from the first member's own error.
    """
    named, owner, given = ensemble._named_members(), type(ensemble).__name__, data.out_of_fold
    unknown = sorted(set(given) - set(named))
    if unknown:
        raise invalid("out_of_fold", owner, f"keyed by the members ({', '.join(named)})", unknown[0])
    missing = [name for name in named if name not in given]
    if missing and ensemble.folds is None:
        required = "a splitter, such as PurgedWalkForward(n_splits=5)"
        raise invalid("folds", owner, required, None, f"{missing[0]!r} has no out-of-fold predictions yet.")
    records: dict[str, OutOfFold] = {}
    reasons: dict[str, str] = {}
    errors: list[Exception] = []
    for name, member in named.items():
        job = partial(
            out_of_fold,
            member,
            data.X,
            data.labels,
            ensemble.folds,
            label_end=data.label_end,
            sample_weight=data.weight,
            n_jobs=ensemble.n_jobs,
            validation_fraction=ensemble.validation_fraction or 0.15,
            name=name,
        )
        try:
            record = given[name] if name in given else within(ensemble.fit_budget, job, member)
        except Exception as error:
            reasons[name] = f"{type(error).__name__}: {error}"
            errors.append(error)
            continue
        wrong = _unusable(record)
        if wrong is None:
            records[name] = record
        else:
            reasons[name] = wrong
    quorum.check(records, reasons, errors[0] if errors else None)
    return records, reasons


def _unusable(record: OutOfFold) -> str | None:
    """What is wrong with the covered rows, if anything; other shapes are refused where all are joined."""
    output = np.asarray(record.output, np.float64)
    covered = np.flatnonzero(np.asarray(record.fold) >= 0)
    if len(output) != len(record.fold):
        return None
    fine = usable(output[covered][None], 0 if output.ndim == 1 else output.shape[1])[0]
    return None if fine.all() else f"out of fold, {unusable_reason(fine)}"
