"""Publishes in children that are killed, for the crash campaign; imports everything once and forks for each job.

    python tests/registry/crash_worker.py URL ARTIFACTS

Each line ``STEP|AT|SEED`` on stdin is one child: it publishes models SEED, SEED + 1, … until it is killed, by itself
the AT-th time that it reaches STEP, or, where STEP is empty, after AT milliseconds. It writes ``ack NUMBER DIGEST``
after every publish that returned. ``end`` follows when it is dead.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path


def child(url: str, artifacts: str | None, step: str, at: int, seed: int) -> None:
    from consilience.registry import Registry
    from tests.registry.worker import kill_at, model

    registry = Registry(url, artifacts=artifacts)
    if step:
        kill_at(step, at)
    else:
        threading.Thread(target=_kill_after, args=(at / 1000,), daemon=True).start()
    while True:
        version = registry.publish("spx", model(seed))
        os.write(1, f"ack {version.number} {version.digest}\n".encode())
        seed += 1


def _kill_after(seconds: float) -> None:
    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    url, artifacts = sys.argv[1], sys.argv[2] or None
    import orbax.checkpoint  # noqa: F401  the slow part, once

    import consilience.registry.store  # noqa: F401
    import tests.registry.worker  # noqa: F401

    for line in sys.stdin:
        step, at, seed = line.rstrip("\n").split("|")
        process = os.fork()
        if process == 0:
            try:
                child(url, artifacts, step, int(at), int(seed))
            finally:
                os._exit(1)
        _, status = os.waitpid(process, 0)
        os.write(1, f"end {os.waitstatus_to_exitcode(status)}\n".encode())


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    main()
