"""The Lorentzian distance of every pair of rows of two matrices."""

from typing import Any

import numpy as np

from consilience.kernels import _lorentzian_exact
from consilience.kernels.lorentzian_input import in_chunks, matrix, threads


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
    left = matrix(X, "X", "lorentzian_distances")
    right = left if Y is None else matrix(Y, "Y", "lorentzian_distances", left.shape[1])
    out = np.empty((len(left), len(right)))
    cost = float(out.size) * left.shape[1]

    def work(start: int, stop: int) -> None:
        _lorentzian_exact.exact_pairs(left, right, start, stop, out)

    in_chunks(work, len(left), cost, threads(n_threads, "lorentzian_distances"))
    return out
