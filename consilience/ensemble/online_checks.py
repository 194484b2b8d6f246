"""What ``OnlineWeights`` is told, checked before anything is learnt from it: a wrong number would stay for ever."""

from typing import Any

import numpy as np

from consilience.base import invalid

LARGEST_PROFIT = 1e100  # its square is added up
OBSERVE, RUN = "OnlineWeights.observe", "OnlineWeights.run"


def checked_alive(alive: Any, n_members: int, owner: str) -> np.ndarray:
    """(n_members,) bool, all True for None."""
    if alive is None:
        return np.ones(n_members, bool)
    found = np.asarray(alive)
    if found.shape != (n_members,) or found.dtype != bool:
        raise invalid("alive", owner, f"{n_members} times True or False", alive)
    return found


def checked_proba(proba: Any, alive: np.ndarray, owner: str) -> np.ndarray:
    """(n_members, n_classes) float64; members that are there gave distributions over at least two classes."""
    required = f"distributions of {len(alive)} members over the classes, shape ({len(alive)}, n_classes)"
    try:
        said = np.asarray(proba, np.float64)
    except (TypeError, ValueError):
        raise invalid("proba", owner, required, proba) from None
    if said.ndim != 2 or len(said) != len(alive) or said.shape[1] < 2:
        raise invalid("proba", owner, required, said.shape)
    there = said[alive]
    with np.errstate(invalid="ignore"):
        fine = (there >= -1e-6).all() and (np.abs(there.sum(axis=1) - 1.0) < 1e-3).all()
    if not fine:
        raise invalid("proba", owner, required, proba, "Say alive=False for a member that gave no answer.")
    return said


def checked_outcome(outcome: Any, n_classes: int, owner: str) -> int:
    """A class code."""
    whole = isinstance(outcome, int | np.integer) and not isinstance(outcome, bool)
    if not whole or not 0 <= outcome < n_classes:
        raise invalid("outcome", owner, f"a class code, an integer 0 … {n_classes - 1}", outcome)
    return int(outcome)


def checked_profit(profit: Any, alive: np.ndarray, owner: str) -> np.ndarray | None:
    """(n_members,) float64, finite for members that are there; None for None."""
    if profit is None:
        return None
    required = f"{len(alive)} numbers below {LARGEST_PROFIT:g} in size, one per member"
    try:
        gains = np.asarray(profit, np.float64)
    except (TypeError, ValueError):
        raise invalid("profit", owner, required, profit) from None
    if gains.shape != alive.shape or not (np.abs(gains[alive]) <= LARGEST_PROFIT).all():
        raise invalid("profit", owner, required, profit)
    return gains


def checked_history(
    proba: Any, codes: Any, begin: Any, end: Any, regimes: Any, alive: Any, n_members: int
) -> tuple[np.ndarray, ...]:
    """Proba (n_members, n, n_classes), codes, begin, end, regimes (n,) and alive (n_members, n), fitting together."""
    said, codes, begin, end = (np.asarray(part) for part in (proba, codes, begin, end))
    if said.ndim != 3 or len(said) != n_members or said.dtype.kind not in "fiu":
        raise invalid("proba", RUN, f"probabilities of the shape ({n_members}, n, n_classes)", said.shape)
    n_rows = said.shape[1]
    regimes = np.zeros(n_rows, np.int64) if regimes is None else np.asarray(regimes)
    for name, part in (("codes", codes), ("begin", begin), ("end", end), ("regimes", regimes)):
        if part.shape != (n_rows,):
            raise invalid(name, RUN, f"one entry per row of proba, shape ({n_rows},)", part.shape)
    for name, part in (("codes", codes), ("regimes", regimes)):
        if part.dtype.kind not in "iu":
            raise invalid(name, RUN, "integers", part.dtype)
    if (begin[1:] < begin[:-1]).any():
        raise invalid("begin", RUN, "in time order", "a row earlier than the one before it")
    if (end < begin).any():
        raise invalid("end", RUN, "not earlier than begin: no label is known before its row", "an earlier one")
    there = np.ones((n_members, n_rows), bool) if alive is None else np.asarray(alive)
    if there.shape != (n_members, n_rows) or there.dtype != bool:
        raise invalid("alive", RUN, f"True or False, shape ({n_members}, {n_rows})", there.shape)
    if not there.any(axis=0).all():
        raise invalid("alive", RUN, "True for a member in every row", "a row that nobody answered")
    return said.astype(np.float64), codes, begin, end, regimes, there
