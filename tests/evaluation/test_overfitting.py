from itertools import combinations

import numpy as np
import pytest
from scipy.stats import rankdata

from consilience.base import InvalidInput
from consilience.evaluation import probability_of_backtest_overfitting
from tests.reference.evaluation_pbo import (
    PUBLISHED,
    RANDOM_WALK,
    SEASONAL,
    UNIT_TEST,
    hold_out_overfitting,
    one_better_trial,
    published_returns,
    r_normals,
    r_summary,
    seasonal_trials,
    unit_test_returns,
)


def by_definition(returns, n_blocks):
    """CSCV spelt out: every half of the blocks in sample, the other half out of sample."""
    blocks = np.array_split(np.arange(len(returns)), n_blocks)
    logits = []
    for chosen in combinations(range(n_blocks), n_blocks // 2):
        inside = np.concatenate([blocks[i] for i in chosen])
        outside = np.concatenate([blocks[i] for i in range(n_blocks) if i not in chosen])
        performance = [returns[rows].mean(axis=0) / returns[rows].std(axis=0, ddof=1) for rows in (inside, outside)]
        rank = rankdata(performance[1])[performance[0].argmax()] / (returns.shape[1] + 1)
        logits.append(np.log(rank / (1 - rank)))
    return np.array(logits)


def test_logits_follow_the_definition():
    returns = np.random.default_rng(0).normal(0.01, 1, (96, 7))
    found = probability_of_backtest_overfitting(returns, 8)
    np.testing.assert_allclose(found.logits, by_definition(returns, 8))
    assert found.probability == np.mean(found.logits <= 0)


def test_sixteen_blocks_give_the_paper_s_12870_splits():
    returns = np.random.default_rng(0).normal(0, 1, (160, 5))
    assert len(probability_of_backtest_overfitting(returns, 16).logits) == 12_870


def test_noise_is_overfit_and_a_skilled_strategy_is_not():
    rng = np.random.default_rng(1)
    noise = [probability_of_backtest_overfitting(rng.normal(0, 0.01, (480, 40)), 10).probability for _ in range(20)]
    assert 0.35 < np.mean(noise) < 0.65
    skilled = rng.normal(0, 0.01, (480, 40))
    skilled[:, 3] += 0.003
    found = probability_of_backtest_overfitting(skilled, 10)
    assert found.probability < 0.05 and found.probability_of_loss < 0.05


def test_strategies_that_only_exchange_their_luck_are_overfit_with_certainty():
    """The paper's extreme: every strategy has the same mean over all time, so what is gained inside is lost outside."""
    returns = np.random.default_rng(2).normal(0, 1, (160, 10))
    returns -= returns.mean(axis=0)
    found = probability_of_backtest_overfitting(returns, 8, measure="mean")
    assert found.probability > 0.99 and found.probability_of_loss == 1.0
    assert found.degradation == pytest.approx(-1.0)


def test_degenerate_strategies_have_a_defined_place():
    rng = np.random.default_rng(3)
    returns = np.column_stack([np.zeros(64), np.full(64, 0.01), np.full(64, -0.01), rng.normal(0, 0.01, (64, 3))])
    found = probability_of_backtest_overfitting(returns, 4)
    assert np.isfinite(found.logits).all() and found.probability == 0.0, (
        "the constant gain is best in and out of sample"
    )
    same = probability_of_backtest_overfitting(np.tile(rng.normal(0, 1, (64, 1)), 5), 4)
    assert same.probability == 1.0, "with equal strategies the chosen one is the median"


@pytest.mark.parametrize(
    "returns, n_blocks",
    [
        (np.zeros((50, 1)), 4),
        (np.zeros(50), 4),
        (np.full((50, 2), np.nan), 4),
        (np.zeros((50, 2)), 5),
        (np.zeros((50, 2)), 50),
    ],
)
def test_what_cannot_be_computed_is_refused(returns, n_blocks):
    with pytest.raises(InvalidInput):
        probability_of_backtest_overfitting(returns, n_blocks)


def test_r_s_generator_is_rebuilt_exactly():
    np.testing.assert_allclose(r_normals(123, 3), [-0.56047565, -0.23017749, 1.55870831], atol=5e-9)


def test_the_paper_s_first_test_case_as_published_by_r_s_pbo():
    found = probability_of_backtest_overfitting(published_returns(), 8)
    ours = r_summary(found)
    assert ours["p_bo"] == PUBLISHED["p_bo"] and ours["p_loss"] == PUBLISHED["p_loss"]
    assert ours["slope"] == pytest.approx(PUBLISHED["slope"], abs=5e-5)
    assert ours["ar^2"] == pytest.approx(PUBLISHED["ar^2"], abs=0.005)
    assert found.degradation == pytest.approx(-1.0, abs=0.01)


def test_the_example_of_r_s_unit_test():
    ours = r_summary(probability_of_backtest_overfitting(unit_test_returns(), 4))
    for name, (lower, upper) in UNIT_TEST.items():
        assert lower < ours[name] < upper, name


@pytest.mark.parametrize("sharpe", [0.0, 1.0, 2.0, 3.0])
def test_the_paper_s_accuracy_experiment(sharpe):
    """The paper's check of the method: over many draws, splits of one sample say what a hold-out would have shown."""
    rng, n_draws = np.random.default_rng(int(sharpe)), 60
    estimated = [
        probability_of_backtest_overfitting(one_better_trial(sharpe, rng), 8).probability for _ in range(n_draws)
    ]
    true = np.mean([hold_out_overfitting(one_better_trial(sharpe, rng)) for _ in range(4 * n_draws)])
    error = np.hypot(np.std(estimated) / n_draws**0.5, (max(true * (1 - true), 0.004) / (4 * n_draws)) ** 0.5)
    assert abs(np.mean(estimated) - true) < 3 * error


def test_the_paper_s_practical_application():
    """8,800 seasonal strategies, on a random walk and with a season: the paper printed one draw of each."""
    found = {}
    for seasonal, published in ((False, RANDOM_WALK), (True, SEASONAL)):
        draws = []
        for seed in range(8):
            profits = seasonal_trials(np.random.default_rng(seed), seasonal=seasonal)
            sharpe = profits.mean(axis=0) / np.maximum(profits.std(axis=0), 1e-9)
            result = probability_of_backtest_overfitting(profits, 8)
            draws.append((sharpe.max() * 261**0.5, result.probability, result.probability_of_loss))
        for value, drawn in zip(published, np.transpose(draws), strict=False):
            assert drawn.min() <= value <= drawn.max(), (seasonal, draws)
        found[seasonal] = np.mean(draws, axis=0)
    assert found[True][0] > found[False][0]
    assert found[True][1] < found[False][1] and found[True][2] < found[False][2]
