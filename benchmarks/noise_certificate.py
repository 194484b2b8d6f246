"""Does the pipeline find an edge where there is none, and one that is there?  python benchmarks/noise_certificate.py

20 seeds of random walks with overlapping labels, judged by the default gates under purged walk-forward folds and, for
comparison, under shuffled folds; 20 seeds with a planted edge; and a planted leak for the audit.
"""

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold

from consilience.boosting import LogisticClassifier, RandomForestClassifier
from consilience.evaluation import Ledger, PurgedWalkForward, audit_pipeline, leaderboard, out_of_fold
from consilience.evaluation.evidence import gather_evidence
from consilience.evaluation.gates import gates_from_spec, judge

GATES = ["minimum_metric", "better_than_baseline", "deflated_sharpe", "backtest_overfitting", "calibration"]
EDGE = 0.25  # of the daily volatility, per standard deviation of the signal
WINDOWS = (1, 2, 5, 10, 20, 60)


@dataclass(frozen=True)
class Market:
    """Features, labels, when they are known, and forward returns of one simulated series."""

    X: pd.DataFrame
    y: np.ndarray
    label_end: pd.Series
    forward: np.ndarray
    horizon: int


class Shuffled:
    """What many back-tests do: random folds that know nothing of time."""

    def split(self, X, y=None, groups=None, *, label_end=None):
        return KFold(5, shuffle=True, random_state=0).split(X)


def features(prices: pd.DataFrame) -> pd.DataFrame:
    """Momentum, volatility and distance from the mean, all of the past; plus the visible signal where there is one."""
    log = np.log(prices["close"])
    columns = {f"return_{n}": log.diff(n) for n in WINDOWS}
    columns["volatility"] = log.diff().rolling(20).std()
    columns["distance"] = log - log.rolling(50).mean()
    if "signal" in prices:
        columns["signal"] = prices["signal"]
    return pd.DataFrame(columns)


def leaking_features(prices: pd.DataFrame) -> pd.DataFrame:
    """The same with one column that a careless centred window lets look ahead."""
    return features(prices).assign(smoothed=prices["close"].rolling(5, center=True).mean())


def simulate(seed: int, edge: float, n: int = 2500) -> pd.DataFrame:
    """Daily closes of a random walk with fat tails; with an edge, a visible AR(1) signal moves the next return."""
    rng = np.random.default_rng(seed)
    noise, shocks = rng.standard_t(5, n) * 0.008, rng.standard_normal(n)
    signal = np.zeros(n)
    for i in range(1, n):
        signal[i] = 0.9 * signal[i - 1] + np.sqrt(1 - 0.81) * shocks[i]
    returns = noise + edge * 0.01 * np.concatenate([[0.0], signal[:-1]])
    frame = pd.DataFrame({"close": 100 * np.exp(np.cumsum(returns))}, index=pd.bdate_range("2005-01-03", periods=n))
    return frame.assign(signal=signal) if edge else frame


def market(prices: pd.DataFrame, horizon: int) -> Market:
    """Direction labels over ``horizon`` bars; neighbouring labels share all but one of their bars."""
    X = features(prices)
    forward = prices["close"].shift(-horizon) / prices["close"] - 1.0
    end = pd.Series(prices.index, index=prices.index).shift(-horizon)
    known = X.notna().all(axis=1) & forward.notna()
    return Market(X[known], (forward[known] > 0).to_numpy().astype(int), end[known], forward[known].to_numpy(), horizon)


def run(data: Market, splitter, folder: Path) -> tuple[float, float, bool, list[str]]:
    """AUC and Sharpe ratio of the vote, whether every gate passed, and the gates that did not."""
    members = {"logistic": LogisticClassifier(), "forest": RandomForestClassifier(n_estimators=60, random_state=0)}
    entries = {
        name: out_of_fold(model, data.X, data.y, splitter, label_end=data.label_end) for name, model in members.items()
    }
    entries["vote"] = np.mean([entry.proba for entry in entries.values()], axis=0)
    board = leaderboard(entries, data.y, data.forward, X=data.X, horizon=data.horizon, costs=0.0005)
    ledger = Ledger(folder / "ledger.jsonl")
    for row in board[:3]:
        sharpe = row.metrics["sharpe"] / np.sqrt(row.strategy.periods_per_year)
        ledger.record(data_id="certificate", kind="train", config={"entry": row.name}, sharpe=sharpe)
    evidence = gather_evidence(board, "vote", ledger=ledger, data_id="certificate")
    verdicts = judge(gates_from_spec(GATES), evidence)
    stopped = [verdict.gate for verdict in verdicts if not verdict.passed]
    return board[2].metrics["auc"], board[2].metrics["sharpe"], not stopped, stopped


def campaign(name: str, seeds: range, edge: float, horizon: int, splitter) -> dict:
    """One line of the table."""
    began, aucs, sharpes, passed, reasons = time.perf_counter(), [], [], 0, {}
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            auc, sharpe, good, stopped = run(market(simulate(seed, edge), horizon), splitter, Path(folder))
        aucs.append(auc)
        sharpes.append(sharpe)
        passed += good
        for gate in stopped:
            reasons[gate] = reasons.get(gate, 0) + 1
    return {
        "data and folds": name,
        "mean AUC": f"{np.mean(aucs):.3f}",
        "range": f"{min(aucs):.2f}-{max(aucs):.2f}",
        "mean Sharpe": f"{np.mean(sharpes):.2f}",
        "gates passed": f"{passed} of {len(seeds)}",
        "stopped by": ", ".join(f"{gate} {count}" for gate, count in sorted(reasons.items(), key=lambda kv: -kv[1])),
        "seconds": f"{time.perf_counter() - began:.0f}",
    }


def main() -> None:
    """Print the table and the audit's findings."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.seeds)
    walk = PurgedWalkForward(5, embargo=5)
    lines = [
        campaign("random walk, 20-bar labels, purged walk-forward", seeds, 0.0, 20, walk),
        campaign("random walk, 20-bar labels, shuffled folds", seeds, 0.0, 20, Shuffled()),
        campaign("planted edge, 1-bar labels, purged walk-forward", seeds, EDGE, 1, walk),
        campaign("planted edge, 5-bar labels, purged walk-forward", seeds, EDGE, 5, walk),
    ]
    table = pd.DataFrame(lines)
    print(table.to_string(index=False))
    prices = simulate(0, 0.0, 400)
    print("audit of the honest features:", audit_pipeline(features, prices))
    print("audit of the leaking features:", audit_pipeline(leaking_features, prices))


if __name__ == "__main__":
    main()
