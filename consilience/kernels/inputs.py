"""What every kernel's public function asks of its arguments: one form of error, and arrays that compiled code takes."""

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np

from consilience.base import invalid


def matrix(
    value: Any, parameter: str, owner: str, n_features: int | None = None, *, missing: bool = False, finite: bool = True
) -> np.ndarray:
    """``value`` as a C-ordered finite float64 matrix with at least one row and one column (see ``for_kernels``).

    Parameters
    ----------
    n_features : the number of columns it must have, if that is known.
    missing : NaN is allowed. finite : False leaves it to the caller to find NaN and infinity.

    Raises
    ------
    InvalidInput : not numeric, not two-dimensional, empty, NaN or infinite, or another number of columns than needed.
    """
    array = numbers(value, parameter, owner, "a two-dimensional array of real numbers")
    if array.ndim != 2:
        raise invalid(parameter, owner, "two-dimensional (rows, features)", f"shape {array.shape}")
    if array.shape[0] == 0 or array.shape[1] == 0:
        raise invalid(parameter, owner, "a matrix with at least one row and one feature", f"shape {array.shape}")
    if n_features is not None and array.shape[1] != n_features:
        raise invalid(parameter, owner, f"a matrix with {n_features} features", f"{array.shape[1]} features")
    if finite:
        require_finite(array, parameter, owner, missing=missing)
    return array


def numbers(value: Any, parameter: str, owner: str, required: str) -> np.ndarray:
    """``value`` as a C-ordered float64 array of any shape, ready ``for_kernels``; what is not numeric is refused."""
    if type(value) is np.ndarray and value.dtype == np.float64 and value.flags.carray:
        return value  # one row through a forest takes microseconds, and so would the rest
    try:
        if value is None or isinstance(value, Mapping):
            raise TypeError
        array = np.asarray(value)
        if array.dtype.kind not in "biufO":
            raise TypeError
        array = np.asarray(array, dtype=np.float64, order="C")
    except (TypeError, ValueError, OverflowError) as error:
        raise invalid(parameter, owner, required, _kind(value)) from error
    return for_kernels(array)


def _kind(value: Any) -> Any:
    """What to show of something that is not numeric: a short text itself, else its type."""
    return value if isinstance(value, str) else type(value).__name__


def require_finite(array: np.ndarray, parameter: str, owner: str, *, missing: bool = False) -> None:
    """Refuse infinity, and NaN too unless it may stand for a missing value; the error says where it is."""
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(array.sum()):  # cheap; a sum of finite numbers may overflow too
            return
    wrong = np.isinf(array) if missing else ~np.isfinite(array)
    if wrong.any():
        row, column = np.argwhere(wrong)[0].tolist()
        required = "free of infinities" if missing else "finite"
        raise invalid(parameter, owner, required, f"{array[row, column]} in row {row}, column {column}")


class _Lent:
    """Another array's memory, described as writable; it keeps that array alive."""

    def __init__(self, array: np.ndarray) -> None:
        self.__array_interface__ = {**array.__array_interface__, "data": (array.ctypes.data, False)}
        self.owner = array


def for_kernels(array: np.ndarray) -> np.ndarray:
    """The same numbers as Numba sees them in a plain array, so that nothing is compiled a second time.

    Read-only and unaligned arrays have types of their own in Numba, and each kernel would be compiled again for each. A
    read-only array is lent as a writable one without a copy: for arguments that kernels only read.

    >>> frozen = np.zeros(3)
    >>> frozen.flags.writeable = False
    >>> lent = for_kernels(frozen)
    >>> lent.flags.writeable, np.shares_memory(lent, frozen)
    (True, True)
    """
    if not array.flags.aligned:
        return array.copy()
    return array if array.flags.writeable else np.asarray(_Lent(array))


def count(value: Any, parameter: str, owner: str, at_most: int | None = None, what: str = "") -> int:
    """``value`` as an integer from 1 to ``at_most``."""
    required = "an integer >= 1" if at_most is None else f"an integer from 1 to {at_most}{what}"
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise invalid(parameter, owner, required, value)
    if value < 1 or (at_most is not None and value > at_most):
        raise invalid(parameter, owner, required, value)
    return int(value)


def number(
    value: Any, parameter: str, owner: str, *, at_least: float = -np.inf, above: float = -np.inf, remark: str = ""
) -> float:
    """``value`` as a finite float, at least ``at_least`` and above ``above``."""
    limit = f" >= {at_least:g}" if at_least > -np.inf else f" > {above:g}" if above > -np.inf else ""
    given = float(value) if isinstance(value, Real) and not isinstance(value, bool | np.bool_) else np.nan
    if not np.isfinite(given) or given < at_least or given <= above:
        raise invalid(parameter, owner, f"a finite number{limit}{remark}", value)
    return given


def share(value: Any, parameter: str, owner: str) -> float:
    """``value`` as a number strictly between 0 and 1."""
    if isinstance(value, bool) or not isinstance(value, float | np.floating) or not 0.0 < value < 1.0:
        raise invalid(parameter, owner, "a number between 0 and 1, both excluded", value)
    return float(value)


def column(value: Any, parameter: str, owner: str, n_features: int) -> int:
    """``value`` as the position of one of the features, negative ones counted from the end."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or not -n_features <= value < n_features:
        raise invalid(parameter, owner, f"the position of one of X's {n_features} columns", value)
    return int(value)
