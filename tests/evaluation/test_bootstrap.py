import numpy as np
import pandas as pd
import pytest
from arch.bootstrap import optimal_block_length as arch_block_length

from consilience.base import InvalidInput
from consilience.evaluation.bootstrap import (
    bootstrap_interval,
    bootstrap_metrics,
    optimal_block_length,
    percentile_interval,
    stationary_bootstrap,
)
from consilience.evaluation.resampled_trading import resampled_trading


def autoregressive(n, phi, rng, mean=0.0005, deviation=0.01):
    """AR(1) returns with that mean and standard deviation."""
    shocks = rng.standard_normal(n + 200) * np.sqrt(1 - phi**2)
    out = np.zeros(n + 200)
    for i in range(1, n + 200):
        out[i] = phi * out[i - 1] + shocks[i]
    return mean + deviation * out[200:]


def test_blocks_continue_with_the_right_frequency_and_start_anywhere():
    samples = stationary_bootstrap(50, 5.0, 4000, random_state=1)
    assert samples.shape == (4000, 50) and samples.min() == 0 and samples.max() == 49
    follows = np.mean((samples[:, 1:] - samples[:, :-1]) % 50 == 1)
    assert follows == pytest.approx(0.8 + 0.2 / 50, abs=0.005)
    assert np.bincount(samples[:, 0], minlength=50).min() > 40
    np.testing.assert_array_equal(samples[:5], stationary_bootstrap(50, 5.0, 4000, random_state=1)[:5])


@pytest.mark.parametrize("phi", [0.0, 0.3, 0.8, -0.5])
@pytest.mark.parametrize("n", [60, 500, 2000])
def test_block_length_is_that_of_arch(phi, n):
    series = autoregressive(n, phi, np.random.default_rng(n))
    expected = float(arch_block_length(series)["stationary"].iloc[0])
    assert optimal_block_length(series) == pytest.approx(max(expected, 1.0), rel=1e-9)


def test_block_length_of_what_has_no_dependence_to_measure():
    assert optimal_block_length(np.ones(100)) == 1.0 and optimal_block_length(np.arange(5.0)) == 1.0
    pair = np.column_stack([np.ones(300), autoregressive(300, 0.8, np.random.default_rng(0))])
    assert optimal_block_length(pair) == optimal_block_length(pair[:, 1])


def coverage(n, phi, n_series, n_samples=400):
    """Share of 95 % intervals that contain the true value, by measure."""
    mean, deviation = 0.0005, 0.01
    truth = {"sharpe": mean / deviation * np.sqrt(252), "annual_volatility": deviation * np.sqrt(252)}
    rng, hits = np.random.default_rng(7), dict.fromkeys(["mean", *truth], 0)
    for seed in range(n_series):
        series = autoregressive(n, phi, rng, mean, deviation)
        samples = stationary_bootstrap(n, optimal_block_length(series), n_samples, seed)
        interval = percentile_interval(series.mean(), series[samples].mean(axis=1))
        hits["mean"] += interval.lower <= mean <= interval.upper
        found = resampled_trading(series, samples)
        for name, value in truth.items():
            interval = percentile_interval(value, found[name])
            hits[name] += interval.lower <= value <= interval.upper
    return {name: count / n_series for name, count in hits.items()}


def test_intervals_cover_the_truth_of_autoregressive_returns():
    for name, share in coverage(750, 0.3, 200, 300).items():
        assert 0.90 <= share <= 0.98, (name, share)


@pytest.mark.slow
@pytest.mark.parametrize("phi", [0.0, 0.3, 0.6, -0.3])
@pytest.mark.parametrize("n", [500, 1000, 2500])
def test_intervals_cover_the_truth_over_a_grid(phi, n):
    for name, share in coverage(n, phi, 1000, 1000).items():
        assert 0.90 <= share <= 0.98, (name, share)


def test_ignoring_dependence_is_seen_to_fail():
    rng, inside = np.random.default_rng(7), 0
    for seed in range(200):
        series = autoregressive(500, 0.6, rng)
        interval = bootstrap_interval(np.mean, series, block_length=1.0, n_samples=200, random_state=seed)
        inside += interval.lower <= 0.0005 <= interval.upper
    assert inside < 0.85 * 200


def test_any_measure_gets_an_interval():
    rng = np.random.default_rng(0)
    y = rng.standard_normal(300)

    def measure(rows):
        return {"corr": float(np.corrcoef(y[rows], -y[rows])[0, 1]), "mean": float(y[rows].mean())}

    found = bootstrap_metrics(measure, 300, block_length=3.0, n_samples=200)
    assert found["corr"].lower == pytest.approx(-1.0) and found["mean"].lower < y.mean() < found["mean"].upper
    steps = pd.factorize(np.arange(300) // 3)[0]
    paired = bootstrap_metrics(measure, 300, steps=steps, block_length=3.0, n_samples=50)
    assert paired["mean"].estimate == found["mean"].estimate


def test_intervals_of_replicates_that_are_infinite_or_missing():
    interval = percentile_interval(1.0, np.array([0.0, 1.0, np.inf, np.inf]))
    assert (interval.lower, interval.upper) == (0.0, np.inf)
    assert percentile_interval(1.0, np.full(3, np.nan)).upper == np.inf


@pytest.mark.parametrize("arguments", [(0, 2.0, 5), (5, 0.5, 5), (5, 2.0, 0), (5, np.nan, 5)])
def test_bad_arguments_are_refused(arguments):
    with pytest.raises(InvalidInput):
        stationary_bootstrap(*arguments)
