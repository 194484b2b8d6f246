"""Statistics, gates and the leaderboard on degenerate numbers: a sensible answer, or an error that names the argument.

What may be infinite or missing is listed in ``DOCUMENTED``; everything else must be finite, without any warning.
"""

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st

from consilience.base import InvalidInput, time_axis
from consilience.evaluation.bootstrap import Interval, bootstrap_interval, optimal_block_length
from consilience.evaluation.classification import calibration_curve, calibration_noise, classification_metrics
from consilience.evaluation.drift import feature_drift
from consilience.evaluation.evidence import gather_evidence
from consilience.evaluation.gates import GATES, gates_from_spec, judge
from consilience.evaluation.holdout import deliver
from consilience.evaluation.leaderboard import leaderboard
from consilience.evaluation.ledger import Ledger
from consilience.evaluation.overfitting import probability_of_backtest_overfitting
from consilience.evaluation.regression import regression_metrics
from consilience.evaluation.resampled_trading import resampled_trading
from consilience.evaluation.robustness import assess_robustness
from consilience.evaluation.sharpe import deflated_sharpe_ratio, probabilistic_sharpe_ratio
from consilience.evaluation.significance import diebold_mariano, false_discovery, mcnemar
from consilience.evaluation.superiority import superior_predictive_ability
from consilience.evaluation.trading import sharpe_ratio, strategy_returns, trading_metrics
from tests.support.campaign import holds_for
from tests.support.degenerate import SERIES, series

# Ratios whose denominator is 0; a probability about returns that do not vary; features that are on one side only.
DOCUMENTED = {"sharpe", "sortino", "calmar", "profit_factor", "statistic", "chosen_in", "chosen_out", "ic_ratio"}
DOCUMENTED |= {"mape", "psi", "probability"}


def beside(values):
    return np.resize(0.01 * np.random.default_rng(9).standard_normal(120), len(values))


def path(values):
    axis = time_axis(np.zeros((len(values), 1)))
    rows = np.arange(len(values))
    traded = strategy_returns(axis, rows, np.sign(beside(values)), values, costs=0.001, horizon=2)
    return {"equity": traded.equity, **trading_metrics(traded.returns)}


def two_halves(values):
    middle = len(values) // 2
    return feature_drift(values[: middle + 1, None], values[middle:, None]).table


STATISTICS = {
    "block length": lambda v: {"length": optimal_block_length(v)},
    "interval of the mean": lambda v: bootstrap_interval(np.mean, v, n_samples=40),
    "probabilistic Sharpe": lambda v: {"probability": probabilistic_sharpe_ratio(v)},
    "Sharpe": lambda v: {"sharpe": sharpe_ratio(v)},
    "Diebold-Mariano": lambda v: diebold_mariano(v, beside(v)),
    "Diebold-Mariano, five steps": lambda v: diebold_mariano(v, beside(v), horizon=5),
    "Diebold-Mariano, against itself": lambda v: diebold_mariano(v, v),
    "Diebold-Mariano, against zero": lambda v: diebold_mariano(v, np.zeros_like(v)),
    "McNemar": lambda v: mcnemar(v > 0.0, beside(v) > 0.0),
    "superiority": lambda v: superior_predictive_ability(v, np.stack([beside(v), v], axis=1), n_samples=40),
    "superiority over itself": lambda v: superior_predictive_ability(v, np.stack([v, v], axis=1), n_samples=40),
    "overfitting": lambda v: probability_of_backtest_overfitting(np.stack([v, beside(v), v[::-1]], axis=1), 4),
    "overfitting by mean": lambda v: probability_of_backtest_overfitting(
        np.stack([v, beside(v)], axis=1), 4, measure="mean"
    ),
    "overfitting of copies": lambda v: probability_of_backtest_overfitting(np.stack([v, v], axis=1), 4),
    "drift": lambda v: feature_drift(v[:, None], beside(v)[:, None]).table,
    "drift between halves": two_halves,
    "regression": lambda v: regression_metrics(v, beside(v)),
    "regression, values": lambda v: regression_metrics(beside(v), v),
    "regression of itself": lambda v: regression_metrics(v, v),
    "regression, panel": lambda v: regression_metrics(v, beside(v), np.arange(len(v)) // 3),
    "trading": lambda v: trading_metrics(v, turnover=np.abs(v), exposure=np.abs(v)),
    "trading, resampled": lambda v: resampled_trading(v, np.stack([np.arange(len(v))] * 3), periods_per_year=252.0),
    "path": path,
}


def numbers(found):
    """(name, array) of everything numeric in a result."""
    if isinstance(found, pd.DataFrame):
        found = {name: found[name].to_numpy() for name in found}
    elif dataclasses.is_dataclass(found):
        found = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    for name, value in found.items():
        array = np.asarray(value)
        if array.dtype.kind == "f":
            yield name, array


def check(found):
    for name, array in numbers(found):
        assert name in DOCUMENTED or np.isfinite(array).all(), (name, array)
        if name.startswith("p_") or name in ("probability", "probability_of_loss", "adjusted"):
            known = array[~np.isnan(array)]
            assert (known >= 0.0).all() and (known <= 1.0).all(), (name, array)
    if isinstance(found, Interval):
        assert found.lower <= found.estimate * (1 + 1e-9) or found.lower <= found.upper
        assert found.lower <= found.upper


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", SERIES)
@pytest.mark.parametrize("statistic", STATISTICS)
def test_statistics_of_degenerate_series(statistic, name):
    values = series(name)
    try:
        found = STATISTICS[statistic](values)
    except InvalidInput as refused:
        assert len(values) < 32 or "negative; too few returns" in str(refused), refused
        return
    check(found)


@st.composite
def any_series(draw):
    """Stretches of very different sizes, with constants between."""
    n = draw(st.sampled_from([8, 20, 64, 120]))
    size = st.sampled_from([0.0, 1e-300, 1e-12, 0.01, 1.0, 1e12, 1e250])
    rng = np.random.default_rng(draw(st.integers(0, 2**20)))
    parts = draw(st.lists(st.tuples(size, st.booleans()), min_size=1, max_size=3))
    each = n // len(parts)
    return np.concatenate([scale * (rng.standard_normal(each) if noisy else np.ones(each)) for scale, noisy in parts])


@pytest.mark.filterwarnings("error")
@holds_for(st.sampled_from(sorted(STATISTICS)), any_series())
def test_statistics_of_any_series(statistic, values):
    try:
        found = STATISTICS[statistic](values)
    except InvalidInput:
        return
    check(found)


@pytest.mark.parametrize("scale", [2.0**-900, 2.0**900])
def test_scale_free_statistics_do_not_depend_on_the_scale(scale):
    values = beside(np.zeros(120)) + 0.001
    for statistic in ("block length", "probabilistic Sharpe", "Diebold-Mariano, against zero", "overfitting of copies"):
        ordinary, other = (dict(numbers(STATISTICS[statistic](each))) for each in (values, values * scale))
        for name in set(ordinary) - {"difference"}:
            np.testing.assert_array_equal(ordinary[name], other[name], err_msg=f"{statistic}: {name}")


def test_wealth_that_is_lost_stays_lost():
    found = trading_metrics(np.array([0.1, -3.0, -3.0, 0.2]))
    assert found["max_drawdown"] == -1.0 and found["annual_return"] == -1.0


def test_returns_that_do_not_vary_prove_no_skill(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for trial in range(3):
        ledger.record(data_id="x", kind="train", config={"trial": trial}, scores={}, sharpe=0.01 * trial)
    found = deflated_sharpe_ratio(np.full(100, 0.001), ledger, "x")
    assert np.isnan(found.probability) and np.isinf(found.sharpe)


PROBABILITIES = {
    "half": lambda y, rng: np.full(len(y), 0.5),
    "right": lambda y, rng: y.astype(float),
    "wrong": lambda y, rng: 1.0 - y,
    "zero": lambda y, rng: np.zeros(len(y)),
    "noise": lambda y, rng: rng.random(len(y)),
    "two values": lambda y, rng: rng.choice([0.0, 1.0], len(y)),
    "residue": lambda y, rng: 0.5 + 1e-16 * rng.standard_normal(len(y)),
}
LABELS = {
    "drawn": lambda n, rng: rng.integers(0, 2, n),
    "all equal": lambda n, rng: np.zeros(n, int),
    "all but one": lambda n, rng: (np.arange(n) == n // 2).astype(int),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("n", [1, 2, 3, 20, 120])
@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("kind", PROBABILITIES)
def test_metrics_of_degenerate_probabilities(kind, labels, n):
    rng = np.random.default_rng(0)
    y = LABELS[labels](n, rng)
    up = PROBABILITIES[kind](y, rng)
    found = classification_metrics(y, np.stack([1.0 - up, up], axis=1), np.array([0, 1]))
    assert all(np.isfinite(value) for value in found.values()), found
    assert ("auc" in found) == (len(np.unique(y)) == 2)
    curve = calibration_curve(y == 1, up)
    assert curve["count"].sum() == n and np.isfinite(curve["mean"]).all()
    assert 0.0 <= calibration_noise(up) <= 1.0


MARKETS = ("zeros", "constant", "zero but for one", "one huge outlier", "one loss of more than everything", "subnormal")
MARKETS += ("two values", "trend", "20 values", "60 values")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize("labels", LABELS)
def test_from_leaderboard_to_gates(market, labels, tmp_path):
    """All entries of all kinds at once, judged one after the other by every gate."""
    forward, rng = series(market), np.random.default_rng(1)
    y = LABELS[labels](len(forward), rng)
    times = pd.date_range("2000-01-01", periods=len(forward), freq="D") + pd.to_timedelta(
        (np.arange(len(forward)) // 40) * 1500, unit="D"
    )
    X = pd.DataFrame({"f": forward, "constant": 1.0}, index=times)
    entries = {name: make(y, rng) for name, make in PROBABILITIES.items()}
    board = leaderboard(entries, y, forward, X=X, classes=[0, 1], n_samples=40)
    for row in board:
        for name, interval in row.intervals.items():
            assert interval.lower <= interval.upper, (row.name, name, interval)
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for row in board:
        ledger.record(data_id="x", kind="train", config={"entry": row.name}, scores={}, sharpe=row.metrics["sharpe"])
    for name in PROBABILITIES:
        robust = assess_robustness(board, name, X, y, classes=[0, 1], n_samples=40)
        evidence = gather_evidence(board, name, ledger=ledger, data_id="x", latency_ms=1.0, **robust.facts)
        for verdict in judge(gates_from_spec(GATES), evidence):
            assert verdict.status in ("pass", "fail", "inconclusive") and verdict.reason
            assert all(np.isfinite(value) for value in verdict.numbers.values())
    names = sorted(set(board[0].intervals) & {"log_loss", "auc", "sharpe"})
    for one, other in itertools.combinations(board[:4], 2):
        claims = {name: (one.intervals[name], other.intervals[name]) for name in names if name in other.intervals}
        for item in deliver(claims):
            assert item.sentence


def test_false_discovery_takes_probabilities_only():
    with pytest.raises(InvalidInput, match="p_values"):
        false_discovery([0.1, np.nan])
