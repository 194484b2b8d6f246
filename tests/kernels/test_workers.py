"""How many threads there are, how work is shared among them, and the memory that each keeps."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from numba import config, njit

from consilience.kernels import LorentzianIndex, forest, hmm, hmm_scaled, hmm_viterbi, lorentzian_threads, workers
from consilience.kernels._turns import take
from tests.kernels.test_hmm import parameters, rows
from tests.reference.forest import random_forest


def test_threads_are_the_processors_at_hand_or_fewer_where_numba_is_told_so(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    monkeypatch.setattr(config, "NUMBA_NUM_THREADS", 64)
    assert workers.n_threads() == 6
    monkeypatch.setattr(config, "NUMBA_NUM_THREADS", 3)
    assert workers.n_threads() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert workers.n_threads() == 1


def lorentzian():
    index = LorentzianIndex(rows(9000, 8), method="brute")
    index.query(rows(200, 8, 1), 3)


def hidden_states():
    p, X = parameters(4, 2), rows(30_000, 2)
    hmm.forward_filter(X, p)
    hmm.viterbi(X, p)


def trees():
    made = forest.Forest(**random_forest(np.random.default_rng(0), n_trees=40))
    made.raw(np.random.default_rng(1).standard_normal((20_000, made.n_features)))


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="minutes without the JIT")
@pytest.mark.parametrize("work", [lorentzian, hidden_states, trees])
def test_every_family_keeps_to_the_number_of_threads(work, monkeypatch):
    """joblib's workers lower Numba's number; a family that counted processors would use each of them twice."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)), raising=False)
    counts = []

    def counted(run):
        def shared(work, count):
            counts.append(count)
            run(work, count)

        return shared

    for module, name in (
        (hmm_scaled, "in_turns"),
        (hmm_viterbi, "in_turns"),
        (forest, "in_threads"),
        (lorentzian_threads, "in_threads"),
    ):
        monkeypatch.setattr(module, name, counted(getattr(workers, name)))
    monkeypatch.setattr(config, "NUMBA_NUM_THREADS", 2)
    work()
    assert max(counts) == 2, "enough work for several threads"
    monkeypatch.setattr(config, "NUMBA_NUM_THREADS", 1)
    counts.clear()
    work()
    assert max(counts, default=1) == 1


def test_each_piece_of_work_runs_once_and_the_caller_takes_the_first():
    ran = {}
    workers.in_threads(lambda number: ran.__setitem__(number, threading.get_ident()), 5)
    assert sorted(ran) == [0, 1, 2, 3, 4]
    assert ran[0] == threading.get_ident()
    workers.in_threads(lambda number: ran.__setitem__(number + 10, 0), 1)
    assert 10 in ran and 11 not in ran


@njit(nogil=True)
def count_turns(turns, taken):
    number = take(turns)
    while number < len(taken):
        taken[number] += 1
        number = take(turns)


def test_every_turn_is_taken_once_by_whichever_thread_is_free():
    for _ in range(20):
        taken = np.zeros(2_000 if config.DISABLE_JIT else 50_000, np.int64)
        workers.in_turns(lambda turns, taken=taken: count_turns(turns, taken), 4)
        assert (taken == 1).all()


def test_a_thread_that_wakes_late_is_not_waited_for():
    """With every other thread of the pool busy, the caller does all the work and goes on."""
    release, begun = threading.Event(), []
    count = workers.n_threads() + 1

    def work(turns):
        begun.append(threading.get_ident())

    blocked = [workers._Job(release.wait, 60) for _ in range(count)]
    workers._hand_out(blocked)
    try:
        workers.in_turns(work, 2)
        assert begun == [threading.get_ident()]
    finally:
        release.set()
    for job in blocked:
        job.wait()


def test_what_no_thread_is_free_for_the_caller_does():
    release, ran = threading.Event(), {}
    blocked = [workers._Job(release.wait, 60) for _ in range(workers.n_threads() + 1)]
    workers._hand_out(blocked)
    try:
        workers.in_threads(lambda number: ran.__setitem__(number, threading.get_ident()), 4)
        assert ran == dict.fromkeys(range(4), threading.get_ident())
    finally:
        release.set()


def test_work_that_is_shared_may_share_its_own_work():
    """Every thread waits for parts that only waiting threads could take, unless it takes them itself."""
    done = []
    workers.in_threads(lambda a: workers.in_threads(lambda b: done.append((a, b)), 6), 6)
    assert sorted(done) == [(a, b) for a in range(6) for b in range(6)]


def test_an_error_in_another_thread_of_turns_reaches_the_caller():
    caller, begun = threading.get_ident(), threading.Event()

    def work(turns):
        if threading.get_ident() == caller:
            begun.wait(30)
            return
        begun.set()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        workers.in_turns(work, 2)


@pytest.mark.parametrize("bad", [0, 2])
def test_an_error_in_any_thread_reaches_the_caller(bad):
    def work(number):
        if number == bad:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        workers.in_threads(work, 3)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="threads cannot be bound here")
@pytest.mark.parametrize("bind", ["0", "1"])
def test_threads_are_bound_where_that_is_asked_for(bind):
    program = (
        "import os, threading\n"
        "from consilience.kernels.workers import in_threads, n_threads\n"
        "mine, found, both = os.sched_getaffinity(0), {}, threading.Barrier(2)\n"
        "in_threads(lambda number: (found.__setitem__(number, os.sched_getaffinity(0)), both.wait(30)), 2)\n"
        "assert found[0] == mine == os.sched_getaffinity(0)\n"
        f"assert found[1] == ({{sorted(mine)[-1 if len(mine) == 1 else 1]}} if {bind} else mine)\n"
    )
    environment = {**os.environ, "CONSILIENCE_BIND_THREADS": bind}
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60, env=environment)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_process_has_threads_of_its_own():
    program = (
        "import os, warnings; warnings.simplefilter('ignore')\n"
        "from consilience.kernels.workers import in_threads\n"
        "in_threads(lambda number: None, 3)\n"
        "child = os.fork()\n"
        "done = []\n"
        "in_threads(done.append, 3)\n"
        "assert sorted(done) == [0, 1, 2]\n"
        "if child == 0: os._exit(7)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_scratch_is_aligned_kept_and_never_shared_between_threads():
    first, second = workers.scratch(5, 17)
    assert len(first) >= 5 and len(second) >= 17 and not np.shares_memory(first, second)
    assert first.ctypes.data % 64 == second.ctypes.data % 64 == 0
    again, _ = workers.scratch(5, 17)
    assert again.ctypes.data == first.ctypes.data, "kept for the next call"
    other = []
    thread = threading.Thread(target=lambda: other.append(workers.scratch(5)[0]))
    thread.start()
    thread.join()
    assert not np.shares_memory(other[0], first)
    assert [len(part) for part in workers.scratch(0, 8)] == [0, 8]


def test_a_huge_scratch_is_given_back():
    (huge,) = workers.scratch(workers._KEPT_SCRATCH // 8 + 64)
    kept = workers._thread.__dict__.get("scratch")
    assert kept is None or not np.shares_memory(kept, huge)


def test_threads_that_come_first_at_once_share_one_set_of_helpers(monkeypatch):
    started = []
    monkeypatch.setattr(workers, "_queues", {})
    monkeypatch.setattr(workers, "_help", lambda jobs, places: started.append(jobs))
    make = workers.queue.SimpleQueue
    together = threading.Barrier(8)

    def queue_after_all_have_looked():
        together.wait()
        return make()

    monkeypatch.setattr(workers.queue, "SimpleQueue", queue_after_all_have_looked)
    found = []
    callers = [threading.Thread(target=lambda: found.append(workers._jobs(-1))) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(set(map(id, found))) == 1 and len(found) == 8
    deadline = time.monotonic() + 10.0
    while not started and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert len(started) == max(1, workers.n_threads() - 1)
