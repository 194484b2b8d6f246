"""Artifacts made by somebody who knows the format, with a right manifest: refused or harmless, and quickly so."""

import collections
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from consilience.registry import artifact
from tests.contracts.predictor import market
from tests.reference import zoo
from tests.registry.processes import ROOT, environment

LIGHT = tuple(kind for kind in zoo.SINGLE if not kind.startswith(("LSTM", "CNN", "Transformer")))


def everything() -> dict[str, Any]:
    """A fitted predictor of every class, and ensembles without a network, so that mutants of them predict too."""
    from consilience.ensemble import StackingClassifier, VotingRegressor
    from consilience.evaluation import PurgedWalkForward

    found = {kind: zoo.fitted(kind) for kind in zoo.CATALOG}
    X, y = market(n_rows=160)
    lines = [("line", zoo.new("LogisticClassifier")), ("forest", zoo.new("RandomForestClassifier"))]
    values = [("line", zoo.new("RidgeRegressor")), ("knn", zoo.new("LorentzianRegressor"))]
    found["stack of tables"] = StackingClassifier(lines, PurgedWalkForward(n_splits=3, label_horizon=1)).fit(X, y)
    found["vote of tables"] = VotingRegressor(values).fit(X, X["f0"].to_numpy())
    return {kind.replace(" ", "-"): model for kind, model in found.items()}


def campaign(folder: Path, models: dict[str, Any], cases: int, per_process: int = 2500) -> collections.Counter:
    for kind, model in models.items():
        (folder / kind).mkdir()
        artifact.write(artifact.split(model.get_state())[-1], folder / kind)
    outcomes: collections.Counter = collections.Counter()
    firsts = range(0, cases, per_process)
    with ThreadPoolExecutor(2) as pool:
        for lines in pool.map(lambda first: attack(folder, first, min(per_process, cases - first), models), firsts):
            wrong = [line for line in lines if line[2].startswith("ERROR") or float(line[3]) > 2.0]
            assert not wrong, f"{len(wrong)} of {len(lines)}: {wrong[:20]}"
            outcomes.update(line[2] for line in lines)
    return outcomes


def attack(folder: Path, first: int, count: int, kinds: Iterable[str]) -> list[list[str]]:
    """Run cases in one process; gives (kind, case, outcome, seconds of processor time) of each."""
    command = [sys.executable, "tests/registry/hostile_worker.py", folder, first, count, *kinds]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=ROOT, env=environment())
    lines = [line.split() for line in done.stdout.splitlines()]
    assert done.returncode == 0 and lines[-1] == ["finished"], (lines[-1:], done.stderr[-2000:])
    return lines[:-1]


def test_hostile_artifacts_are_refused_or_harmless(tmp_path):
    outcomes = campaign(tmp_path, {kind: zoo.fitted(kind) for kind in LIGHT[::3]}, 120)
    assert outcomes["refused"] > 60
    print(outcomes)


@pytest.mark.slow
def test_twenty_thousand_hostile_artifacts_of_every_kind(tmp_path):
    print(campaign(tmp_path, everything(), 20_000))
