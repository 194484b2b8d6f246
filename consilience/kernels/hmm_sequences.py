"""Which rows of X form a sequence: the rows of each asset of a panel, or consecutive stretches given by ``lengths``."""

from typing import Any

import numpy as np

from consilience.base import time_axis
from consilience.kernels.hmm import sequence_starts


class Sequences:
    """The sequences of X, and the order that puts each one's rows together.

    Parameters
    ----------
    X : as given by the user; an (asset, time) index makes each asset a sequence, in any interleaving.
    lengths : rows of each of several stacked sequences; it overrides the index.

    Attributes
    ----------
    lengths, starts : (m,) and (m + 1,) int64, rows of each sequence and where it begins, once ``together`` has ordered
        them. names : one per sequence: its asset, or "".

    >>> Sequences([[1.0], [2.0], [3.0]], lengths=[1, 2]).starts.tolist()
    [0, 1, 3]
    """

    def __init__(self, X: Any, lengths: Any = None) -> None:
        self._order: np.ndarray | None = None
        axis = time_axis(X)
        assets = axis.assets
        self.names: tuple[str, ...] = ("",)
        if lengths is None and assets.any():
            self._order = np.argsort(assets, kind="stable")
            counts = np.bincount(assets)
            lengths = counts[counts > 0]
            self.names = tuple(axis.asset_names[code] for code in np.flatnonzero(counts))
        self.starts = sequence_starts(len(assets), lengths)
        self.lengths = np.diff(self.starts)
        if len(self.names) != len(self.lengths):
            self.names = ("",) * len(self.lengths)

    def together(self, rows: np.ndarray) -> np.ndarray:
        """Rows with each sequence's rows next to each other."""
        return rows if self._order is None else np.ascontiguousarray(rows[self._order])

    def back(self, rows: np.ndarray) -> np.ndarray:
        """Outputs for ``together`` rows, in the order of X."""
        if self._order is None:
            return rows
        out = np.empty_like(rows)
        out[self._order] = rows
        return out
