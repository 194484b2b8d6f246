"""The array forest against each library's own prediction: one row, and 100,000 rows. Parity first.

    python benchmarks/forest.py [--batch 100000]

Targets: 300 trees, one row, 30 µs at most and 100 times scikit-learn's own; a batch at least as fast as the library's.
"""

import argparse
import copy
import os
import time
from collections.abc import Callable

import lightgbm as lgb
import numpy as np
import xgboost as xgb
from sklearn.ensemble import RandomForestClassifier

from consilience.kernels.forest import Forest
from consilience.kernels.forest_formats import read_lightgbm, read_sklearn, read_xgboost

N_FEATURES = 20
TREES = 300
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}  # cpu for a machine that others use as well
clock = CLOCKS["wall"]


def market(n_rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, N_FEATURES))
    return X, (X[:, 0] * X[:, 1] + rng.standard_normal(n_rows) > 0).astype(int)


def contestants(seed: int) -> dict[str, tuple[Forest, Callable, Callable]]:
    """Name to (forest, the library's fastest prediction of one row, its prediction of many)."""
    X, y = market(5000, seed)
    cores = len(os.sched_getaffinity(0))
    params = {"objective": "binary:logistic", "max_depth": 3, "eta": 0.03, "nthread": 1}
    trees = xgb.train(params, xgb.QuantileDMatrix(X, label=y), TREES)
    wide = trees.copy()
    wide.set_param({"nthread": cores})
    leaves = {"objective": "binary", "num_leaves": 8, "learning_rate": 0.03, "num_threads": 1, "verbose": -1}
    leafwise = lgb.train(leaves, lgb.Dataset(X, y), TREES)
    bagged = RandomForestClassifier(TREES, max_depth=8, min_samples_leaf=0.02, random_state=seed).fit(X, y)
    threaded = copy.copy(bagged).set_params(n_jobs=cores)
    bagged.set_params(n_jobs=1)  # handing one row to threads takes longer than its trees
    return {
        "XGBoost, depth 3": (
            read_xgboost(trees.save_raw("json")).forest,
            lambda rows: trees.inplace_predict(rows, predict_type="margin"),
            lambda rows: wide.inplace_predict(rows, predict_type="margin"),
        ),
        "LightGBM, 8 leaves": (
            read_lightgbm(leafwise.model_to_string()).forest,
            lambda rows: leafwise.predict(rows, raw_score=True, num_threads=1),
            lambda rows: leafwise.predict(rows, raw_score=True, num_threads=cores),
        ),
        "random forest, depth 8": (read_sklearn(bagged.estimators_, 2), bagged.predict_proba, threaded.predict_proba),
    }


def seconds(work: Callable, repeats: int) -> float:
    started = clock()
    for _ in range(repeats):
        work()
    return (clock() - started) / repeats


def against(ours: Callable, theirs: Callable, rounds: int, repeats: tuple[int, int]) -> tuple[float, float]:
    """Medians of interleaved rounds."""
    times = [(seconds(ours, repeats[0]), seconds(theirs, repeats[1])) for _ in range(rounds)]
    return tuple(np.median(np.array(times), axis=0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=100_000)
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    given = parser.parse_args()
    global clock
    clock = CLOCKS[given.clock]
    if given.clock == "cpu":  # threads that wait by spinning would count as work: one core for all
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    X, _ = market(given.batch, 1)
    one = X[:1].copy()
    for name, (forest, single, many) in contestants(0).items():
        np.testing.assert_allclose(forest.raw(X[:2000]).squeeze(), np.squeeze(many(X[:2000])), rtol=0, atol=1e-6)
        np.testing.assert_allclose(forest.raw(one).squeeze(), np.squeeze(single(one)), rtol=0, atol=1e-6)
        forest.raw(one)
        slow = 3 if "forest" in name else 200
        mine, theirs = against(lambda f=forest: f.raw(one), lambda s=single: s(one), 15, (300, slow))
        print(f"{name:24s} one row    {mine * 1e6:9.1f} µs  library {theirs * 1e6:9.1f} µs  {theirs / mine:7.1f}x")
        mine, theirs = against(lambda f=forest: f.raw(X), lambda m=many: m(X), 5, (1, 1))
        print(f"{name:24s} {len(X):,} rows {mine * 1e3:8.1f} ms  library {theirs * 1e3:8.1f} ms  {theirs / mine:7.2f}x")


if __name__ == "__main__":
    main()
