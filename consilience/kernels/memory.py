"""Memory that begins a cache line; for results, taken over from earlier results that nobody holds any more.

The first touch of fresh memory costs a page fault for every 4 KB: for a pass that writes 3 MB in a millisecond, as much
as the pass itself. So the arrays behind large results are remembered, and one to which no result refers is used again.
"""

import math
import sys
import threading

import numpy as np

_WORTH = 1 << 15  # float64 below which the allocator itself keeps the memory
_REMEMBERED = 1 << 26  # bytes in all
_LINE = 8  # float64 in one cache line: vectors that straddle two cost twice
_LINE_BYTES = 64


class _Owner:
    """Memory, and where its first cache line begins."""

    __slots__ = ("array", "first", "room")

    def __init__(self, size: int) -> None:
        self.room = size
        self.array = np.empty(size + _LINE - 1)
        self.first = -self.array.ctypes.data // 8 % _LINE

    def used(self) -> int:
        """References to the array; those of results among them."""
        return sys.getrefcount(self.array)


_UNUSED = _Owner(0).used()
_lock = threading.Lock()
_owners: list[_Owner] = []


def result(*shape: int) -> np.ndarray:
    """An uninitialised float64 array for a caller to keep, C-ordered; it begins a cache line where it is large."""
    size = math.prod(shape)
    if size < _WORTH or not _lock.acquire(blocking=False):  # after a fork the lock may stay with the parent's thread
        return np.empty(shape)
    try:
        owner = _owner(size)
        return owner.array[owner.first : owner.first + size].reshape(shape)  # a view keeps its owner in use
    finally:
        _lock.release()


def _owner(size: int) -> _Owner:
    """Room for so many numbers to which nothing refers, new or not."""
    for owner in _owners:
        if size <= owner.room <= 2 * size and owner.used() == _UNUSED:
            return owner
    new = _Owner(size)
    if new.array.nbytes <= _REMEMBERED:
        _owners.append(new)
        while sum(owner.array.nbytes for owner in _owners) > _REMEMBERED:
            del _owners[0]  # who still holds it keeps it
    return new


def aligned(shape: tuple[int, ...], dtype: type[np.generic]) -> np.ndarray:
    """An uninitialised array that begins a cache line."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    raw = np.empty(size + _LINE_BYTES - 1, np.uint8)
    start = -raw.ctypes.data % _LINE_BYTES
    return raw[start : start + size].view(dtype).reshape(shape)
