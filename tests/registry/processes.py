"""Starting worker processes and reading what they acknowledged."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def start(location, name: str, first: int, count: int, *kill: str | int) -> subprocess.Popen:
    """A worker that has opened the registry and waits for ``go``."""
    url, artifacts = location
    command = [sys.executable, str(Path(__file__).with_name("worker.py")), url, artifacts or "", name]
    worker = subprocess.Popen(
        [*command, str(first), str(count), *map(str, kill)], cwd=ROOT, env=environment(), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert worker.stdout.readline() == "ready\n", worker.communicate()[1]
    return worker


def environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"}


def go(worker: subprocess.Popen) -> None:
    worker.stdin.write("\n")
    worker.stdin.flush()


def acknowledged(worker: subprocess.Popen) -> list[tuple[str, str, float]]:
    """(number, digest, seconds) of every publish that returned, read to the end of the process."""
    out, errors = worker.communicate(timeout=600)
    lines = [line.split() for line in out.splitlines()]
    assert worker.returncode == -9 or (worker.returncode == 0 and lines[-1] == ["done"]), errors[-3000:]
    return [(line[1], line[2], float(line[3])) for line in lines if line[0] == "published" and len(line) == 4]
