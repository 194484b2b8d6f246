"""The processors at hand, and memory that each thread keeps for the next call.

``CONSILIENCE_BIND_THREADS=1`` binds each helping thread to one processor, as ``OMP_PROC_BIND`` does for OpenMP. Some
schedulers, those of virtual machines among them, leave a thread that works for a few milliseconds only on its caller's
processor; a process that has its processors to itself gains by it, processes that share them lose.
"""

import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
from numba import config

_KEPT_SCRATCH = 1 << 25  # bytes that a thread may keep between calls
_LINE = 8  # float64 in one cache line: vectors that straddle two cost twice
_thread = threading.local()


def n_threads() -> int:
    """Threads to use: the processors this process may run on, or fewer where Numba is told so.

    joblib's workers are told so (``NUMBA_NUM_THREADS``), that side by side they do not use each core several times.
    """
    at_hand = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(int(config.NUMBA_NUM_THREADS), at_hand))


@cache
def _pool(process: int) -> ThreadPoolExecutor:  # one per process: threads do not survive a fork
    bind = os.environ.get("CONSILIENCE_BIND_THREADS") == "1" and hasattr(os, "sched_setaffinity")
    return ThreadPoolExecutor(n_threads(), thread_name_prefix="kernels", initializer=_binding() if bind else None)


def _binding() -> Callable[[], None]:
    """What a new thread calls to take the next processor; the first is left to the caller where there are others."""
    at_hand = sorted(os.sched_getaffinity(0))
    places = itertools.cycle(at_hand[1:] + at_hand[:1])
    return lambda: os.sched_setaffinity(0, {next(places)})


def in_threads(work: Callable[[int], None], count: int) -> None:
    """``work(0)`` … ``work(count - 1)`` at the same time; the calling thread takes the first."""
    others = [_pool(os.getpid()).submit(work, number) for number in range(1, count)]
    work(0)
    for other in others:
        other.result()


def in_turns(work: Callable[[np.ndarray], None], count: int) -> None:
    """``work(turns)`` in so many threads, which take numbers from ``turns`` (``_turns.take``) until none is left.

    So a thread that wakes late does less, and one that has not woken when all is done is not waited for.
    """
    turns = np.zeros(1, np.int64)
    others = [_pool(os.getpid()).submit(work, turns) for _ in range(1, count)]
    work(turns)
    for other in others:
        if not other.cancel():
            other.result()


def scratch(*sizes: int) -> list[np.ndarray]:
    """This thread's own uninitialised float64 arrays, kept for the next call: fresh memory costs more than the work."""
    sizes = tuple(-(-size // _LINE) * _LINE for size in sizes)
    total = sum(sizes)
    kept = getattr(_thread, "scratch", None)
    if kept is None or len(kept) < total:
        kept = np.empty(total + _LINE)
        kept = kept[-kept.ctypes.data // 8 % _LINE :][:total]
        if kept.nbytes <= _KEPT_SCRATCH:
            _thread.scratch = kept
    parts, at = [], 0
    for size in sizes:
        parts.append(kept[at : at + size])
        at += size
    return parts
