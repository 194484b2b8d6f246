"""Which members repeat others: two that say the same beyond what came true are one voice counted twice."""

import numpy as np

from consilience.base.magnitude import magnitude
from consilience.ensemble.evidence import Evidence
from consilience.ensemble.weights import log_losses, picked_probabilities


def beyond_outcome(table: Evidence) -> np.ndarray:
    """(n_members, …) each member's predictions less what they owe to the outcome.

    That is the mean of the rows' class, or the regression on the value. Errors themselves would not do: where little
    can be predicted they are nearly the outcome's noise, and all members would seem alike; nor would
    predictions, which are alike wherever much can be predicted.
    """
    if table.outputs.ndim == 2:
        target = table.target / magnitude(table.target)
        outputs = np.stack([one / magnitude(one) for one in table.outputs])  # a correlation has no scale
        target = target - np.average(target, weights=table.weight)
        centred = outputs - np.average(outputs, axis=1, weights=table.weight)[:, None]
        slope = (centred * table.weight) @ target / max(float(table.weight @ target**2), 1e-300)
        rest: np.ndarray = centred - slope[:, None] * target
        return rest
    apart = table.outputs.copy()
    for code in np.unique(table.target):
        rows = table.target == code
        apart[:, rows] -= apart[:, rows].mean(axis=1, keepdims=True)
    return apart.reshape(len(table.names), -1)


def followed(said: np.ndarray, losses: np.ndarray, max_correlation: float) -> np.ndarray:
    """For each member the better one that it follows more closely than ``max_correlation``, or itself, (n_members,).

    Members are taken from the least loss on; who follows a kept member is not kept.

    Parameters
    ----------
    said : (n_members, n), such as ``beyond_outcome``. losses : (n_members,).

    Examples
    --------
    >>> a, b = np.array([1.0, -1.0, 2.0]), np.array([1.0, 1.0, -1.0])
    >>> followed(np.stack([a, a + 0.01, b]), np.array([0.2, 0.1, 0.3]), 0.9)
    array([1, 1, 2])
    """
    with np.errstate(invalid="ignore", divide="ignore"):  # a member that says the same in every row follows nobody
        correlation = np.nan_to_num(np.corrcoef(said)) if min(said.shape) > 1 else np.eye(len(said))
    leader, kept = np.arange(len(said)), list[int]()
    for member in np.argsort(losses, kind="stable").tolist():
        close = [other for other in kept if correlation[member, other] > max_correlation]
        if close:
            leader[member] = max(close, key=lambda other, row=correlation[member]: row[other])  # type: ignore[misc]
        else:
            kept.append(member)
    return leader


def leaders(table: Evidence, max_correlation: float) -> np.ndarray:
    """``followed`` for the members of a table."""
    if table.outputs.ndim == 2:
        error = np.clip((table.target - table.outputs) / magnitude(table.target), -1e100, 1e100)
        losses = np.average(error**2, axis=1, weights=table.weight)
    else:
        losses = log_losses(picked_probabilities(table.outputs, table.target), table.weight)
    return followed(beyond_outcome(table), losses, max_correlation)


def redundant(table: Evidence, max_correlation: float | None) -> dict[str, str]:
    """By name, the members to leave out and whom each follows; none where there is no limit."""
    if max_correlation is None:
        return {}
    leader = leaders(table, max_correlation)
    return {table.names[i]: table.names[int(j)] for i, j in enumerate(leader) if i != j}
