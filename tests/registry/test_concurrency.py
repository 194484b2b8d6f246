import threading

import numpy as np
import pytest

from consilience.registry import Conflict, Registry
from tests.reference.states import logistic
from tests.registry.processes import acknowledged, go, start


def publish_together(location, processes: int, each: int) -> list[tuple[str, str, float]]:
    workers = [start(location, "spx", 10_000 * i, each) for i in range(processes)]
    for worker in workers:
        go(worker)
    return [line for worker in workers for line in acknowledged(worker)]


def check_all(location, lines, expected: int) -> None:
    with Registry(location[0], artifacts=location[1]) as registry:
        versions = registry.versions("spx")
        assert len(lines) == expected == len(versions)
        assert sorted(v.key for v in versions) == [type(versions[0].key)(1, 0, patch) for patch in range(expected)]
        assert {(v.number, v.digest) for v in versions} == {line[:2] for line in lines}
        assert registry.verify() == []
        assert list((registry.artifacts.root / "staging").iterdir()) == []


def test_processes_publish_at_once(location):
    check_all(location, publish_together(location, 2, 4), 8)


@pytest.mark.slow
def test_eight_processes_publish_a_hundred_each(location):
    lines = publish_together(location, 8, 100)
    check_all(location, lines, 800)
    seconds = [line[2] for line in lines]
    print(f"publish under 8 processes: median {np.median(seconds):.3f} s, p99 {np.quantile(seconds, 0.99):.3f} s")


@pytest.mark.parametrize("rounds", [2, pytest.param(50, marks=pytest.mark.slow)])
def test_of_eight_racing_moves_exactly_one_wins(location, rounds):
    with Registry(location[0], artifacts=location[1]) as registry:
        for seed in range(9):
            registry.publish("spx", logistic(seed))
        registry.promote("spx==1.0.8", "live", reason="start")
        for _ in range(rounds):
            before = registry.show("spx@live").number
            others = [v.number for v in registry.versions("spx") if v.number != before]
            won = race(
                [
                    lambda n=n, old=before: registry.promote(f"spx=={n}", "live", reason="race", expected=old)
                    for n in others
                ]
            )
            assert won.count(True) == 1
            assert registry.show("spx@live").number == others[won.index(True)]


def race(moves) -> list[bool]:
    barrier, won = threading.Barrier(len(moves)), [False] * len(moves)

    def run(place: int) -> None:
        barrier.wait()
        try:
            moves[place]()
            won[place] = True
        except Conflict:
            pass

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(moves))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return won
