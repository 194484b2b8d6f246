"""Cold load of a version with full verification, and publishing, in a warm process.

    python benchmarks/registry.py [FOLDER]

Parity first: what is loaded is what was published. Then each load goes through a registry that was opened anew, so
nothing is remembered but imported code; joblib's load of the same model, which verifies nothing and runs whatever the
file holds, stands beside it. Repetitions are interleaved; the table gives the median and the 99th percentile.

With FOLDER the fitted models are kept there, and a second run measures at once.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from consilience.base import State
from consilience.boosting import RandomForestClassifier
from consilience.ensemble import StackingClassifier
from consilience.registry import Registry
from consilience.training import Config
from consilience.training.members import build_members
from consilience.training.problem import build_problem, build_splitter, load_bars

REPETITIONS = 200


def models() -> dict[str, Any]:
    """An array, a forest on 2,000 rows of 20 features, and the stack of the demo, fitted on all of the demo's rows.

    The networks get one epoch and the folds are two: neither changes what is stored or how much.
    """
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2000, 20))
    y = (X[:, 0] + rng.standard_normal(2000) > 0).astype(int)
    return {
        "arrays": State("LogisticClassifier", {}, {"w": rng.standard_normal(125_000)}),
        "forest": RandomForestClassifier(n_estimators=120, max_depth=8, n_jobs=1).fit(X, y),
        "stack": demo_stack(),
    }


def demo_stack() -> StackingClassifier:
    """Eight members and the meta-learner of configs/demo.yaml."""
    less = ["folds.splits=2", "members.lstm.params.epochs=1", "members.transformer.params.epochs=1"]
    config = Config.load("configs/demo.yaml", less)
    problem = build_problem(config, load_bars(config)[0])
    stack = StackingClassifier(build_members(config), build_splitter(config))
    return stack.fit(problem.X, problem.y, label_end=problem.label_end)


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(sys.argv[1] if len(sys.argv) > 1 else scratch)
        if not (root / "registry").exists():
            publish(root)
        timed: dict[str, Callable[[], Any]] = {}
        with Registry(root / "registry") as registry, Registry(Path(scratch) / "new") as empty:
            for name in registry.names():
                only_state = name == "arrays"
                timed[f"{name}: registry"] = lambda name=name, only_state=only_state: cold(root, name, only_state)
                timed[f"{name}: joblib, unverified"] = lambda name=name: joblib.load(root / f"{name}.joblib")
            sizes = {name: registry.show(name).bytes for name in registry.names()}
            seeds = iter(range(10**6))
            timed["publish 1 MB"] = lambda: empty.publish("p", State("Large", {}, {"w": fresh(next(seeds))}))
            report(measure(timed), sizes)


def publish(root: Path) -> None:
    """Fit and store everything, and see that it comes back."""
    root.mkdir(parents=True, exist_ok=True)
    with Registry(root / "registry") as registry:
        for name, model in models().items():
            version = registry.publish(name, model)
            assert registry.state(name).digest() == version.digest, "parity"
            joblib.dump(model, root / f"{name}.joblib")


def cold(root: Path, name: str, only_state: bool) -> Any:
    """Open, look up, verify, restore, rebuild."""
    with Registry(root / "registry") as registry:
        return registry.state(name) if only_state else registry.load(name)


def fresh(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(125_000)


def measure(timed: dict[str, Callable[[], Any]]) -> dict[str, np.ndarray]:
    """Milliseconds of every repetition, one of each in turn."""
    times: dict[str, list[float]] = {name: [] for name in timed}
    for repetition in range(REPETITIONS + 3):
        for name, run in timed.items():
            begin = time.perf_counter()
            run()
            if repetition >= 3:
                times[name].append(1e3 * (time.perf_counter() - begin))
    return {name: np.array(values) for name, values in times.items()}


def report(times: dict[str, np.ndarray], sizes: dict[str, int]) -> None:
    print(f"{'':44}{'median ms':>10}{'p99 ms':>10}")
    for name, values in times.items():
        print(f"{name:44}{np.median(values):10.2f}{np.quantile(values, 0.99):10.2f}")
    print("sizes: " + ", ".join(f"{name} {size / 1e6:.2f} MB" for name, size in sizes.items()))


if __name__ == "__main__":
    main()
