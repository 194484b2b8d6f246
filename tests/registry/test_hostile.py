"""Artifacts made by somebody who knows the format, with a right manifest: refused or harmless, and quickly so."""

import collections
import subprocess
import sys
from pathlib import Path

import pytest

from consilience.registry import artifact
from tests.reference import zoo
from tests.registry.processes import ROOT, environment

LIGHT = tuple(kind for kind in zoo.SINGLE if not kind.startswith(("LSTM", "CNN", "Transformer")))


def campaign(folder: Path, kinds: tuple[str, ...], cases: int, per_process: int = 2500) -> collections.Counter:
    for kind in kinds:
        (folder / kind).mkdir()
        artifact.write(artifact.split(zoo.fitted(kind).get_state())[-1], folder / kind)
    outcomes: collections.Counter = collections.Counter()
    for first in range(0, cases, per_process):
        command = [
            sys.executable,
            "tests/registry/hostile_worker.py",
            folder,
            first,
            min(per_process, cases - first),
            *kinds,
        ]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=ROOT, env=environment())
        lines = [line.split() for line in done.stdout.splitlines()]
        assert done.returncode == 0 and lines[-1] == ["finished"], (lines[-1:], done.stderr[-2000:])
        wrong = [line for line in lines[:-1] if line[2].startswith("ERROR") or float(line[3]) > 2.0]
        assert not wrong, f"{len(wrong)} of {len(lines)}: {wrong[:20]}"
        outcomes.update(line[2] for line in lines[:-1])
    return outcomes


def test_hostile_artifacts_are_refused_or_harmless(tmp_path):
    outcomes = campaign(tmp_path, LIGHT[::3], 120)
    assert outcomes["refused"] > 60
    print(outcomes)


@pytest.mark.slow
def test_twenty_thousand_hostile_artifacts(tmp_path):
    print(campaign(tmp_path, LIGHT, 20_000))


@pytest.mark.slow
def test_hostile_networks_and_ensembles(tmp_path):
    print(campaign(tmp_path, tuple(kind for kind in zoo.CATALOG if kind not in LIGHT), 500))
