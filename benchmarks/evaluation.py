"""Speed of overfitting and bootstrap on a 10,000 x 100 return matrix, parity first.  python benchmarks/evaluation.py

Peers: the same statistics by plain NumPy, one split or sample at a time, measured on a part and scaled up.
With --coverage: how often 95 % intervals contain the truth on AR(1) returns.
"""

import argparse
import statistics
import time
from itertools import combinations, islice

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from consilience.evaluation.bootstrap import optimal_block_length, percentile_interval, stationary_bootstrap
from consilience.evaluation.folds import CombinatorialPurged
from consilience.evaluation.overfitting import probability_of_backtest_overfitting
from consilience.evaluation.resampled_trading import resampled_trading
from consilience.evaluation.trading import trading_metrics

N_PERIODS, N_STRATEGIES, N_BLOCKS, N_SAMPLES = 10_000, 100, 16, 1000


def plain_logits(returns: np.ndarray, n_splits: int) -> np.ndarray:
    """CSCV by its definition: every statistic from the returns themselves."""
    blocks, found = np.array_split(np.arange(len(returns)), N_BLOCKS), []
    for chosen in islice(combinations(range(N_BLOCKS), N_BLOCKS // 2), n_splits):
        inside = np.concatenate([blocks[i] for i in chosen])
        outside = np.concatenate([blocks[i] for i in range(N_BLOCKS) if i not in chosen])
        sharpe = [returns[rows].mean(axis=0) / returns[rows].std(axis=0, ddof=1) for rows in (inside, outside)]
        rank = rankdata(sharpe[1])[sharpe[0].argmax()] / (returns.shape[1] + 1)
        found.append(np.log(rank / (1 - rank)))
    return np.array(found)


def plain_bootstrap(returns: np.ndarray, samples: np.ndarray) -> dict[str, np.ndarray]:
    """``trading_metrics`` of each resampled matrix in turn."""
    drawn = [trading_metrics(returns[rows]) for rows in samples]
    return {name: np.stack([one[name] for one in drawn]) for name in drawn[0]}


def timed(call, *arguments) -> np.ndarray:
    """Wall-clock seconds, and CPU seconds of all threads (what a busy machine does not distort)."""
    began = np.array([time.perf_counter(), time.process_time()])
    call(*arguments)
    return np.array([time.perf_counter(), time.process_time()]) - began


def speed(repeats: int) -> None:
    """Check parity, then time in turns and print medians."""
    returns = np.random.default_rng(0).normal(2e-4, 0.01, (N_PERIODS, N_STRATEGIES))
    samples = stationary_bootstrap(N_PERIODS, 10.0, N_SAMPLES)
    np.testing.assert_allclose(
        probability_of_backtest_overfitting(returns, N_BLOCKS).logits[:50], plain_logits(returns, 50)
    )
    plain, ours = plain_bootstrap(returns, samples[:3]), resampled_trading(returns, samples[:3])
    for name in ours:
        np.testing.assert_allclose(ours[name], plain[name], rtol=1e-9, atol=1e-12, err_msg=name)
    lines: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for _ in range(repeats):
        pbo = timed(probability_of_backtest_overfitting, returns, N_BLOCKS)
        pbo_plain = timed(plain_logits, returns, 20) * 12_870 / 20
        draw = timed(stationary_bootstrap, N_PERIODS, 10.0, N_SAMPLES)
        boot = timed(resampled_trading, returns, samples)
        boot_plain = timed(plain_bootstrap, returns, samples[:3]) * N_SAMPLES / 3
        for name, value in (
            ("overfitting, 12,870 splits", (pbo, pbo_plain)),
            ("1,000 bootstraps of 9 measures", (draw + boot, boot_plain)),
            ("both", (pbo + draw + boot, pbo_plain + boot_plain)),
        ):
            lines.setdefault(name, []).append(value)
    table = pd.DataFrame(
        {
            name: {
                "seconds": statistics.median(ours[0] for ours, _ in pairs),
                "CPU seconds": statistics.median(ours[1] for ours, _ in pairs),
                "plain NumPy (scaled up)": statistics.median(plain[0] for _, plain in pairs),
                "ratio": statistics.median(plain[0] / ours[0] for ours, plain in pairs),
            }
            for name, pairs in lines.items()
        }
    ).T
    print(table.round(2).to_string())
    X = pd.DataFrame(np.zeros((100_000, 1)), index=pd.date_range("2000-01-01", periods=100_000, freq="h"))
    end = pd.Series(X.index + pd.Timedelta("20h"), index=X.index)
    seconds = timed(lambda: list(CombinatorialPurged(10, 2, embargo="1D").split(X, label_end=end)))[0]
    print(f"45 combinatorial purged folds of 100,000 rows: {seconds:.2f} s")


def coverage(n_series: int) -> None:
    """Share of nominal 95 % intervals that contain the true mean, Sharpe ratio and volatility."""
    lines = []
    for n in (500, 1000, 2500):
        for phi in (-0.3, 0.0, 0.3, 0.6):
            rng, hits = np.random.default_rng(11), np.zeros(3)
            for seed in range(n_series):
                shocks = rng.standard_normal(n + 200) * np.sqrt(1 - phi**2)
                series = np.zeros(n + 200)
                for i in range(1, n + 200):
                    series[i] = phi * series[i - 1] + shocks[i]
                returns = 0.0005 + 0.01 * series[200:]
                samples = stationary_bootstrap(n, optimal_block_length(returns), 1000, seed)
                found = resampled_trading(returns, samples)
                truth = 0.0005, 0.05 * np.sqrt(252), 0.01 * np.sqrt(252)
                drawn = returns[samples].mean(axis=1), found["sharpe"], found["annual_volatility"]
                for i, (value, replicates) in enumerate(zip(truth, drawn)):
                    interval = percentile_interval(value, replicates)
                    hits[i] += interval.lower <= value <= interval.upper
            shares = dict(zip(("mean", "Sharpe", "volatility"), hits / n_series))
            lines.append({"periods": n, "autocorrelation": phi} | shares)
    print(pd.DataFrame(lines).to_string(index=False))


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--coverage", type=int, metavar="SERIES", default=0)
    options = parser.parse_args()
    if options.coverage:
        coverage(options.coverage)
    else:
        speed(options.repeats)


if __name__ == "__main__":
    main()
