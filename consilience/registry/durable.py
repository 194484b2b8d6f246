"""Files that survive a power cut: sync before rename, sync the folder after it.

The order is always write → sync every file → sync every folder, deepest first → rename → sync the parents. A rename
within one file system is atomic, so a reader finds the whole artifact or none.

A sync waits for the disk, and many in a row wait many times: before the first, the disk is asked to begin with all of
the files, so that the file system's journal takes them in one commit.
"""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from consilience.registry.errors import StorageFailed

STEPS = (
    *("leased", "staging made", "spec written", "arrays written", "manifest written", "files synced", "parent made"),
    *("renamed", "parent synced", "artifacts recorded", "before commit", "after commit"),
)  # "uploaded" as well, where artifacts go to an object store

# Called with the name of each step of a publish; the crash campaign kills the process there. None costs nothing.
on_step: Callable[[str], None] | None = None


def step(name: str) -> None:
    """Mark one of the named points between which a crash must lose nothing."""
    if on_step is not None:
        on_step(name)


def sync_file(path: Path) -> None:
    """Force one file's content to the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(path: Path) -> None:
    """Force a folder's entries to the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(top: Path) -> None:
    """Sync every file below ``top``, then every folder from the deepest up to ``top``."""
    walked = [(Path(folder), files) for folder, _, files in os.walk(top, topdown=False, onerror=_raise)]
    everything = [folder / name for folder, files in walked for name in files]
    for path in everything:
        _begin_writing(path)
    for path in everything:
        sync_file(path)
    for folder, _ in walked:
        sync_folder(folder)


def _raise(error: OSError) -> None:
    """A folder that cannot be listed is not one without files, which is what ``os.walk`` would make of it."""
    raise error


def _begin_writing(path: Path) -> None:
    """Ask for a file's pages to be written now, without waiting; only ever a hint."""
    if hasattr(os, "posix_fadvise"):
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)  # dirty pages cannot be dropped, so they are written
        finally:
            os.close(handle)


def make_folder(path: Path) -> None:
    """Create a folder and its parents, each entry synced, so that the folder itself survives."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def write_file(path: Path, data: bytes) -> None:
    """Write a new file; an existing one is never overwritten."""
    with path.open("xb") as file:
        file.write(data)


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold an exclusive lock on a file; it ends with the process, however that ends. Yields False if not obtained."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            if _is_at(handle, path):  # else the file was removed between opening and locking it
                yield True
                return
        finally:
            os.close(handle)


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except FileNotFoundError:
        return False


@contextmanager
def storage(action: str) -> Iterator[None]:
    """Turn an operating-system error into one sentence with its cause and a remedy."""
    try:
        yield
    except StorageFailed:
        raise
    except OSError as error:
        remedy = {
            errno.ENOSPC: " Free some space (`consilience gc`) and try again.",
            errno.EDQUOT: " Free some space (`consilience gc`) and try again.",
            errno.EROFS: " Mount it writable, or work on a copy.",
            errno.EACCES: " Check who owns the registry.",
        }.get(error.errno or 0, "")
        cause = error.strerror or str(error)
        raise StorageFailed(f"{action} failed: {cause}. Nothing that was published is affected.{remedy}") from error
