"""A training's whole state in one file per training, so that a killed one goes on where it stopped.

The file is written beside its place and renamed into it, and is read only if its digest is right: a kill at any moment
leaves the last complete epoch. Its name is a digest of everything that the training depends on, so that folds do not
share a file and a changed setting or data set starts anew.
"""

import hashlib
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from consilience.base import InvalidInput, InvalidState, State
from consilience.base.persistence import read_state, write_state
from consilience.keras_models.training import Progress

_PARTS = ("trainable", "streams", "optimizer", "best")


class Checkpoint:
    """The file of one training.

    Parameters
    ----------
    folder : made where it does not exist.
    settings : what the training depends on besides its arrays; anything with a stable ``repr``.
    arrays : what it is trained on.
    """

    def __init__(self, folder: str, settings: Any, arrays: list[np.ndarray]) -> None:
        place = Path(folder)
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInput(f"The checkpoint folder {folder} cannot be made: {error.strerror}.") from error
        content = hashlib.sha256(repr(settings).encode())
        for array in arrays:
            content.update(f"{array.dtype.str}{array.shape}".encode())
            content.update(np.ascontiguousarray(array).view(np.uint8).data)
        self.path = place / f"training-{content.hexdigest()[:32]}.state"

    def save(self, parts: list[list[np.ndarray]], best: list[np.ndarray], progress: Progress) -> None:
        """Replace the file by this epoch's end; all of it or nothing."""
        arrays = {
            f"{name}_{number:03d}": array
            for name, values in zip(_PARTS, [*parts, best])
            for number, array in enumerate(values)
        }
        arrays["best_loss"] = np.array([progress.best_loss])  # may be infinite, which JSON cannot hold
        spec = {name: value for name, value in asdict(progress).items() if name != "best_loss"}
        write_state(State("Checkpoint", spec, arrays), self.path)

    def load(self) -> tuple[list[list[np.ndarray]], list[np.ndarray], Progress] | None:
        """What ``save`` wrote last, or None where there is nothing, or nothing whole."""
        if not self.path.is_file():
            return None
        try:
            state = read_state(self.path)
            parts = [
                [state.arrays[name] for name in sorted(state.arrays) if name.startswith(f"{part}_0")] for part in _PARTS
            ]
            progress = Progress(**state.spec, best_loss=float(state.arrays["best_loss"][0]))
        except (InvalidState, KeyError, TypeError, ValueError) as error:
            warnings.warn(f"A damaged checkpoint is left aside, training starts anew: {error}", stacklevel=2)
            return None
        return parts[:3], parts[3], progress

    def finish(self) -> None:
        """The training is done: its file goes."""
        self.path.unlink(missing_ok=True)
