import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consilience.base import InvalidInput
from consilience.kernels import GaussianHMM, RegimeFeatures, regime_names
from consilience.kernels.regime_names import regime_names as name


@pytest.mark.parametrize(
    ("returns", "volatilities", "names"),
    [
        ([0.1], [1.0], ["bull"]),
        ([-0.1], [1.0], ["bear"]),
        ([0.0], [1.0], ["accumulation"]),
        ([0.1, -0.1], [1.0, 2.0], ["bull", "bear"]),
        ([0.1, 0.05], [1.0, 2.0], ["bull", "distribution"]),
        ([-0.1, -0.05], [2.0, 1.0], ["bear", "accumulation"]),
        (
            [-1, 0.0, 0.1, 0.2, 1],
            [5, 1, 2, 0.5, 3],
            ["bear", "accumulation 2", "accumulation 3", "accumulation", "bull"],
        ),
    ],
)
def test_names(returns, volatilities, names):
    assert name(np.array(returns, float), np.array(volatilities, float)) == names


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(0.01, 3)), min_size=1, max_size=8, unique=True), st.randoms())
def test_renumbering_states_renumbers_names(states, random):
    order = list(range(len(states)))
    random.shuffle(order)
    values = np.array(states)
    names = name(values[:, 0], values[:, 1])
    assert name(values[order, 0], values[order, 1]) == [names[i] for i in order]
    assert len(set(names)) == len(names)


def test_fitted_models_carry_names():
    rng = np.random.default_rng(0)
    wild = np.repeat(np.arange(10) % 2, 60)
    X = rng.normal(np.where(wild, -1.0, 0.5), np.where(wild, 3.0, 0.7))[:, None] * 1e-3
    model = RegimeFeatures(n_components=2, random_state=0).fit(X)
    assert model.regime_names_ == ["bear", "bull"]
    assert GaussianHMM(2, random_state=0, covars_prior=0.0).fit(X).regime_names() == ["bear", "bull"]


def test_wrong_shapes_are_refused():
    with pytest.raises(InvalidInput, match="returns"):
        name(np.zeros(2), np.zeros(3))


def test_docstrings():
    assert doctest.testmod(regime_names).failed == 0
