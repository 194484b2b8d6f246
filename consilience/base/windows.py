"""Sliding windows over rows in time order: views of one padded copy, never across assets, never from the future."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from consilience.base.errors import invalid


@dataclass(frozen=True)
class Windows:
    """The last ``window`` rows up to and including each row, per asset; batches are copied out only when asked for.

    Attributes
    ----------
    padded : (n_padded, n_features), the rows with ``window - 1`` rows of zeros in front of each asset.
    view : (n_padded - window + 1, window, n_features), every window of ``padded`` without a copy.
    start : (n,) int64, the place in ``view`` of each row's window.
    lengths : (n,) int32, how many rows of each window are real: 1 for an asset's first row, up to ``window``.

    Examples
    --------
    >>> rows = np.array([[1.0], [2.0], [3.0]], np.float32)
    >>> windows = sliding_windows(rows, 2)
    >>> windows.left_padded(np.array([0, 2]))[..., 0]
    array([[0., 1.],
           [2., 3.]], dtype=float32)
    >>> windows.mask(np.array([0, 2]))
    array([[False,  True],
           [ True,  True]])
    """

    padded: np.ndarray
    view: np.ndarray
    start: np.ndarray
    lengths: np.ndarray

    def __len__(self) -> int:
        return len(self.start)

    @property
    def window(self) -> int:
        return int(self.view.shape[1])

    def left_padded(self, rows: np.ndarray) -> np.ndarray:
        """Windows (m, window, n_features), zeros before an asset's first row; ``mask`` says which rows are real."""
        return self.view[self.start[rows]]

    def mask(self, rows: np.ndarray) -> np.ndarray:
        """True where ``left_padded`` holds a real row, (m, window)."""
        return np.arange(self.window) >= self.window - self.lengths[rows][:, None]

    def left_aligned(self, rows: np.ndarray) -> np.ndarray:
        """The same windows with their real rows first and the zeros after them, (m, window, n_features).

        A causal network gives the same output at position ``lengths - 1`` of this form as a masked one gives at the end
        of the left-padded form, and needs no mask for it (cuDNN's LSTM and flash attention take none).
        """
        batch = self.view[self.start[rows]]
        short = np.flatnonzero(self.lengths[rows] < self.window)
        if len(short):
            shift = self.window - self.lengths[rows[short]]
            place = (np.arange(self.window) + shift[:, None]) % self.window
            batch[short] = np.take_along_axis(batch[short], place[:, :, None], axis=1)
        return batch

    def batches(self, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """All rows in order, as (rows, left-aligned windows) of at most ``size``; memory stays O(size · window)."""
        for first in range(0, len(self), size):
            rows = np.arange(first, min(first + size, len(self)))
            yield rows, self.left_aligned(rows)


def sliding_windows(values: np.ndarray, window: int, assets: np.ndarray | None = None) -> Windows:
    """Windows over (n, n_features) rows in time order.

    Parameters
    ----------
    window : rows per window, >= 1.
    assets : (n,) integer codes; each asset's rows are in time order, the assets in any interleaving. None: one asset.

    Memory: one copy of ``values``, plus ``window - 1`` rows of zeros for each asset, however large the window is.

    Raises
    ------
    InvalidInput : a window below 1, or values that are not two-dimensional.
    """
    if isinstance(window, bool) or not isinstance(window, int | np.integer) or window < 1:
        raise invalid("window", "sliding_windows", "an integer >= 1", window)
    if values.ndim != 2:
        raise invalid("values", "sliding_windows", "a matrix (n_rows, n_features)", values.shape)
    place, position, n_padded = padded_places(len(values), int(window), assets)
    padded = np.zeros((n_padded, values.shape[1]), values.dtype)
    padded[place] = values
    return windows_of_padded(padded, int(window), place, position)


def padded_places(n_rows: int, window: int, assets: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, int]:
    """Where each row goes in the padded copy (n,), its position within its asset (n,), and the padded row count.

    For callers that fill the padded copy themselves, a block of rows at a time.
    """
    if assets is None or n_rows == 0 or (assets == assets[0]).all():
        position = np.arange(n_rows, dtype=np.int64)
        return position + window - 1, position, n_rows + window - 1
    order = np.argsort(assets, kind="stable")
    grouped = assets[order]
    first_of_asset = np.flatnonzero(np.concatenate([[True], grouped[1:] != grouped[:-1]]))
    number = np.cumsum(np.concatenate([[False], grouped[1:] != grouped[:-1]]))
    place = np.empty(n_rows, np.int64)
    position = np.empty(n_rows, np.int64)
    position[order] = np.arange(n_rows) - first_of_asset[number]
    place[order] = np.arange(n_rows) + (number + 1) * (window - 1)
    return place, position, n_rows + len(first_of_asset) * (window - 1)


def windows_of_padded(padded: np.ndarray, window: int, place: np.ndarray, position: np.ndarray) -> Windows:
    """``Windows`` over a padded copy laid out by ``padded_places``."""
    view = np.lib.stride_tricks.sliding_window_view(padded, window, axis=0).transpose(0, 2, 1)
    lengths = np.minimum(position + 1, window).astype(np.int32)
    return Windows(padded, view, place - (window - 1), lengths)
