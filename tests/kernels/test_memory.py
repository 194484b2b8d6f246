"""Memory for results is used again, and never while somebody holds it."""

import gc
import os
import threading

import numpy as np
import pytest

from consilience.kernels import memory

LARGE = memory._WORTH


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch):
    monkeypatch.setattr(memory, "_owners", [])


def address(array: np.ndarray) -> int:
    return array.ctypes.data


def test_a_result_that_nobody_holds_gives_its_memory_to_the_next():
    first = memory.result(LARGE, 2)
    place = address(first)
    del first
    assert address(memory.result(2, LARGE)) == place
    assert address(memory.result(LARGE + 5)) == place, "a little smaller fits too"
    assert address(memory.result(LARGE // 2, 2)) == place
    assert address(memory.result(LARGE - 1)) != place, "not half empty"


@pytest.mark.parametrize(
    "hold",
    [
        lambda array: array,
        lambda array: array[1:2],
        lambda array: array.T.reshape(-1)[::7],
        lambda array: memoryview(array),
        lambda array: array.base,
        lambda array: np.frombuffer(array, np.uint8),
    ],
)
def test_whatever_still_refers_to_a_result_keeps_it(hold):
    first = memory.result(LARGE)
    first[:] = 7.0
    held = hold(first)
    place = address(first)
    del first
    second = memory.result(LARGE)
    second[:] = 0.0
    assert address(second) != place
    numbers = np.asarray(held).reshape(-1)
    numbers = numbers.view(np.float64) if numbers.dtype == np.uint8 else numbers
    assert (numbers == 7.0).sum() >= len(numbers) - 7, "the owner has up to a cache line more"
    del held, numbers
    gc.collect()
    assert address(memory.result(LARGE)) == place


def test_results_begin_a_cache_line_and_small_ones_are_plain():
    large, small = memory.result(LARGE + 3), memory.result(4, 5)
    assert address(large) % 64 == 0 and large.flags.carray
    assert small.base is None and small.shape == (4, 5)
    assert memory.result(0, 3).shape == (0, 3)


def test_no_more_is_remembered_than_allowed(monkeypatch):
    monkeypatch.setattr(memory, "_REMEMBERED", 8 * (3 * LARGE + 100))
    held = [memory.result(LARGE) for _ in range(10)]
    assert len(memory._owners) == 3
    assert len({address(array) for array in held}) == 10
    del held
    memory.result(4 * LARGE)
    assert len(memory._owners) == 3, "what is larger than all of it is not remembered"


def test_threads_never_get_the_same_memory():
    wrong = []

    def work(number: int) -> None:
        for _ in range(300):
            mine = memory.result(LARGE)
            mine[::64] = number
            if (mine[::64] != number).any():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_child_whose_parent_held_the_lock_still_gets_memory():
    with memory._lock:
        child = os.fork()
        if child == 0:
            os._exit(5 if memory.result(LARGE).shape == (LARGE,) else 6)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_aligned_arrays_begin_a_cache_line(dtype):
    kept = [memory.aligned((3, size), dtype) for size in range(1, 40)]
    for array in kept:
        assert address(array) % 64 == 0 and array.dtype == dtype and array.flags.c_contiguous
        array[:] = 1
    assert all((array == 1).all() for array in kept)
