"""How the work of a Lorentzian search is shared among threads."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from consilience.kernels.inputs import count
from consilience.kernels.workers import in_threads, n_threads

ONE_THREAD_WORK = 4_000_000  # coordinate pairs; about 2 ms, below which a second thread costs more than it brings


def threads(given: Any, owner: str, parameter: str = "n_threads") -> int:
    """The number of threads to use at most: all at hand (``workers.n_threads``) unless one is given."""
    return n_threads() if given is None or given == -1 else count(given, parameter, owner)


def in_chunks(work: Callable[[int, int], None], n_rows: int, cost: float, n_threads: int) -> None:
    """Call ``work(start, stop)`` over 0:n_rows, on several threads where the cost (coordinate pairs) is worth it."""
    n_threads = min(n_threads, n_rows)
    if n_threads <= 1 or cost < ONE_THREAD_WORK:
        work(0, n_rows)
        return
    # Several chunks per thread even out what pruning and fallbacks make uneven.
    n_chunks = min(n_rows, 4 * n_threads)
    edges = [n_rows * i // n_chunks for i in range(n_chunks + 1)]
    waiting = iter(list(pairwise(edges)))

    def take(_: int) -> None:
        for start, stop in waiting:  # each chunk goes to whoever comes first
            work(start, stop)

    in_threads(take, n_threads)
