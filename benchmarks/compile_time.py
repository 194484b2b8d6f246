"""Seconds of the first call of each kernel family: after installation (nothing cached), and in every later process.

    python benchmarks/compile_time.py [family ...]

Each measurement is a process of its own with an empty cache of Numba's. Importing is not counted. Python's bytecode is
cached beforehand, as it is after any first use of an installation.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import textwrap

_COMMON = """
import time, numpy as np
rng = np.random.default_rng(0)
X = rng.standard_normal((3000, 4))
"""
_HMM = """
from consilience.kernels import GaussianHMM
model = GaussianHMM(n_components=3, n_init=1, n_iter=5, random_state=0)
model.startprob_, model.transmat_ = np.full(3, 1 / 3), np.full((3, 3), 1 / 3)
model.means_, model.covars_ = rng.standard_normal((3, 4)), np.ones((3, 4))
"""
FAMILIES = {
    "distance table": (
        "from consilience.kernels import lorentzian_distances",
        "lorentzian_distances(X[:100], X[:90])",
    ),
    "nearest neighbours": (
        "from consilience.kernels import LorentzianIndex",
        "LorentzianIndex(X).query(X[:50], 8)",
    ),
    "nearest neighbours, sketch": (
        "from consilience.kernels import LorentzianIndex",
        "LorentzianIndex(X, method='sketch').query(X[:50], 8)",
    ),
    "nearest neighbours, tree": (
        "from consilience.kernels import LorentzianIndex",
        "LorentzianIndex(X, method='tree').query(X[:50], 8)",
    ),
    "HMM, filter": (_HMM, "model.predict_proba(X)"),
    "HMM, smoothing": (_HMM, "model.smooth_proba(X)"),
    "HMM, Viterbi": (_HMM, "model.decode(X)"),
    "HMM, fit": (_HMM, "model.fit(X)"),
    "HMM, streaming step": (_HMM, "model.step(None, X[0])"),
    "forest": (
        "from consilience.boosting import RandomForestRegressor\n"
        "fitted = RandomForestRegressor(n_estimators=5, random_state=0).fit(X, X[:, 0])",
        "fitted.predict(X[:1])",
    ),
}


def first_call(family: str, cache: str, bytecode: str) -> float:
    """Seconds of the first call in a new process."""
    prepare, call = FAMILIES[family]
    program = "\n".join(
        [textwrap.dedent(_COMMON), prepare, "start = time.perf_counter()", call, "print(time.perf_counter() - start)"]
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache, "PYTHONPYCACHEPREFIX": bytecode}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    return float(run.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("families", nargs="*", choices=[*FAMILIES, []], default=[])
    print(f"{'first call of':<28}{'nothing cached':>16}{'limit':>7}{'cached':>10}{'limit':>7}   seconds")
    with tempfile.TemporaryDirectory() as bytecode:
        for family in parser.parse_args().families or FAMILIES:
            with tempfile.TemporaryDirectory() as cache:
                first_call(family, cache, bytecode)
            with tempfile.TemporaryDirectory() as cache:
                fresh = first_call(family, cache, bytecode)
                later = statistics.median(first_call(family, cache, bytecode) for _ in range(3))
            print(f"{family:<28}{fresh:>16.2f}{3:>7}{later:>10.2f}{0.3:>7}", flush=True)


if __name__ == "__main__":
    main()
