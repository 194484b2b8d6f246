"""Splitters as data, so that a stored ensemble still knows its folds: a name from a fixed list and plain parameters."""

from dataclasses import fields
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from consilience import evaluation
from consilience.base import InvalidState, Spec

_NAMES = ("PurgedWalkForward", "PurgedKFold", "CombinatorialPurged", "MonteCarloPurged")


def splitter_spec(splitter: Any) -> Spec | None:
    """The splitter's class name and parameters.

    Raises
    ------
    InvalidState : a splitter that is not one of ``consilience.evaluation``'s cannot be stored.
    """
    if splitter is None:
        return None
    kind = type(splitter).__name__
    if kind not in _NAMES or type(splitter) is not getattr(evaluation, kind):
        raise InvalidState(f"Folds of the class {kind!r} cannot be stored; use one of {', '.join(_NAMES)}.")
    return {
        "kind": kind,
        "params": {part.name: _plain(getattr(splitter, part.name)) for part in fields(splitter) if part.init},
    }


def restore_splitter(spec: Any) -> Any:
    """The splitter that ``splitter_spec`` described."""
    if spec is None:
        return None
    if not isinstance(spec, dict) or spec.get("kind") not in _NAMES or not isinstance(spec.get("params"), dict):
        raise InvalidState(f"The stored folds must be one of {', '.join(_NAMES)} with its parameters.")
    try:
        return getattr(evaluation, spec["kind"])(**spec["params"])
    except (TypeError, ValueError) as error:
        raise InvalidState(f"The stored folds cannot be rebuilt: {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, timedelta | np.timedelta64):
        return str(pd.Timedelta(value))
    return value.item() if isinstance(value, np.generic) else value
