"""What every Lorentzian function asks of its arguments, and how its work is shared among threads."""

import os
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numba import config

from consilience.base import invalid
from consilience.kernels.workers import in_threads

_ONE_THREAD_WORK = 4_000_000  # coordinate pairs; about 2 ms, below which a second thread costs more than it brings


def matrix(value: Any, parameter: str, owner: str, n_features: int | None = None) -> np.ndarray:
    """``value`` as a C-ordered finite float64 matrix with at least one row and one column.

    Raises
    ------
    InvalidInput : not numeric, not two-dimensional, empty, NaN or infinite, or another number of columns than needed.
    """
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "biufO":
            raise TypeError
        array = np.ascontiguousarray(array, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise invalid(parameter, owner, "a two-dimensional array of real numbers", type(value).__name__) from error
    if array.ndim != 2:
        raise invalid(parameter, owner, "two-dimensional (rows, features)", f"shape {array.shape}")
    if array.shape[0] == 0 or array.shape[1] == 0:
        raise invalid(parameter, owner, "a matrix with at least one row and one feature", f"shape {array.shape}")
    if n_features is not None and array.shape[1] != n_features:
        raise invalid(parameter, owner, f"a matrix with {n_features} features", f"{array.shape[1]} features")
    with np.errstate(over="ignore", invalid="ignore"):
        suspicious = not np.isfinite(array.sum())  # cheap; a sum of finite numbers may overflow too
    if suspicious and not np.isfinite(array).all():
        row, column = np.argwhere(~np.isfinite(array))[0].tolist()
        raise invalid(parameter, owner, "finite", f"{array[row, column]} in row {row}, column {column}")
    return array


def count(value: Any, parameter: str, owner: str, at_most: int | None = None, what: str = "") -> int:
    """``value`` as an integer from 1 to ``at_most``."""
    required = "an integer >= 1" if at_most is None else f"an integer from 1 to {at_most}{what}"
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise invalid(parameter, owner, required, value)
    if value < 1 or (at_most is not None and value > at_most):
        raise invalid(parameter, owner, required, value)
    return int(value)


def share(value: Any, parameter: str, owner: str) -> float:
    """``value`` as a number strictly between 0 and 1."""
    if isinstance(value, bool) or not isinstance(value, float | np.floating) or not 0.0 < value < 1.0:
        raise invalid(parameter, owner, "a number between 0 and 1, both excluded", value)
    return float(value)


def threads(n_threads: Any, owner: str) -> int:
    """The number of threads to use at most: all that Numba may use (joblib's workers lower it) unless one is given."""
    if n_threads is None or n_threads == -1:
        available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, min(int(config.NUMBA_NUM_THREADS), available))
    return count(n_threads, "n_threads", owner)


def in_chunks(work: Callable[[int, int], None], n_rows: int, cost: float, n_threads: int) -> None:
    """Call ``work(start, stop)`` over 0:n_rows, on several threads where the cost (coordinate pairs) is worth it."""
    n_threads = min(n_threads, n_rows)
    if n_threads <= 1 or cost < _ONE_THREAD_WORK:
        work(0, n_rows)
        return
    # Several chunks per thread even out what pruning and fallbacks make uneven.
    n_chunks = min(n_rows, 4 * n_threads)
    edges = [n_rows * i // n_chunks for i in range(n_chunks + 1)]
    waiting = iter(list(pairwise(edges)))

    def take(_: int) -> None:
        for start, stop in waiting:  # each chunk goes to whoever comes first
            work(start, stop)

    in_threads(take, n_threads)
