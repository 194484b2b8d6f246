"""A training's whole state in one file per training, so that a killed one goes on where it stopped.

The file is written beside its place and renamed into it, and is read only if its digest is right: a kill at any moment
leaves the last complete epoch. Its name is a digest of everything that the training depends on, so that folds do not
share a file and a changed setting or data set starts anew. The seed of a training without ``random_state`` is no part
of the name but of the content: started again, it goes on with the seed that it had drawn.
"""

import fcntl
import hashlib
import os
import re
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np

from consilience.base import InvalidInput, InvalidState, State
from consilience.base.persistence import read_state, write_state
from consilience.keras_models.training import Progress, Snapshot

_PARTS = ("trainable", "streams", "optimizer", "best")
_COUNTS = ("batch_size", "accumulation", "seed")


class Checkpoint:
    """The file of one training, held by it alone while the ``with`` block lasts.

    Parameters
    ----------
    folder : made where it does not exist.
    settings : what the training depends on besides its arrays; anything with a stable ``repr``.
    arrays : what it is trained and validated on.

    Two equal trainings at the same time take a file each: a lock of the operating system, which a killed process loses,
    says which files are taken.

    Raises
    ------
    InvalidInput : the folder cannot be made.
    """

    def __init__(self, folder: str, settings: Any, arrays: list[np.ndarray]) -> None:
        self._place = Path(folder)
        try:
            self._place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInput(f"The checkpoint folder {folder} cannot be made: {error.strerror}.") from error
        content = hashlib.sha256(repr(settings).encode())
        for array in arrays:
            content.update(f"{array.dtype.str}{array.shape}".encode())
            content.update(np.ascontiguousarray(array).view(np.uint8).data)
        self._name = f"training-{content.hexdigest()[:32]}"
        self._lock = -1

    def __enter__(self) -> Self:
        number = 0
        while True:
            self.path = self._place / f"{self._name}{f'-{number}' if number else ''}.state"
            lock = _hold(self.path.with_suffix(".lock"))
            if lock is not None:
                break
            number += 1
        self._lock = lock
        for torn in self._place.glob(f"{self.path.name}*.partial"):  # of a training that was killed while it wrote
            torn.unlink(missing_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.path.with_suffix(".lock").unlink(missing_ok=True)
        os.close(self._lock)

    def save(self, snapshot: Snapshot) -> None:
        """Replace the file by this epoch's end; all of it or nothing."""
        arrays = {
            f"{name}_{number}": array
            for name, values in zip(_PARTS, [*snapshot.parts, snapshot.best], strict=True)
            for number, array in enumerate(values)
        }
        arrays["best_loss"] = np.array([snapshot.progress.best_loss])  # may be infinite, which JSON cannot hold
        spec = {name: value for name, value in asdict(snapshot.progress).items() if name != "best_loss"}
        counts = {name: getattr(snapshot, name) for name in _COUNTS}
        write_state(State("Checkpoint", {"progress": spec, **counts}, arrays), self.path)

    def load(self) -> Snapshot | None:
        """What ``save`` wrote last, or None where there is nothing, or nothing whole."""
        if not self.path.is_file():
            return None
        try:
            state = read_state(self.path)
            *parts, best = (_numbered(state.arrays, part) for part in _PARTS)
            progress = Progress(**state.spec["progress"], best_loss=float(state.arrays["best_loss"][0]))
            return Snapshot(parts, best, progress, *(int(state.spec[name]) for name in _COUNTS))
        except (InvalidState, KeyError, TypeError, ValueError) as error:
            warnings.warn(f"A damaged checkpoint is left aside, training starts anew: {error}", stacklevel=2)
            return None

    def finish(self) -> None:
        """The training is done: its file goes."""
        self.path.unlink(missing_ok=True)


def _numbered(arrays: dict[str, np.ndarray], part: str) -> list[np.ndarray]:
    """The arrays ``part_0``, ``part_1``, … in the order of their numbers."""
    found = {int(match[1]): name for name in arrays if (match := re.fullmatch(rf"{part}_(\d+)", name))}
    if sorted(found) != list(range(len(found))):
        raise ValueError(f"of its {part} arrays some are missing")
    return [arrays[found[number]] for number in sorted(found)]


def _hold(path: Path) -> int | None:
    """A handle that holds the file's lock until it is closed or its process dies, or None where another has it."""
    while True:
        handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        except OSError:  # a file system without locks
            return handle
        try:
            if path.stat().st_ino == os.fstat(handle).st_ino:
                return handle
        except FileNotFoundError:
            pass
        os.close(handle)  # whoever held it has removed the file since: the lock of a name that is gone says nothing
