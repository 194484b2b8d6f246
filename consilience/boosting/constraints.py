"""Monotone constraints: by feature name, by column number, or one per column."""

from typing import Any

from consilience.base import InvalidInput, nearest


def monotone(constraints: Any, names: Any, n_features: int, owner: str) -> list[int] | None:
    """One of -1, 0, 1 per column: the output may only fall, do as it likes, or only rise with the feature.

    Parameters
    ----------
    constraints : None, a dictionary from feature name to -1, 0 or 1 (0 where left out), or a sequence, one per column.
    """
    if constraints is None:
        return None
    if isinstance(constraints, dict):
        known = [str(name) for name in names] if names is not None else [f"x{i}" for i in range(n_features)]
        for name in constraints:
            if name not in known:
                raise InvalidInput(
                    f"monotone_constraints of {owner} names the feature {name!r}, which X does not have."
                    f"{nearest(str(name), known)}"
                )
        signs = [constraints.get(name, 0) for name in known]
    else:
        signs = list(constraints)
        if len(signs) != n_features:
            raise InvalidInput(f"monotone_constraints of {owner} has {len(signs)} entries for {n_features} features.")
    if any(sign not in (-1, 0, 1) for sign in signs):
        raise InvalidInput(f"monotone_constraints of {owner} must hold -1, 0 or 1 only; got {constraints}.")
    return [int(sign) for sign in signs]
