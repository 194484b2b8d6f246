import numpy as np
import pytest
from arch.bootstrap import SPA

from consilience.base import InvalidInput
from consilience.evaluation.superiority import superior_predictive_ability


def losses(seed, advantage=0.0, k=8, n=300):
    rng = np.random.default_rng(seed)
    gain = np.zeros((n, k))
    for i in range(1, n):
        gain[i] = 0.3 * gain[i - 1] + rng.standard_normal(k)
    base = 1 + rng.standard_normal(n) ** 2
    gain[:, 0] += advantage
    return base, base[:, None] - gain


@pytest.mark.parametrize("seed, advantage", [(0, 0.0), (1, 0.1), (2, 0.2), (3, 0.3)])
def test_p_values_agree_with_arch(seed, advantage):
    base, others = losses(seed, advantage)
    theirs = SPA(base, others, block_size=5, reps=4000, seed=0)
    theirs.compute()
    ours = superior_predictive_ability(base, others, block_length=5, n_samples=4000, studentize=False)
    for name, value in (("lower", ours.lower), ("consistent", ours.p_value), ("upper", ours.upper)):
        assert value == pytest.approx(float(theirs.pvalues[name]), abs=0.025), name


def test_size_and_power():
    none = [superior_predictive_ability(*losses(seed, n=1000), n_samples=300).p_value for seed in range(80)]
    assert np.mean(np.array(none) < 0.05) <= 0.11
    some = [superior_predictive_ability(*losses(seed, 0.35), n_samples=300) for seed in range(20)]
    assert np.mean([found.p_value < 0.05 for found in some]) >= 0.8
    assert np.mean([found.best == 0 for found in some]) >= 0.9


def test_degenerate_losses():
    base = np.random.default_rng(0).random(50)
    same = superior_predictive_ability(base, np.column_stack([base, base]))
    assert same.p_value == same.upper == 1.0
    assert superior_predictive_ability(base, (base - 0.5)[:, None]).p_value == 0.0
    with pytest.raises(InvalidInput):
        superior_predictive_ability(base, base)
