"""Rows kept apart for early stopping: read strictly, and seen through the windows that a prediction would see."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from consilience.base import InvalidInput, invalid, time_axis
from consilience.base.frame import TimeAxis
from consilience.base.windows import Windows, sliding_windows
from consilience.keras_models.scaling import Scaler

_BLOCK = 2_048


@dataclass
class Validation:
    """Rows later than the training rows: X as it was given, its values (n, d) float64, y as the loss takes it."""

    X: Any
    values: np.ndarray
    y: np.ndarray


def read_validation(given: Any, model: Any, X: Any, n_targets: int | None) -> Validation:
    """The rows of ``validation=(X, y)``, checked; y is (n,), or (n, n_targets) where that is a number.

    Parameters
    ----------
    model : the predictor, which has read the training rows X already.

    Raises
    ------
    InvalidInput : no pair, another number of rows or targets, missing values, or rows that are not later in time than
        all training rows (where both have times; the times of all assets together).
    """
    owner = type(model).__name__
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise invalid("validation", owner, "None or a pair (X, y) of later rows", type(given).__name__)
    held_X, held_y = given
    values, y = model._read_X(held_X), np.asarray(held_y)
    if y.ndim == 2 and y.shape[1] == 1 and n_targets in (None, 1):
        y = y[:, 0]
    if len(y.shape) == 0 or len(y) != len(values):
        raise InvalidInput(f"The X of validation has {len(values)} rows, its y {len(y) if y.ndim else 'no'}.")
    width = 1 if y.ndim == 1 else int(np.prod(y.shape[1:]))
    if y.ndim > 2 or width != (n_targets or 1):
        raise InvalidInput(f"The y of validation has {width} columns; {owner} was given {n_targets or 1} to fit.")
    if n_targets is not None:
        try:
            y = y.astype(np.float64).reshape(len(y), -1)
        except (TypeError, ValueError) as error:
            raise InvalidInput("The y of validation must hold numbers.") from error
        if not np.isfinite(y).all():
            raise InvalidInput("The y of validation has values that are missing or infinite; leave those rows out.")
    trained, held = time_axis(X), time_axis(held_X)
    if trained.times.dtype.kind == held.times.dtype.kind == "M" and held.times.min() <= trained.times.max():
        raise InvalidInput(
            f"The rows of validation must be later than the training rows: they begin at {held.times.min()}, and the "
            f"training rows end at {trained.times.max()}."
        )
    return Validation(held_X, values, y)


def validation_windows(
    X: Any, values: np.ndarray, held: Validation, window: int, scaler: Scaler
) -> tuple[Windows, Any]:
    """Windows of the validation rows to score, and which rows those are (positions).

    A row is scored through the window that its prediction would see. An asset's first validation rows need the rows
    before them for that: its last training rows, where validation follows them directly, that is after no longer a
    time than the longest between two of its training rows, over which training windows reach too. After a longer gap,
    such as the one that purging leaves, and where X has no times to tell, no window reaches over it; the first
    ``window - 1`` rows are then context only and are not scored, as long as at least half of all rows are left (if
    not, every row is scored, the first ones through short windows).
    """
    trained, later = time_axis(X), time_axis(held.X)
    own = {name: code for code, name in enumerate(trained.asset_names)}
    before = [
        _directly_before(trained, own.get(name), later.times[later.assets == code], window)
        for code, name in enumerate(later.asset_names)
    ]
    context = np.concatenate(before)
    codes = np.repeat(np.arange(len(before)), [len(rows) for rows in before])
    rows = np.concatenate([scaler.transform(part) for part in _blocks(values[context], held.values)])
    windows = sliding_windows(rows, window, np.concatenate([codes, later.assets]))
    kept = np.arange(len(context), len(rows))
    followed = np.array([len(part) > 0 for part in before])[later.assets]
    whole = kept[followed | (windows.lengths[kept] == window)]
    if 2 * len(whole) >= len(kept):
        kept = whole
    return windows.only(kept), kept - len(context)


def _blocks(*parts: np.ndarray) -> list[np.ndarray]:
    """Some thousand rows at a time, so that no second float64 copy of them all is ever held."""
    return [part[first : first + _BLOCK] for part in parts for first in range(0, len(part), _BLOCK)]


def _directly_before(trained: TimeAxis, code: int | None, times: np.ndarray, window: int) -> np.ndarray:
    """The last ``window - 1`` training rows of an asset, or none where its validation rows do not follow directly."""
    own = np.flatnonzero(trained.assets == code) if code is not None else np.zeros(0, np.int64)
    if window == 1 or len(own) < 2 or not trained.times.dtype.kind == times.dtype.kind == "M":
        return own[:0]
    steps = np.diff(trained.times[own])
    return own[-(window - 1) :] if times[0] - trained.times[own[-1]] <= steps.max() else own[:0]
