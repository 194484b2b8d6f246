"""The Lorentzian distance of every pair of rows of two matrices."""

import math
from typing import Any

import numpy as np

from consilience.kernels import _lorentzian_exact, _lorentzian_pairs, memory
from consilience.kernels.inputs import matrix, require_finite
from consilience.kernels.lorentzian_threads import ONE_THREAD_WORK, in_chunks, threads
from consilience.kernels.workers import in_turns


def lorentzian_distances(X: Any, Y: Any = None, *, n_threads: int | None = None) -> np.ndarray:
    """Pairwise d(x, y) = Σ log(1+|xᵢ−yᵢ|), a metric that grows only logarithmically with one feature's outlier.

    Parameters
    ----------
    X : (n, d) finite numbers, at any scale.
    Y : (m, d), or None for X itself.
    n_threads : threads at most; None for all. The result does not depend on it.

    Returns
    -------
    (n, m) float64, correct to a relative 1e-12.

    Raises
    ------
    InvalidInput : empty, not finite, or X and Y of different widths.

    References
    ----------
    E. Deza and M. M. Deza, Encyclopedia of Distances, 2009, "Lorentzian distance".

    Examples
    --------
    >>> lorentzian_distances([[0.0, 0.0]], [[0.0, 0.0], [1.0, 3.0]]).round(4).tolist()
    [[0.0, 2.0794]]
    """
    left = matrix(X, "X", "lorentzian_distances", finite=False)
    right = left if Y is None else matrix(Y, "Y", "lorentzian_distances", left.shape[1], finite=False)
    lowest, highest = _range(left, "X")
    if Y is not None:
        low, high = _range(right, "Y")
        lowest, highest = min(lowest, low), max(highest, high)
    out = memory.result(len(left), len(right))
    n_threads = threads(n_threads, "lorentzian_distances")
    cost = float(out.size) * (left.shape[1] + 16)
    if _overflows(left, right, highest - lowest):
        in_chunks(
            lambda start, stop: _lorentzian_exact.exact_pairs(left, right, start, stop, out), len(left), cost, n_threads
        )
        return out
    columns = _columns(right)
    n_threads = n_threads if cost >= ONE_THREAD_WORK else 1
    in_turns(lambda turns: _lorentzian_pairs.fill_pairs(turns, left, columns, out), n_threads)
    return out


def _range(rows: np.ndarray, parameter: str) -> tuple[float, float]:
    """The smallest and the largest number; they also tell whether all are finite, in one reading instead of two."""
    lowest, highest = float(rows.min()), float(rows.max())
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        require_finite(rows, parameter, "lorentzian_distances")
    return lowest, highest


def _overflows(left: np.ndarray, right: np.ndarray, span: float) -> bool:
    """Could Π(1+|x−y|) of some pair be more than float64 holds? All numbers lie within ``span``."""
    limit = math.log(_lorentzian_pairs.WIDEST)
    if left.shape[1] * math.log1p(span) < limit:
        return False
    highest = np.maximum(left.max(axis=0), right.max(axis=0))
    lowest = np.minimum(left.min(axis=0), right.min(axis=0))
    with np.errstate(over="ignore"):
        return not float(np.log1p(highest - lowest).sum()) < limit


def _columns(right: np.ndarray) -> np.ndarray:
    """right (m, d) as (n_blocks, d, 32), feature by feature; missing rows repeat the last."""
    width = _lorentzian_pairs.COLUMNS
    whole, rest = divmod(len(right), width)
    out = np.empty((whole + (rest > 0), right.shape[1], width))
    out[:whole] = right[: whole * width].reshape(whole, width, right.shape[1]).transpose(0, 2, 1)
    if rest:
        out[whole, :, :rest] = right[whole * width :].T
        out[whole, :, rest:] = right[-1:].T
    return out
