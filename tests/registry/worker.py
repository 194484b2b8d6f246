"""One process of the concurrency and crash tests: publishes small models and writes one line per acknowledgement.

    python tests/registry/worker.py URL ARTIFACTS NAME FIRST_SEED COUNT [STEP AT]

With STEP it kills itself (SIGKILL) the AT-th time that a publish reaches the step of that name.
"""

import os
import signal
import sys
import time
from pathlib import Path

from consilience.base import State
from consilience.registry import Registry, durable
from tests.reference.states import logistic


def model(seed: int) -> State:
    """A model that has a member of its own artifact, so that a publish writes two."""
    import numpy as np

    large = State("Large", {}, {"w": np.random.default_rng(seed // 4).standard_normal(9_000)})
    return State("VotingClassifier", {"params": {}}, {}, {"large": large, "small": logistic(seed)})


def kill_at(step: str, at: int) -> None:
    seen = 0

    def reached(name: str) -> None:
        nonlocal seen
        seen += name == step
        if seen == at:
            os.kill(os.getpid(), signal.SIGKILL)

    durable.on_step = reached


def main() -> None:
    url, artifacts, name, first, count, *kill = sys.argv[1:]
    registry = Registry(url, artifacts=artifacts or None)
    registry.publish("warm", logistic())
    print("ready", flush=True)
    sys.stdin.readline()
    if kill:
        kill_at(kill[0], int(kill[1]))
    for seed in range(int(first), int(first) + int(count)):
        begin = time.perf_counter()
        version = registry.publish(name, model(seed))
        print("published", version.number, version.digest, time.perf_counter() - begin, flush=True)
    print("done", flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    main()
