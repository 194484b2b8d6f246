import numpy as np
import pandas as pd
import pytest

from consilience.base import InvalidInput
from consilience.evaluation.stress import alternative_histories, missing_features, stress_strategy, worst_windows
from consilience.evaluation.trading import StrategyReturns, trading_metrics


def run(returns, exposure=None):
    times = pd.bdate_range("2019-01-01", periods=len(returns)).to_numpy().astype("datetime64[ns]")
    ones = np.ones(len(returns))
    return StrategyReturns(times, returns, 0 * ones, ones if exposure is None else exposure, 1, 252.0)


def test_crises_are_the_windows_in_which_the_market_lost_most():
    returns = np.full(300, 0.001)
    returns[100:120], returns[200:210] = -0.01, -0.01
    assert worst_windows(returns, 20, 3) == [100, 190]
    assert worst_windows(np.full(50, 0.01), 20, 3) == [] and worst_windows(returns[:5], 20, 3) == []
    with pytest.raises(InvalidInput):
        worst_windows(returns, 1, 3)


def test_every_scenario_is_measured_and_is_worse_than_what_happened():
    rng = np.random.default_rng(0)
    market = rng.normal(0, 0.01, 600)
    market[300:340] -= 0.02
    strategy = 0.5 * market + rng.normal(0.0005, 0.005, 600)
    exposure = np.where(np.arange(600) == 317, 1.0, 0.5)
    found = stress_strategy(run(strategy, exposure), run(market), n_histories=200)
    names = list(found)
    assert names[0].startswith("crisis from 2020-") and "gap of -10% against the position" in names
    as_it_was = trading_metrics(strategy)
    for name in ("volatility x 2", "gap of -10% against the position", "worst twentieth of alternative histories"):
        assert found[name]["max_drawdown"] < as_it_was["max_drawdown"], name
    assert found["volatility x 2"]["annual_volatility"] == pytest.approx(2 * as_it_was["annual_volatility"])
    assert found["volatility x 2"]["sharpe"] == pytest.approx(as_it_was["sharpe"] / 2)
    assert found["worst twentieth of alternative histories"]["sharpe"] < as_it_was["sharpe"]
    assert found["gap of -10% against the position"]["sharpe"] < as_it_was["sharpe"]
    with pytest.raises(InvalidInput, match="same steps"):
        stress_strategy(run(strategy), run(market[:-1]))


def test_alternative_histories_keep_columns_together_and_dependence():
    returns = np.repeat(np.arange(40.0), 5)[:, None] * [1.0, 2.0]
    histories = alternative_histories(returns, 3, block_length=20)
    assert histories.shape == (3, 200, 2)
    np.testing.assert_array_equal(histories[..., 1], 2 * histories[..., 0])
    assert np.mean(np.diff(histories[0, :, 0]) == 0) > 0.6


def test_losing_the_feature_that_matters_costs_most():
    X = pd.DataFrame(np.random.default_rng(0).standard_normal((200, 3)), columns=list("abc"))
    y = X["b"].to_numpy()
    table = missing_features(
        lambda f: f["b"].to_numpy() + 0.1 * f["a"].to_numpy(), X, lambda p: {"mse": float(np.mean((p - y) ** 2))}
    )
    assert table.index.tolist() == ["none", "a", "b", "c"]
    assert table["mse"].idxmax() == "b" and table.loc["c", "mse"] == table.loc["none", "mse"]
