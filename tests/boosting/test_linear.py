"""The linear baselines against scikit-learn's own pipelines."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from consilience.base import InvalidState, State, restore
from consilience.boosting import LogisticClassifier, RidgeRegressor
from tests.contracts.predictor import market


def scaled(n_rows=300):
    X, y = market(n_rows)
    return X * [1e-6, 1.0, 1e4, 3.0] + [0.0, 100.0, -1e6, 0.0], y


@pytest.mark.parametrize("n_classes", [2, 3])
def test_logistic_equals_the_pipeline(n_classes):
    X, y = scaled()
    y = y if n_classes == 2 else np.digitize(X["f0"] * 1e6, [-0.5, 0.5])
    peer = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000)).fit(X, y)
    np.testing.assert_allclose(LogisticClassifier(C=0.1).fit(X, y).predict_proba(X), peer.predict_proba(X), atol=1e-5)


def test_ridge_equals_the_pipeline():
    X, y = scaled()
    peer = make_pipeline(StandardScaler(), Ridge(alpha=0.1 * len(X))).fit(X, y)
    np.testing.assert_allclose(RidgeRegressor(alpha=0.1).fit(X, y).predict(X), peer.predict(X), atol=1e-8)


def test_doubling_the_data_changes_nothing_in_ridge():
    X, y = scaled(100)
    once = RidgeRegressor().fit(X.to_numpy(), y).predict(X.to_numpy())
    twice = RidgeRegressor().fit(np.tile(X, (2, 1)), np.tile(y, 2)).predict(X.to_numpy())
    np.testing.assert_allclose(once, twice, atol=1e-10)


@pytest.mark.parametrize("model", [LogisticClassifier(), RidgeRegressor(), RidgeRegressor(alpha=0.0)])
def test_constant_and_repeated_columns(model):
    X, y = market(100)
    X = X.assign(constant=1e9, again=X["f0"], tiny=3e-9)
    model.fit(X, y)
    assert np.isfinite(model.coef_).all()
    assert model.feature_importances_["constant"] < 1e-9 and model.feature_importances_.sum() == pytest.approx(1)


@pytest.mark.parametrize("model", [LogisticClassifier(), RidgeRegressor()])
def test_missing_values_are_refused_by_name(model):
    X, y = market(50)
    with pytest.raises(ValueError, match=r"column .f0. has NaN in"):
        model.fit(X.mask(X > 1), y)
    model.fit(X, y)
    with pytest.raises(ValueError, match=r"column .f0. has NaN in"):
        model.predict(X.mask(X > 1))


def test_balanced_logistic_centres_a_rare_class():
    X, _ = market(600)
    rare = (X["f0"].to_numpy() > 1.2).astype(int)
    plain = LogisticClassifier(C=1).fit(X, rare).predict(X).mean()
    assert LogisticClassifier(C=1, class_weight="balanced").fit(X, rare).predict(X).mean() > plain
    heavy = LogisticClassifier(C=1, class_weight={1: 50.0}).fit(X, rare).predict(X).mean()
    assert heavy > plain
    with pytest.raises(ValueError, match="class_weight names the class 7"):
        LogisticClassifier(class_weight={7: 1.0}).fit(X, rare)


def test_stored_coefficients_are_checked():
    X, y = market(50)
    state = LogisticClassifier().fit(X, y).get_state()
    for name, array in state.arrays.items():
        for bad in (array[..., :-1], array.astype(np.float32), array * np.nan):
            with pytest.raises(InvalidState):
                restore(State(state.kind, state.spec, {**state.arrays, name: bad}))
