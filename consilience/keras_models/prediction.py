"""One fitted network ready to predict: its weights on their device, and the program that equal networks share."""

import warnings
from typing import Any

import numpy as np

from consilience.base.windows import Windows
from consilience.keras_models import programs
from consilience.keras_models.architecture import Architecture
from consilience.keras_models.device import OutOfMemory, out_of_memory, running_on

_LARGEST: dict[Architecture, int] = {}  # the largest batch that fitted the memory, where the usual one did not


class Prediction:
    """Outputs of windows, in batches padded to a few fixed sizes, so that a new number of rows compiles nothing.

    Parameters
    ----------
    weights : host arrays, kept as ``host`` to tell whether a model was fitted anew since.

    When the device's memory is full, smaller batches are tried, and kept to, with a warning.
    """

    def __init__(self, architecture: Architecture, weights: list[np.ndarray]) -> None:
        self.host = weights
        self._architecture, self._device = architecture, architecture.device
        with running_on(self._device):
            self._forward = programs.forward(architecture)
            self._weights = self._forward.place(weights)

    def run(self, windows: Windows, embed: bool = False) -> np.ndarray:
        """Outputs (n, n_outputs) float64 of every row, or its representation (n, width)."""
        blocks = [
            self.run_batch(x, windows.lengths[rows], embed) for rows, x in windows.batches(programs.BATCH_SIZES[-1])
        ]
        return np.concatenate(blocks)

    def run_batch(self, x: np.ndarray, lengths: np.ndarray, embed: bool = False) -> np.ndarray:
        """The same for left-aligned windows (n, window, features)."""
        n_rows, most = len(x), _LARGEST.get(self._architecture, programs.BATCH_SIZES[-1])
        if n_rows > most:
            parts = range(0, n_rows, most)
            return np.concatenate([self.run_batch(x[i : i + most], lengths[i : i + most], embed) for i in parts])
        size = programs.batch_size_for(n_rows)
        try:
            return self._run_padded(x, lengths, size, embed)
        except Exception as error:
            if not out_of_memory(error):
                raise
            self._give_way(size, error)
        return self.run_batch(x, lengths, embed)

    def _run_padded(self, x: np.ndarray, lengths: np.ndarray, size: int, embed: bool) -> np.ndarray:
        n_rows = len(x)
        missing = size - n_rows
        if missing:
            x = np.concatenate([x, np.zeros((missing, *x.shape[1:]), x.dtype)])
            lengths = np.concatenate([lengths, np.ones(missing, lengths.dtype)])
        call: Any = self._forward.embed if embed else self._forward
        with running_on(self._device):
            return call(self._weights, x, lengths)[:n_rows].astype(np.float64)

    def _give_way(self, size: int, error: Exception) -> None:
        """Predict in batches below ``size`` from now on, for it was too large."""
        smaller = [other for other in programs.BATCH_SIZES if other < size]
        if not smaller:
            raise OutOfMemory(
                f"The memory of {self._device} is full even when one window is predicted at a time. Use a smaller "
                "network or window, or device='cpu'."
            ) from error
        _LARGEST[self._architecture] = smaller[-1]
        warnings.warn(
            f"The memory of {self._device} is full; predictions go on in batches of {smaller[-1]} windows.",
            stacklevel=4,
        )
