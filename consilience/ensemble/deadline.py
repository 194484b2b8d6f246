"""Calling a member within a time budget."""

import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from consilience.base import ConsilienceError


class TooSlow(ConsilienceError, TimeoutError):
    """The call did not return within its budget."""


_busy: WeakKeyDictionary[Any, threading.Thread] = WeakKeyDictionary()  # who still works on a call that was given up


def within(budget: float | None, call: Callable[[], Any], who: Any = None) -> Any:
    """``call()``, or TooSlow once ``budget`` seconds are over; None waits for ever, in the caller's own thread.

    Python cannot stop a thread: a call that is too slow goes on in the background until it ends by itself, its answer
    is thrown away, and it does not keep the process from exiting. ``who`` is not
    asked again before that.
    """
    if budget is None:
        return call()
    earlier = None if who is None else _busy.get(who)
    if earlier is not None and earlier.is_alive():
        raise TooSlow("it still works on an earlier call that was given up")
    answer: list[Any] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            answer.append(call())
        except BaseException as error:  # handed to the caller below, whatever it is
            failure.append(error)

    worker = threading.Thread(target=run, daemon=True)
    worker.start()
    worker.join(budget)
    if worker.is_alive():
        if who is not None:
            _busy[who] = worker
        raise TooSlow(f"no answer within {budget:g} s")
    if failure:
        raise failure[0]
    return answer[0]
