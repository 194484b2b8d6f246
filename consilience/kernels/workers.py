"""The processors at hand, and memory that each thread keeps for the next call.

``CONSILIENCE_BIND_THREADS=1`` binds each helping thread to one processor, as ``OMP_PROC_BIND`` does for OpenMP. Some
schedulers, those of virtual machines among them, leave a thread that works for a few milliseconds only on its caller's
processor; a process that has its processors to itself gains by it, processes that share them lose.
"""

import itertools
import os
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

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


class _Job:
    """Work that a helping thread may begin, unless its caller has done everything before."""

    def __init__(self, work: Callable[[Any], None], argument: Any) -> None:
        self._work, self._argument = work, argument
        self._begun, self._done = threading.Lock(), threading.Lock()
        self._done.acquire()
        self._error: BaseException | None = None

    def run(self) -> None:
        if not self._begun.acquire(blocking=False):
            return
        try:
            self._work(self._argument)
        except BaseException as error:  # the caller's to handle
            self._error = error
        finally:
            self._done.release()

    def wait(self) -> None:
        """Return when it is done."""
        self._done.acquire()
        if self._error is not None:
            raise self._error

    def wait_if_begun(self) -> None:
        """As ``wait``, but what no thread has begun is not needed any more."""
        if not self._begun.acquire(blocking=False):
            self.wait()


_queues: dict[int, "queue.SimpleQueue[_Job]"] = {}  # one per process: threads do not survive a fork


def _jobs(process: int) -> "queue.SimpleQueue[_Job]":
    """The queue of the helping threads, which are started here. A future per job would cost a tenth of a short one."""
    jobs = _queues.get(process)
    if jobs is not None:
        return jobs
    own: queue.SimpleQueue[_Job] = queue.SimpleQueue()
    jobs = _queues.setdefault(process, own)  # of threads that come at once, one finds its own and starts the helpers
    if jobs is not own:
        return jobs
    bind = os.environ.get("CONSILIENCE_BIND_THREADS") == "1" and hasattr(os, "sched_setaffinity")
    places = _places() if bind else None
    for number in range(max(1, n_threads() - 1)):  # the caller works too
        threading.Thread(target=_help, args=(jobs, places), name=f"kernels_{number}", daemon=True).start()
    return jobs


def _places() -> Iterator[int]:
    """Processors for the threads in turn; the first is left to the caller where there are others."""
    at_hand = sorted(os.sched_getaffinity(0))
    return itertools.cycle(at_hand[1:] + at_hand[:1])


def _help(jobs: "queue.SimpleQueue[_Job]", places: Iterator[int] | None) -> None:
    if places is not None:
        os.sched_setaffinity(0, {next(places)})
    while True:
        jobs.get().run()


def _hand_out(jobs: list[_Job]) -> None:
    if jobs:
        waiting = _jobs(os.getpid())
        for job in jobs:
            waiting.put(job)


def in_threads(work: Callable[[int], None], count: int) -> None:
    """``work(0)`` … ``work(count - 1)`` at the same time; the calling thread takes the first."""
    others = [_Job(work, number) for number in range(1, count)]
    _hand_out(others)
    try:
        work(0)
    finally:
        for other in others:
            other.run()  # what no thread has begun, so that none waits for threads that wait for it
            other.wait()


def in_turns(work: Callable[[np.ndarray], None], count: int) -> None:
    """``work(turns)`` in so many threads, which take numbers from ``turns`` (``_turns.take``) until none is left.

    So a thread that wakes late does less, and one that has not woken when all is done is not waited for.
    """
    turns = np.zeros(1, np.int64)
    others = [_Job(work, turns) for _ in range(1, count)]
    _hand_out(others)
    try:
        work(turns)
    finally:
        for other in others:
            other.wait_if_begun()


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
