"""The boosted models and their baselines against the bare libraries: latency, batches, fit time, and the defaults.

    python benchmarks/boosting.py latency | batch | fit | defaults [--seeds 20] | index

Targets: one row in 60 µs (array) and 200 µs (DataFrame); 100,000 rows at least as fast as the library, a fit at most
5 % slower; defaults at least as good in out-of-fold log loss as the libraries' own, on 18 of 20 planted markets and on
the index.
"""

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import xgboost
from sklearn.ensemble import RandomForestClassifier as BareForest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from consilience.boosting import LightGBMClassifier, LogisticClassifier, RandomForestClassifier, XGBoostClassifier
from consilience.evaluation import out_of_fold


def shared(model: object, *left_out: str) -> dict:
    return {name: value for name, value in model.get_params().items() if name not in left_out}


def pairs() -> dict[str, tuple[object, object]]:
    """Ours and the bare library with the same parameters, on one thread each."""
    own = ("class_weight", "early_stopping_rounds", "importance_type", "n_jobs", "monotone_constraints", "device")
    ours = XGBoostClassifier(), LightGBMClassifier(), RandomForestClassifier(n_jobs=1), LogisticClassifier()
    return {
        "XGBoost": (ours[0], xgboost.XGBClassifier(**shared(ours[0], *own), n_jobs=1, tree_method="hist")),
        "LightGBM": (
            ours[1],
            lightgbm.LGBMClassifier(
                **shared(ours[1], *own), n_jobs=1, verbose=-1, deterministic=True, force_row_wise=True
            ),
        ),
        "random forest": (ours[2], BareForest(**shared(ours[2], "importance_type", "class_weight"))),
        "logistic": (ours[3], make_pipeline(StandardScaler(), LogisticRegression(C=0.01))),
    }


def market(n_rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, 20))
    return X, (X[:, 0] * X[:, 1] + rng.standard_normal(n_rows) > 0).astype(int)


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}  # cpu for a machine that others use as well
clock = CLOCKS["wall"]


def interleaved(works: list[Callable], rounds: int, repeats: list[int]) -> np.ndarray:
    """Median seconds of each work; the works take turns, so that a busy machine slows them alike."""
    times = np.empty((rounds, len(works)))
    for turn in range(rounds):
        for column, (work, count) in enumerate(zip(works, repeats)):
            started = clock()
            for _ in range(count):
                work()
            times[turn, column] = (clock() - started) / count
    return np.median(times, axis=0)


def latency() -> None:
    X, y = market(5000)
    frame = pd.DataFrame(
        X, columns=[f"feature_{i}" for i in range(20)], index=pd.bdate_range("2000-01-03", periods=5000)
    )
    for name, (ours, bare) in pairs().items():
        named = type(ours)(**ours.get_params()).fit(frame, y)
        ours.fit(X, y)
        bare.fit(X, y)
        np.testing.assert_allclose(ours.predict_proba(X), bare.predict_proba(X), atol=1e-5)
        row, labelled = X[:1].copy(), frame.iloc[[0]]
        works = [
            lambda: ours.predict_proba(row),  # noqa: B023
            lambda: named.predict_proba(labelled),  # noqa: B023
            lambda: bare.predict_proba(row),  # noqa: B023
        ]
        array, table, library = 1e6 * interleaved(works, 25, [200, 200, 3 if "forest" in name else 50])
        print(f"{name:14s} array {array:6.1f} µs   DataFrame {table:6.1f} µs   library, array {library:9.1f} µs")


def batch(n_rows: int = 100_000) -> None:
    X, y = market(5000)
    many, _ = market(n_rows, 1)
    for name, (ours, bare) in pairs().items():
        ours.fit(X, y)
        bare.fit(X, y)
        if name in ("XGBoost", "LightGBM", "random forest"):
            bare.set_params(n_jobs=-1)  # the library may use both cores, as ours does
        mine, theirs = interleaved([lambda: ours.predict_proba(many), lambda: bare.predict_proba(many)], 5, [1, 1])  # noqa: B023
        print(
            f"{name:14s} {n_rows:,} rows: {mine * 1e3:7.1f} ms   library {theirs * 1e3:7.1f} ms   {theirs / mine:.2f}x"
        )


def fit() -> None:
    for n_rows in (5000, 50_000):
        X, y = market(n_rows)
        for name, (ours, bare) in pairs().items():
            rounds = 11 if n_rows == 5000 else 5
            if name == "random forest" and n_rows > 5000:
                continue
            mine, theirs = interleaved([lambda: ours.fit(X, y), lambda: bare.fit(X, y)], rounds, [1, 1])  # noqa: B023
            print(f"{name:14s} fit {n_rows:6,} rows: {mine:6.3f} s   library {theirs:6.3f} s   {mine / theirs:.3f}")


def defaults(markets: list[tuple[str, int]]) -> None:
    rivals = {
        "XGBoost": (XGBoostClassifier(), xgboost.XGBClassifier(n_jobs=1)),
        "LightGBM": (LightGBMClassifier(), lightgbm.LGBMClassifier(n_jobs=1, verbose=-1)),
        "random forest": (RandomForestClassifier(n_jobs=1), BareForest(n_jobs=1, random_state=0)),
        "logistic": (LogisticClassifier(), make_pipeline(StandardScaler(), LogisticRegression())),
    }
    from benchmarks.ensemble_predictions import FOLDS, problem

    scores: dict[str, list[tuple[float, float, float]]] = {name: [] for name in rivals}
    for kind, seed in markets:
        case = problem(kind, seed)
        X, y, ends = case.X.iloc[case.train], case.y[case.train], case.label_end.iloc[case.train]
        for name, (ours, bare) in rivals.items():
            found = [out_of_fold(model, X, y, FOLDS, label_end=ends) for model in (ours, bare)]
            rows = found[0].rows
            losses = [log_loss(y[rows], table.proba[rows, 1]) for table in found]
            scores[name].append((*losses, log_loss(y[rows], found[0].baseline[rows, 1])))
            print(
                f"{kind} {seed} {name:14s} ours {losses[0]:.4f} library {losses[1]:.4f} base {scores[name][-1][2]:.4f}",
                flush=True,
            )
    for name, rows in scores.items():
        table = np.array(rows)
        wins = int((table[:, 0] <= table[:, 1]).sum())
        ours, library, base = table.mean(axis=0)
        print(
            f"{name:14s} better on {wins} of {len(table)}; mean ours {ours:.4f}, library {library:.4f}, base {base:.4f}"
        )


def log_loss(y: np.ndarray, p: np.ndarray) -> float:
    clipped = np.clip(p, 1e-6, 1 - 1e-6)  # the bare forest says 0 and 1, which alone would cost it everything
    return float(-np.mean(np.where(y == 1, np.log(clipped), np.log(1 - clipped))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["latency", "batch", "fit", "defaults", "index"])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    given = parser.parse_args()
    global clock
    clock = CLOCKS[given.clock]
    sys.path.insert(0, str(Path(__file__).parent.parent))  # for the other benchmark that makes the markets
    warnings.filterwarnings("ignore", message="X does not have valid feature names")
    if given.what == "defaults":
        defaults([("planted", seed) for seed in range(given.seeds)])
    elif given.what == "index":
        defaults([("index", 0)])
    else:
        {"latency": latency, "batch": batch, "fit": fit}[given.what]()


if __name__ == "__main__":
    main()
