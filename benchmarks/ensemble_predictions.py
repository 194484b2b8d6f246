"""Out-of-fold and hold-out predictions of real members on planted, structureless and index markets, kept on disk.

Run alone it fills the cache, so that ``benchmarks/ensemble.py`` measures combinations and not members:

    python benchmarks/ensemble_predictions.py --market planted --seeds 20

Kept in the user's cache folder, or in CONSILIENCE_BENCHMARK_CACHE. A file is named after its data, not after the code
that made it: empty the folder after a change to a member.
"""

import argparse
import os
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from consilience.base import predict_rows
from consilience.data.features import build_features
from consilience.data.labels import build_labels
from consilience.data.planted import Strength, planted_market
from consilience.evaluation import OutOfFold, PurgedWalkForward, out_of_fold
from consilience.evaluation.folds import tail_of
from consilience.evaluation.label_intervals import label_intervals
from consilience.training import Config
from consilience.training.members import build_member

CACHE = Path(os.environ.get("CONSILIENCE_BENCHMARK_CACHE", Path.home() / ".cache" / "consilience" / "ensemble"))
CONFIG = Config.load("planted")
FOLDS = PurgedWalkForward(n_splits=6, embargo="5D")
HOLDOUT = 0.15
FAST = ["logistic", "forest", "xgboost", "lightgbm", "lorentzian", "hmm"]
MARKETS = {
    "planted": Strength(),
    "noise": Strength(0.0, 0.0, 0.0, 0.0),
    "no_regime": Strength(linear=0.0, interaction=0.8, motif=0.8, regime=0.0),
    "switching": Strength(linear=1.2, interaction=0.6, motif=0.0, regime=0.0),  # the gap's effect turns in bear markets
}


def member(name: str) -> Any:
    """A member as the bundled configurations have it; a network's package is imported only when it is asked for."""
    return build_member(name, CONFIG.members[name], CONFIG.seed)


@dataclass(frozen=True)
class Problem:
    """One market, cut into rows to learn from and a purged hold-out at its end."""

    X: pd.DataFrame
    y: np.ndarray
    label_end: pd.Series
    forward_return: np.ndarray
    train: np.ndarray
    holdout: np.ndarray

    def digest(self) -> str:
        """Eight letters that change with the data, so that no prediction outlives the market it was made for."""
        return f"{zlib.crc32(self.X.to_numpy().tobytes()):08x}"


def problem(market: str, seed: int) -> Problem:
    """Features, direction labels and the hold-out of a market; "index" is the daily S&P 500 and NASDAQ of arch."""
    if market == "index":
        from consilience.data.bars import load_demo

        bars = load_demo()
    else:
        bars, _ = planted_market(
            seed, n_bars=CONFIG.data.planted.bars, n_assets=CONFIG.data.planted.assets, strength=MARKETS[market]
        )
    labels = build_labels(bars)
    X = build_features(bars)
    known = labels.known[bars.index.get_indexer(X.index)]
    X = X[known]
    y, end = labels.y.reindex(X.index), labels.label_end.reindex(X.index)
    train, holdout = tail_of(label_intervals(X, end), np.arange(len(X)), HOLDOUT)
    returns = labels.forward_return.reindex(X.index).to_numpy()
    return Problem(X, y.to_numpy().astype(np.int64), end, returns, train, holdout)


def predictions(market: str, seed: int, name: str, case: Problem | None = None) -> tuple[OutOfFold, np.ndarray]:
    """One member's out-of-fold table over the training rows and its hold-out probabilities, made once."""
    case = case or problem(market, seed)
    path = CACHE / f"{market}-{seed}-{case.digest()}-{name}.npz"
    if not path.exists():
        _make(case, member(name), path, name)
    stored = np.load(path)
    table = OutOfFold(
        name=name,
        proba=stored["proba"].astype(np.float64),
        rows=np.flatnonzero(stored["fold"] >= 0),
        fold=stored["fold"],
        classes=np.array([0, 1]),
        fit_seconds=stored["fit_seconds"],
        predict_seconds=stored["predict_seconds"],
    )
    return table, stored["holdout"].astype(np.float64)


def _make(case: Problem, member: Any, path: Path, name: str) -> None:
    X, y = case.X.iloc[case.train], case.y[case.train]
    ends = case.label_end.iloc[case.train]
    table = out_of_fold(member, X, y, FOLDS, label_end=ends)
    options: dict = {}
    rows = np.arange(len(X))
    if getattr(member, "uses_validation", False):
        rows, tail = tail_of(label_intervals(X, ends), rows, 0.15)
        options["validation"] = (X.iloc[tail], y[tail])
    member.fit(X.iloc[rows], y[rows], **options)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npz")
    np.savez(
        partial,
        proba=table.proba.astype(np.float32),
        fold=table.fold,
        fit_seconds=table.fit_seconds,
        predict_seconds=table.predict_seconds,
        holdout=predict_rows(member.predict_proba, case.X, case.holdout, member.lookback).astype(np.float32),
    )
    partial.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--market", default="planted", choices=[*MARKETS, "index"])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="the first seed; those from 5000 on are for design")
    parser.add_argument("--members", nargs="*", default=FAST)
    given = parser.parse_args()
    names = given.members
    for seed in range(given.first, given.first + given.seeds):
        case, started = problem(given.market, seed), time.perf_counter()
        for name in names:
            table, _ = predictions(given.market, seed, name, case)
            check = zlib.crc32(np.nan_to_num(table.proba).tobytes())
            print(f"{given.market} {seed} {name:12s} {table.fit_seconds.sum():7.1f} s  {check:08x}", flush=True)
        print(f"{given.market} {seed} done after {time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
