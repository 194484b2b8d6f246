import numpy as np
import pytest

from consilience.base import InvalidInput
from consilience.evaluation.ledger import Ledger
from consilience.evaluation.sharpe import _psr, deflated_sharpe_ratio, expected_maximum, probabilistic_sharpe_ratio


@pytest.mark.parametrize(
    "n_trials, skew, kurtosis, expected", [(100, -3, 10, 0.9004), (46, -3, 10, 0.9505), (88, 0, 3, 0.9505)]
)
def test_the_worked_example_of_the_deflated_sharpe_paper(n_trials, skew, kurtosis, expected):
    """Bailey & López de Prado (2014), section "A numerical example": annual Sharpe 2.5, five years of daily returns."""
    threshold = expected_maximum(n_trials, 0.5 / 250)
    assert _psr(2.5 / np.sqrt(250), threshold, 1250, skew, kurtosis) == pytest.approx(expected, abs=5e-5)
    if n_trials == 100:
        assert threshold == pytest.approx(0.1132, abs=5e-5)


def test_expected_maximum_is_that_of_simulated_trials():
    rng = np.random.default_rng(0)
    for n_trials in (5, 50):
        simulated = (0.3 * rng.standard_normal((20_000, n_trials))).max(axis=1).mean()
        assert expected_maximum(n_trials, 0.09) == pytest.approx(simulated, rel=0.03)
    assert expected_maximum(1, 0.09) == 0.0


def test_more_trials_in_the_ledger_deflate_more(tmp_path):
    rng = np.random.default_rng(0)
    returns = rng.normal(0.001, 0.01, 1000)
    ledger = Ledger(tmp_path / "ledger.jsonl")
    with pytest.raises(InvalidInput, match="no trial"):
        deflated_sharpe_ratio(returns, ledger, "a")
    found = []
    for number in range(30):
        ledger.record(data_id="a", kind="tune", config={"n": number}, sharpe=float(rng.normal(0, 0.03)))
        found.append(deflated_sharpe_ratio(returns, ledger, "a"))
    assert found[0].probability == probabilistic_sharpe_ratio(returns)
    assert found[-1].n_trials == 30 and found[-1].probability < found[5].probability < found[0].probability
    ledger.record(data_id="a", kind="train", config={"n": 3}, sharpe=0.01)
    assert deflated_sharpe_ratio(returns, ledger, "a").n_trials == 30


def test_the_user_cannot_type_the_number_of_trials():
    with pytest.raises(InvalidInput, match="ledger"):
        deflated_sharpe_ratio(np.random.default_rng(0).normal(0, 1, 100), 1, "a")


def test_degenerate_returns():
    for constant in (0.01, -0.01):  # an infinite Sharpe ratio, of which nothing is known
        assert np.isnan(probabilistic_sharpe_ratio(np.full(10, constant)))
    assert probabilistic_sharpe_ratio(np.zeros(10)) == 0.5
    for bad in (np.zeros(3), np.array([0.1, np.nan, 0.1, 0.2])):
        with pytest.raises(InvalidInput):
            probabilistic_sharpe_ratio(bad)


def test_probability_is_calibrated_without_skill():
    rng = np.random.default_rng(1)
    found = [probabilistic_sharpe_ratio(rng.standard_t(5, 250) * 0.01) for _ in range(400)]
    assert 0.02 < np.mean(np.array(found) > 0.95) < 0.085
