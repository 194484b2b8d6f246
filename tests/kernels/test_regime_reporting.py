import doctest

import numpy as np
import pytest
from numba import config

from consilience.kernels import RegimeFeatures, regime_report, regime_reporting
from tests.contracts.predictor import market

pytestmark = pytest.mark.skipif(config.DISABLE_JIT, reason="whole fits; their kernels are tested without the JIT too")


def fitted(assets=1):
    X, _ = market(300, assets=assets)
    return RegimeFeatures(n_components=3, columns=["f0", "f1"], random_state=0).fit(X), X


@pytest.mark.parametrize("assets", [1, 2])
def test_the_table_counts_what_transform_gives(assets):
    model, X = fitted(assets)
    report = regime_report(model, X)
    states = model.transform(X)[[f"regime_{i}" for i in range(3)]].to_numpy().argmax(axis=1)
    np.testing.assert_allclose(report.table["share"], np.bincount(states, minlength=3) / len(X))
    assert report.table["share"].sum() == pytest.approx(1)
    np.testing.assert_allclose(report.table["mean_rows"] * report.table["stays"], report.table["share"] * len(X))
    np.testing.assert_allclose(report.transitions.sum(axis=1), 1)
    assert list(report.now.index) == ([""] if assets == 1 else ["a0", "a1"])
    last = model.transform(X).iloc[-1][[f"regime_{i}" for i in range(3)]]
    np.testing.assert_allclose(report.now.iloc[-1], last, atol=1e-12)
    text = str(report)
    assert "without looking ahead" in text and all(name in text for name in model.regime_names_)


def test_docstrings():
    assert doctest.testmod(regime_reporting).failed == 0
