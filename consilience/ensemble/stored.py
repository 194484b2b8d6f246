"""Meta-learners and out-of-fold tables as arrays, and their validated way back."""

import numpy as np

from consilience.base import Arrays, InvalidState
from consilience.ensemble.evidence import Evidence
from consilience.ensemble.pool import LinearPool, LogOddsPool, Pool
from consilience.evaluation.out_of_fold import OutOfFold

_INTEGERS = ("rows", "fold", "begin", "end")


def pool_arrays(pool: Pool, prefix: str = "pool") -> Arrays:
    """The pool's arrays, by name."""
    arrays = {
        f"{prefix}_base": np.asarray(pool.base, np.float64),
        f"{prefix}_centre": np.asarray(pool.centre, np.float64),
        f"{prefix}_weights": np.asarray(pool.weights, np.float64),
    }
    if isinstance(pool, LinearPool) and np.isfinite(pool.limit):
        arrays[f"{prefix}_limit"] = np.asarray(pool.limit, np.float64)
    return arrays


def read_pool(
    arrays: Arrays, n_members: int, n_classes: int, n_regimes: int = 1, prefix: str = "pool", hard: bool = False
) -> Pool:
    """The pool again; n_classes is 0 for regression.

    Raises
    ------
    InvalidState : wrong shapes, numbers that are not finite, a base rate that is not one.
    """
    extra = (n_classes,) if n_classes else ()
    base = read_array(arrays, f"{prefix}_base", extra, "f")
    centre = read_array(arrays, f"{prefix}_centre", (n_members, *extra), "f")
    weights = read_array(arrays, f"{prefix}_weights", (n_regimes, n_members), "f")
    if not n_classes:
        return LinearPool(base, centre, weights, hard, _read_limit(arrays, f"{prefix}_limit"))
    if (base <= 0).any() or abs(base.sum() - 1.0) > 1e-6:
        raise InvalidState("The stored base rate is not a distribution over the classes.")
    return LogOddsPool(base, centre, weights, hard)


def _read_limit(arrays: Arrays, name: str) -> float:
    """The stored limit of a linear pool; infinite in versions stored before 0.2, which have none."""
    if name not in arrays:
        return np.inf
    limit = float(read_array(arrays, name, (), "f"))
    if limit < 0.0:
        raise InvalidState(f"The stored array {name!r} must not be negative; it is {limit}.")
    return limit


def evidence_arrays(table: Evidence) -> Arrays:
    """The table's arrays, by name; probabilities as float32, values as they are."""
    arrays = {name: getattr(table, name) for name in (*_INTEGERS, "target", "weight", "prior")}
    arrays["regimes"] = table.regimes.astype(np.float32)
    arrays["outputs"] = table.outputs.astype(np.float32) if table.outputs.ndim == 3 else table.outputs
    return {f"oof_{name}": array for name, array in arrays.items()}


def read_evidence(arrays: Arrays, names: tuple[str, ...], n_classes: int) -> Evidence:
    """The table again; n_classes is 0 for regression.

    Raises
    ------
    InvalidState : shapes that do not fit together, probabilities outside [0, 1], codes that are no class.
    """
    n_rows = len(arrays["oof_rows"])
    parts = {name: read_array(arrays, f"oof_{name}", (n_rows,), "i") for name in _INTEGERS}
    shape = (len(names), n_rows, n_classes) if n_classes else (len(names), n_rows)
    outputs = read_array(arrays, "oof_outputs", shape, "f").astype(np.float64)
    target = read_array(arrays, "oof_target", (n_rows,), "i" if n_classes else "f")
    weight = read_array(arrays, "oof_weight", (n_rows,), "f")
    prior = read_array(arrays, "oof_prior", (n_classes,), "f")
    regimes = arrays.get("oof_regimes")
    if regimes is None or regimes.ndim != 2 or regimes.shape[1] == 0:
        raise InvalidState("The stored out-of-fold table has no regime probabilities.")
    regimes = read_array(arrays, "oof_regimes", (n_rows, regimes.shape[1]), "f").astype(np.float64)
    if n_rows == 0 or (regimes < 0).any() or (weight < 0).any() or (prior < 0).any():
        raise InvalidState("The stored out-of-fold table is empty or has negative numbers.")
    if n_classes and ((target < 0).any() or (target >= n_classes).any()):
        raise InvalidState("The stored out-of-fold table has a class code outside the classes.")
    if n_classes and ((outputs < 0).any() or (outputs > 1).any()):
        raise InvalidState("The stored out-of-fold table has probabilities outside [0, 1].")
    return Evidence(names, outputs, target, weight=weight, prior=prior, regimes=regimes, **parts)


def own_arrays(table: Evidence, own: OutOfFold) -> Arrays:
    """What the ensemble itself said about the table's rows, NaN where nothing; no seconds: equal fits are equal."""
    return {"own_output": own.output[table.rows]}


def read_own(arrays: Arrays, table: Evidence) -> dict[int, np.ndarray]:
    """By fold, what the ensemble said.

    Raises
    ------
    InvalidState : shapes that do not fit the table, a fold of which only a part was said.
    """
    output = arrays.get("own_output")
    if output is None or output.shape != table.outputs.shape[1:] or output.dtype.kind != "f" or np.isinf(output).any():
        raise InvalidState("The stored own predictions of an ensemble must fit its out-of-fold table.")
    said = {}
    for fold in np.unique(table.fold).tolist():
        part = output[table.fold == fold]
        if np.isfinite(part).all():
            said[fold] = part
        elif not np.isnan(part).all():
            raise InvalidState(f"The stored own predictions of an ensemble cover a part of fold {fold} only.")
    return said


def read_array(arrays: Arrays, name: str, shape: tuple[int, ...], kind: str) -> np.ndarray:
    """One stored array, which must have that shape and kind, and finite numbers where it has floats."""
    array = arrays.get(name)
    if array is None or array.shape != shape or array.dtype.kind != kind:
        came = None if array is None else (array.shape, array.dtype.str)
        raise InvalidState(f"The stored array {name!r} must have the shape {shape} and kind {kind!r}; it has {came}.")
    if kind == "f" and not np.isfinite(array).all():
        raise InvalidState(f"The stored array {name!r} holds numbers that are not finite.")
    return array


def read_scores(arrays: Arrays, n_rows: int) -> np.ndarray:
    """The stored conformal scores, at most one per row of the table."""
    scores = arrays.get("conformal_scores")
    if scores is None or scores.ndim != 1 or scores.dtype.kind != "f" or len(scores) > n_rows:
        raise InvalidState("The stored conformal scores must be one float per row that the stack predicted.")
    if not np.isfinite(scores).all() or (scores < 0).any():
        raise InvalidState("The stored conformal scores must be finite and not negative.")
    return scores
