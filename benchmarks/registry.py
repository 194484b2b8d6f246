"""Cold load of a version with full verification, and publishing, in a warm process.

    python benchmarks/registry.py

Parity first: what is loaded is what was published. Then each load goes through a registry that was opened anew, so
nothing is remembered but imported code; joblib's load of the same model, which verifies nothing and runs whatever the
file holds, stands beside it. Repetitions are interleaved; the table gives the median and the 99th percentile.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from consilience.base import State
from consilience.boosting import LightGBMClassifier, LogisticClassifier, RandomForestClassifier, XGBoostClassifier
from consilience.ensemble import VotingClassifier
from consilience.kernels import HMMClassifier, LorentzianClassifier
from consilience.registry import Registry

REPETITIONS = 200


def models() -> dict[str, Any]:
    """Fitted on 2,000 rows of 20 features; the vote holds the eight members that the demo trains."""
    from consilience.keras_models import LSTMClassifier, TransformerClassifier

    rng = np.random.default_rng(0)
    X = rng.standard_normal((2000, 20))
    y = (X[:, 0] + rng.standard_normal(2000) > 0).astype(int)
    forest = RandomForestClassifier(n_estimators=120, max_depth=8, n_jobs=1)
    members = [
        *[("logistic", LogisticClassifier()), ("forest", RandomForestClassifier(n_jobs=1))],
        *[("xgboost", XGBoostClassifier()), ("lightgbm", LightGBMClassifier())],
        *[("lorentzian", LorentzianClassifier()), ("hmm", HMMClassifier())],
        *[("lstm", LSTMClassifier(epochs=1)), ("transformer", TransformerClassifier(epochs=1))],
    ]
    return {
        "arrays of 1 MB": State("LogisticClassifier", {}, {"w": rng.standard_normal(125_000)}),
        "forest": forest.fit(X, y),
        "vote of the eight members": VotingClassifier(members).fit(X, y),
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root, found = Path(folder), models()
        timed: dict[str, Callable[[], Any]] = {}
        sizes = {}
        with Registry(root / "registry") as registry:
            for position, (name, model) in enumerate(found.items()):
                ref = f"m{position}"
                sizes[name] = registry.publish(ref, model).bytes
                digest = registry.show(ref).digest
                assert registry.state(ref).digest() == digest, "parity"
                joblib.dump(model, root / f"{ref}.joblib")
                timed[f"{name}: registry"] = lambda ref=ref, model=model: cold(root, ref, isinstance(model, State))
                timed[f"{name}: joblib, unverified"] = lambda ref=ref: joblib.load(root / f"{ref}.joblib")
            seeds = iter(range(10**6))
            timed["publish 1 MB"] = lambda: registry.publish("p", State("Large", {}, {"w": fresh(next(seeds))}))
            report(measure(timed), sizes)


def cold(root: Path, ref: str, only_state: bool) -> Any:
    """Open, look up, verify, restore, rebuild."""
    with Registry(root / "registry") as registry:
        return registry.state(ref) if only_state else registry.load(ref)


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
