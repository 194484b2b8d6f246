"""Sliding windows over rows in time order: read where the rows lie, never across assets, never from the future."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from consilience.base.errors import invalid

_BLOCK = 512  # rows transformed at a time: they and their results stay in the processor's cache


@dataclass(frozen=True)
class Windows:
    """The last ``window`` rows up to and including each row, per asset; batches are copied out only when asked for.

    Attributes
    ----------
    rows : (n_rows, n_features), as they were given; nothing of them is copied.
    order : (n_rows,) int64, the rows asset by asset; None where they lie so already.
    place : (n,) int64, where in that order each window ends.
    lengths : (n,) int32, how many rows of each window are real: 1 for an asset's first row, up to ``window``.
    window : rows per window.
    transform : rows (m, n_features) -> the same number of rows, float32, applied as windows are copied out; or None.

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

    rows: np.ndarray
    order: np.ndarray | None
    place: np.ndarray
    lengths: np.ndarray
    window: int
    transform: Callable[[np.ndarray], np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.place)

    @property
    def n_features(self) -> int:
        return int(self.rows.shape[1])

    @property
    def contents(self) -> list[np.ndarray]:
        """All that the windows depend on, apart from the transform: for a digest."""
        return [self.rows, *([] if self.order is None else [self.order]), self.place, self.lengths]

    def only(self, kept: np.ndarray) -> "Windows":
        """The windows of some rows."""
        return replace(self, place=self.place[kept], lengths=self.lengths[kept])

    def left_padded(self, rows: np.ndarray) -> np.ndarray:
        """Windows (m, window, n_features), zeros before an asset's first row; ``mask`` says which rows are real."""
        return self._windows(self.place[rows][:, None] + np.arange(1 - self.window, 1), self.mask(rows))

    def mask(self, rows: np.ndarray) -> np.ndarray:
        """True where ``left_padded`` holds a real row, (m, window)."""
        return np.arange(self.window) >= self.window - self.lengths[rows][:, None]

    def left_aligned(self, rows: np.ndarray) -> np.ndarray:
        """The same windows with their real rows first and the zeros after them, (m, window, n_features).

        A causal network gives the same output at position ``lengths - 1`` of this form as a masked one gives at the end
        of the left-padded form, and needs no mask for it (cuDNN's LSTM and flash attention take none).
        """
        lengths = self.lengths[rows][:, None]
        steps = np.arange(self.window)
        return self._windows(self.place[rows][:, None] - lengths + 1 + steps, steps < lengths)

    def batches(self, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """All rows in order, as (rows, left-aligned windows) of at most ``size``; memory stays O(size · window)."""
        for first in range(0, len(self), size):
            rows = np.arange(first, min(first + size, len(self)))
            yield rows, self.left_aligned(rows)

    def _windows(self, places: np.ndarray, real: np.ndarray) -> np.ndarray:
        """Rows (m, window, n_features) at places of the order, zeros where they are not real."""
        if not places.size:
            return self._read(places.reshape(-1)).reshape(*places.shape, self.n_features)
        short = not real.all()
        if short:
            places = np.where(real, places, places[np.arange(len(places)), real.argmax(axis=1)][:, None])
        low, high = int(places.min()), int(places.max()) + 1
        if 2 * (high - low) < places.size:  # neighbours share most rows: each is transformed once
            found = self._read(np.arange(low, high))[places - low]
        else:
            found = self._read(places.reshape(-1)).reshape(*places.shape, self.n_features)
        if short:
            found[~real] = 0
        return found

    def _read(self, places: np.ndarray) -> np.ndarray:
        """Transformed rows (m, n_features)."""
        numbers = places if self.order is None else self.order[places]
        if self.transform is None:
            return self.rows[numbers]
        out = np.empty((len(numbers), self.n_features), np.float32)
        for first in range(0, len(numbers), _BLOCK):
            out[first : first + _BLOCK] = self.transform(self.rows[numbers[first : first + _BLOCK]])
        return out


def sliding_windows(
    values: np.ndarray,
    window: int,
    assets: np.ndarray | None = None,
    transform: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Windows:
    """Windows over (n, n_features) rows in time order.

    Parameters
    ----------
    window : rows per window, >= 1.
    assets : (n,) integer codes; each asset's rows are in time order, the assets in any interleaving. None: one asset.
    transform : applied to rows as they are read, such as a scaling to float32; each row's result may depend on that row
        alone.

    Memory: a few numbers per row, however large the window is; the rows are not copied.

    Raises
    ------
    InvalidInput : a window below 1, or values that are not two-dimensional.
    """
    if isinstance(window, bool) or not isinstance(window, int | np.integer) or window < 1:
        raise invalid("window", "sliding_windows", "an integer >= 1", window)
    if values.ndim != 2:
        raise invalid("values", "sliding_windows", "a matrix (n_rows, n_features)", values.shape)
    n_rows = len(values)
    order, place = None, np.arange(n_rows, dtype=np.int64)
    position = place
    if assets is not None and n_rows and not (assets == assets[0]).all():
        sorted_rows = np.argsort(assets, kind="stable")
        grouped = assets[sorted_rows]
        begins = np.concatenate([[True], grouped[1:] != grouped[:-1]])
        inside = np.arange(n_rows) - np.flatnonzero(begins)[np.cumsum(begins) - 1]
        if (sorted_rows == place).all():
            position = inside
        else:
            order, place, position = sorted_rows, np.empty(n_rows, np.int64), np.empty(n_rows, np.int64)
            place[order], position[order] = np.arange(n_rows), inside
    lengths = np.minimum(position + 1, window).astype(np.int32)
    return Windows(values, order, place, lengths, int(window), transform)
