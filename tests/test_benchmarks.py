"""Benchmarks that are short enough run in the suite, so that they keep working."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_ordinary_data_runs_and_meets_its_goals(tmp_path):
    command = [sys.executable, "benchmarks/ordinary_data.py", "--quick", "--cache", str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("met: ") == 2 and "beyond chance" in done.stdout
    assert len(list(tmp_path.glob("*.npz"))) == 12
