"""The stack on ordinary data: random walks and planted markets of 400 to 4,000 rows, daily, weekly and hourly.

Every subset of two to four of the eight members at their own defaults is tried, so that no combination is untried.

    python benchmarks/ordinary_data.py                       all of it; members' predictions are made once and kept
    python benchmarks/ordinary_data.py --quick               two small markets, without networks
    python benchmarks/ordinary_data.py --members logistic xgboost lightgbm

Each cell compares the stack's own out-of-fold log loss (walking forward: at every fold it knows earlier folds only)
with the best of its members on the same rows, and with always giving the class frequencies known by then. Goals: not
more than 0.01 nats above the best member, and on random walks not more than 0.005 above the base rate. On 200 rows the
member that is best in hindsight is so by chance in part, so a cell misses only where the excess is above the goal by
four standard errors (paired, over rows); the tables show the plain values. Seeds: three for up to 1,500 rows, two for
4,000, others for each bar length. Folds: three for up to 700 rows, else six; an embargo of five rows.

Predictions are kept in the folder of ``ensemble_predictions`` and do not depend on how members are combined.
"""

import argparse
import itertools
import json
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ensemble_predictions import CACHE

from consilience.data.features import build_features
from consilience.data.labels import build_labels
from consilience.data.planted import Strength, planted_market
from consilience.ensemble.evidence import Evidence, gather
from consilience.ensemble.own_record import said_by_pools
from consilience.evaluation import OutOfFold, PurgedWalkForward, out_of_fold
from consilience.evaluation.label_intervals import label_intervals
from consilience.training.config import MemberConfig
from consilience.training.members import build_member

SIZES = {400: 3, 700: 3, 1_500: 6, 4_000: 6}  # rows, and folds
SEEDS = {400: 3, 700: 3, 1_500: 3, 4_000: 2}
FREQUENCIES = {"daily": "B", "weekly": "W-FRI", "hourly": "h"}
FIRST_SEED = {"daily": 0, "weekly": 1_000, "hourly": 2_000}
CHANCE = 4.0  # standard errors; the tables have some 10,000 cells
MARKETS = {"random walk": Strength(0.0, 0.0, 0.0, 0.0), "planted": Strength()}
MEMBERS = {
    "logistic": "LogisticClassifier",
    "forest": "RandomForestClassifier",
    "xgboost": "XGBoostClassifier",
    "lightgbm": "LightGBMClassifier",
    "lorentzian": "LorentzianClassifier",
    "hmm": "HMMClassifier",
    "lstm": "LSTMClassifier",
    "transformer": "TransformerClassifier",
}
NETWORKS = ("lstm", "transformer")
ABOVE_BEST, ABOVE_BASE = 0.01, 0.005  # nats
WARM_UP = 250


@dataclass(frozen=True)
class Market:
    """Which bars: kind of market, rows, bar length, seed."""

    kind: str
    rows: int
    bars: str
    seed: int

    def problem(self) -> tuple[pd.DataFrame, np.ndarray, pd.Series]:
        """Features, classes, and when each label is known."""
        bars, _ = planted_market(self.seed, n_bars=self.rows + WARM_UP, n_assets=1, strength=MARKETS[self.kind])
        times = pd.date_range("2000-01-03", periods=len(bars), freq=FREQUENCIES[self.bars])
        bars.index = pd.MultiIndex.from_arrays([bars.index.get_level_values(0), times], names=bars.index.names)
        labels, X = build_labels(bars), build_features(bars)
        X = X[labels.known[bars.index.get_indexer(X.index)]]
        return X, labels.y.reindex(X.index).to_numpy().astype(np.int64), labels.label_end.reindex(X.index)

    @property
    def name(self) -> str:
        return f"{self.kind.replace(' ', '_')}-{self.rows}-{self.bars}-{self.seed}"


def record(market: Market, member: str, cache: Path) -> OutOfFold:
    """A member's out-of-fold predictions, made once."""
    path = cache / f"ordinary-{market.name}-{member}.npz"
    if not path.exists():
        X, y, ends = market.problem()
        model = build_member(member, MemberConfig(model=MEMBERS[member]), 0)
        folds = PurgedWalkForward(SIZES[market.rows], embargo=5)
        with warnings.catch_warnings(action="ignore"):
            made = out_of_fold(model, X, y, folds, label_end=ends)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, proba=made.proba.astype(np.float32), fold=made.fold)
    stored = np.load(path)
    fold, nothing = stored["fold"], np.empty(0)
    return OutOfFold(
        name=member,
        proba=stored["proba"].astype(np.float64),
        rows=np.flatnonzero(fold >= 0),
        fold=fold,
        classes=np.array([0, 1]),
        fit_seconds=nothing,
        predict_seconds=nothing,
    )


def losses(table: Evidence) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log losses of the stack (n,), the base rate known by then (n,), and each member (n_members, n), on the rows that
    the stack covers."""
    stack, base, members = [], [], []
    for fold, output in said_by_pools(table).items():
        inside = table.fold == fold
        known = table.known_before(int(table.begin[inside].min()))
        counts = table.prior + np.bincount(table.target[known], minlength=2) + 0.5
        row, codes = np.arange(inside.sum()), table.target[inside]
        stack.append(-np.log(np.clip(output[row, codes], 1e-15, 1.0)))
        base.append(-np.log((counts / counts.sum())[codes]))
        members.append(-np.log(np.clip(table.outputs[:, inside][:, row, codes], 1e-15, 1.0)))
    return np.concatenate(stack), np.concatenate(base), np.concatenate(members, axis=1)


def excess(own: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Mean difference of two series of losses (n,), and its standard error."""
    difference = own - other
    return float(difference.mean()), float(difference.std(ddof=1) / np.sqrt(len(difference)))


def measure(market: Market, names: list[str], cache: Path) -> list[dict[str, Any]]:
    """One line per subset of two to four members."""
    X, y, ends = market.problem()
    records = {name: record(market, name, cache) for name in names}
    whole = gather(records, y, label_intervals(X, ends), None, 2)
    lines = []
    for size in (2, 3, 4):
        for subset in itertools.combinations(names, size):
            stack, base, members = losses(whole.named(subset))
            line = {"market": market.kind, "rows": market.rows, "bars": market.bars, "seed": market.seed}
            line |= {"members": " + ".join(subset), "stack": stack.mean()}
            line["above_best"], line["best_error"] = excess(stack, members[members.mean(axis=1).argmin()])
            line["above_base"], line["base_error"] = excess(stack, base)
            lines.append(line)
    return lines


def report(lines: pd.DataFrame) -> list[str]:
    """Print the tables; the goals that were missed."""
    for kind, part in lines.groupby("market", sort=False):
        table = part.groupby(["rows", "bars"], sort=False).agg(
            subsets=("stack", "size"),
            worst_above_best=("above_best", "max"),
            mean_above_best=("above_best", "mean"),
            worst_above_base=("above_base", "max"),
            mean_above_base=("above_base", "mean"),
            largest_loss=("stack", "max"),
        )
        print(f"\n{kind}: nats above the best member, and above the base rate")
        print(table.to_string(float_format="{:+.4f}".format))
        print(part.nlargest(5, "above_best").to_string(index=False, float_format="{:+.4f}".format))
    walks = lines[lines["market"] == "random walk"]
    goals = {
        f"stack at most {ABOVE_BEST} nats above its best member": (lines, "above_best", "best_error", ABOVE_BEST),
        f"stack at most {ABOVE_BASE} above the base rate on walks": (walks, "above_base", "base_error", ABOVE_BASE),
    }
    missed = []
    for text, (cells, value, error, limit) in goals.items():
        plain = int((cells[value] > limit).sum())
        beyond = int((cells[value] - CHANCE * cells[error] > limit).sum())
        print(f"  {'MISSED' if beyond else 'met'}: {text}: {plain} of {len(cells)} cells above, {beyond} beyond chance")
        missed += [text] if beyond else []
    return missed


def two_boosters(cache: Path) -> None:
    """XGBoost and LightGBM at their defaults on random walks: what broke first."""
    print("\ntwo boosters at their defaults, random walks, daily: the stack's log loss, its worst seed of six")
    for rows in (400, 700, 1_500):
        found = []
        for seed in range(100, 106):
            market = Market("random walk", rows, "daily", seed)
            X, y, ends = market.problem()
            records = {name: record(market, name, cache) for name in ("xgboost", "lightgbm")}
            found.append([part.mean() for part in losses(gather(records, y, label_intervals(X, ends), None, 2))[:2]])
        stack, base = np.array(found).T
        print(f"  {rows:5d} rows: mean {stack.mean():.4f}, worst {stack.max():.4f}; base rate {base.mean():.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two small markets, without networks")
    parser.add_argument("--members", nargs="+", choices=MEMBERS, default=list(MEMBERS))
    parser.add_argument("--sizes", nargs="+", type=int, choices=SIZES, default=list(SIZES))
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--json", type=Path, help="write every line there")
    args = parser.parse_args()
    names = [name for name in args.members if not (args.quick and name in NETWORKS)]
    sizes, frequencies = ([400], ["daily"]) if args.quick else (args.sizes, list(FREQUENCIES))
    lines: list[dict[str, Any]] = []
    for rows, bars, kind in itertools.product(sizes, frequencies, MARKETS):
        for seed in range(FIRST_SEED[bars], FIRST_SEED[bars] + (1 if args.quick else SEEDS[rows])):
            lines += measure(Market(kind, rows, bars, seed), names, args.cache)
            print(f"{kind}, {rows} rows, {bars}, seed {seed}", file=sys.stderr, flush=True)
    missed = report(pd.DataFrame(lines))
    if not args.quick:
        two_boosters(args.cache)
    if args.json:
        args.json.write_text(json.dumps(lines))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
