"""Predictors compared on the same folds: the better one is found, equal ones are not told apart."""

import doctest
import sys

import numpy as np
import pandas as pd
import pytest

from consilience.base import InvalidInput
from consilience.boosting import LightGBMClassifier, LogisticClassifier, RidgeRegressor
from consilience.ensemble import StackingClassifier
from consilience.ensemble.compare import compare
from consilience.evaluation import PurgedWalkForward
from tests.contracts.predictor import market

FOLDS = PurgedWalkForward(n_splits=3, label_horizon=1)


def test_the_better_model_is_found_and_the_table_says_what_it_costs():
    X, y = market(800)
    two = {
        "blind": LogisticClassifier(C=1e-7),
        "sees": LogisticClassifier(C=1.0),
        "trees": LightGBMClassifier(n_estimators=20),
    }
    found = compare(two, X, y, FOLDS, n_samples=200)
    assert found.table.index[-1] == "blind" and found.metric == "log_loss"
    assert found.table["log_loss"].is_monotonic_increasing
    for name in ("log_loss", "auc", "accuracy", "brier"):
        assert (found.table[f"{name}_low"] <= found.table[name]).all()
        assert (found.table[name] <= found.table[f"{name}_high"]).all()
    pair = found.pairs.set_index(["first", "second"]).loc[("sees", "blind")]
    assert pair["difference"] < 0 and pair["p_adjusted"] < 0.001 and pair["p_adjusted"] >= pair["p_value"]
    assert len(found.pairs) == 3
    assert (found.table[["fit_seconds", "predict_ms", "state_kib"]] > 0).all().all()
    assert found.table.loc["trees", "state_kib"] > found.table.loc["sees", "state_kib"]
    oof = found.out_of_fold["sees"]
    loss = -np.log(oof.proba[oof.rows, y[oof.rows]]).mean()
    assert found.table.loc["sees", "log_loss"] == pytest.approx(loss)
    assert "[" in str(found) and "blind" in str(found)


def test_equal_models_are_not_told_apart():
    X, y = market(400)
    rng = np.random.default_rng(0)
    noise = pd.DataFrame(rng.standard_normal(X.shape), index=X.index, columns=X.columns)
    twins = {name: LightGBMClassifier(n_estimators=20, random_state=seed) for seed, name in enumerate("ab")}
    assert compare(twins, noise, y, FOLDS, n_samples=100).pairs["p_value"].iloc[0] > 0.01
    same = {"a": LogisticClassifier(), "b": LogisticClassifier()}
    assert compare(same, X, y, FOLDS, n_samples=100).pairs["p_value"].iloc[0] == 1.0


def test_regressors_and_panels():
    X, _ = market(300, assets=2)
    y = X["f0"].to_numpy() + 0.1 * X["f1"].to_numpy()
    found = compare(
        [("stiff", RidgeRegressor(alpha=10.0)), ("free", RidgeRegressor(alpha=0.01))], X, y, FOLDS, n_samples=100
    )
    assert list(found.table.index) == ["free", "stiff"] and found.metric == "rmse"
    assert found.pairs["difference"].iloc[0] < 0
    assert (found.table["rmse_low"] <= found.table["rmse"]).all() and (
        found.table["rmse"] <= found.table["rmse_high"]
    ).all()


def test_the_picture_shows_every_predictor():
    X, y = market(300)
    found = compare({"a": LogisticClassifier(), "b": LogisticClassifier(C=1.0)}, X, y, FOLDS, n_samples=50)
    axes = found.plot()
    assert {label.get_text() for label in axes.get_yticklabels()} == {"a", "b"}
    assert found.plot(axes) is axes


def test_what_cannot_be_compared_is_refused():
    X, y = market(100)
    with pytest.raises(InvalidInput, match="at least two"):
        compare({"a": LogisticClassifier()}, X, y, FOLDS)
    with pytest.raises(InvalidInput, match="not both"):
        compare({"a": LogisticClassifier(), "b": RidgeRegressor()}, X, y, FOLDS)


def test_examples():
    assert doctest.testmod(sys.modules["consilience.ensemble.compare"]).failed == 0


def test_ensembles_with_folds_of_their_own_get_the_label_ends():
    X, y = market(300)
    ends = pd.Series(X.index, X.index).shift(-1).ffill()
    folds = PurgedWalkForward(n_splits=2)
    stack = StackingClassifier([("a", LogisticClassifier()), ("b", LogisticClassifier(C=1e-3))], folds)
    found = compare({"stack": stack, "alone": LogisticClassifier()}, X, y, folds, label_end=ends, n_samples=50)
    assert set(found.table.index) == {"stack", "alone"}
