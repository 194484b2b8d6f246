import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from consilience.base import InvalidInput, time_axis
from consilience.evaluation.trading import positions, sharpe_ratio, strategy_returns, trading_metrics
from tests.reference.evaluation_trading import held, measures

returns = arrays(np.float64, st.integers(2, 60), elements=st.sampled_from([-0.03, -0.01, 0.0, 0.001, 0.02, 0.04]))


@settings(deadline=None)
@given(returns, st.sampled_from([0.0, 0.0001]))
def test_measures_agree_with_their_definitions(series, risk_free):
    if np.ptp(series) == 0:  # the definitions divide by a rounding error here; see the degenerate cases below
        return
    found = trading_metrics(series, periods_per_year=250, risk_free=risk_free)
    for name, value in measures(series.tolist(), 250, risk_free).items():
        assert found[name] == pytest.approx(value, rel=1e-9, abs=1e-12), name


def test_columns_are_measured_one_by_one():
    matrix = np.random.default_rng(0).normal(0, 0.01, (200, 5))
    together = trading_metrics(matrix)
    for column in range(5):
        for name, value in trading_metrics(matrix[:, column]).items():
            assert together[name][column] == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    "series, expected",
    [
        (np.zeros(10), {"sharpe": 0.0, "sortino": 0.0, "calmar": 0.0, "profit_factor": 0.0, "win_rate": 0.0}),
        (np.full(10, 0.01), {"sharpe": np.inf, "sortino": np.inf, "calmar": np.inf, "annual_volatility": 0.0}),
        (np.full(10, -0.1), {"sharpe": -np.inf, "win_rate": 0.0, "profit_factor": 0.0, "max_drawdown_length": 10.0}),
        (np.r_[0.01, np.zeros(9)], {"win_rate": 1.0, "profit_factor": np.inf, "max_drawdown": 0.0}),
        (np.array([0.1, -1.0, 0.5]), {"annual_return": -1.0, "max_drawdown": -1.0}),
        (np.array([0.1, -1.5, 0.5]), {"annual_return": -1.0, "max_drawdown": -1.0}),
    ],
    ids=["constant zero", "constant gain", "all losses", "one trade", "ruin", "more than ruin"],
)
def test_degenerate_returns_give_defined_values(series, expected):
    found = trading_metrics(series)
    assert not any(np.isnan(value) for value in found.values())
    for name, value in expected.items():
        assert found[name] == value, name


@pytest.mark.parametrize("bad", [[], [0.1], [0.1, np.nan], [0.1, np.inf]])
def test_returns_that_cannot_be_measured_are_refused(bad):
    with pytest.raises(InvalidInput):
        sharpe_ratio(np.array(bad))


def test_positions_follow_the_expected_direction():
    three = np.array([[0.2, 0.5, 0.3], [0.5, 0.4, 0.1]])
    np.testing.assert_allclose(positions(three), [1.0, -1.0])
    np.testing.assert_allclose(positions(three, sizing="linear"), [0.1, -0.4])
    np.testing.assert_allclose(positions(three, threshold=0.2), [0.0, -1.0])
    np.testing.assert_allclose(positions(three, long_only=True), [1.0, 0.0])
    np.testing.assert_allclose(positions(np.array([0.3, -2.0]), sizing="linear"), [0.3, -1.0])
    with pytest.raises(InvalidInput, match="sizing"):
        positions(three, sizing="kelly")


@pytest.mark.parametrize("horizon", [1, 3])
def test_costs_are_charged_on_what_is_traded_and_a_panel_is_the_mean_over_assets(horizon):
    rng = np.random.default_rng(1)
    days = pd.bdate_range("2020-01-01", periods=12)
    index = pd.MultiIndex.from_product([["a", "b"], days])
    axis = time_axis(pd.DataFrame({"f": np.zeros(24)}, index=index))
    position, forward = rng.choice([-1.0, 0.0, 1.0], 24), rng.normal(0, 0.01, 24)
    run = strategy_returns(axis, np.arange(24), position, forward, costs=0.001, slippage=0.0005, horizon=horizon)
    alone = [held(position[own], forward[own], 0.0015, horizon) for own in (slice(0, 12), slice(12, 24))]
    np.testing.assert_allclose(run.returns, np.mean(alone, axis=0))
    np.testing.assert_allclose(run.exposure, np.abs(position.reshape(2, 12)).mean(axis=0))
    np.testing.assert_array_equal(run.times, days.to_numpy().astype("datetime64[ns]"))
    np.testing.assert_allclose(run.equity, np.cumprod(1 + run.returns / horizon))


def test_periods_per_year_are_counted_from_the_times():
    days = pd.bdate_range("2020-01-01", periods=1000)
    axis = time_axis(pd.DataFrame({"f": np.zeros(1000)}, index=days))
    run = strategy_returns(axis, np.arange(1000), np.ones(1000), np.zeros(1000), horizon=5)
    assert run.periods_per_year == pytest.approx(261 / 5, rel=0.01)
    with pytest.raises(InvalidInput, match="finite"):
        strategy_returns(axis, np.arange(3), np.ones(3), np.array([0.0, np.nan, 0.0]))
