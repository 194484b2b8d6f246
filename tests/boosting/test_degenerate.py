"""Degenerate numbers through every model of the package."""

import numpy as np
import pytest
from hypothesis import strategies as st

from consilience.base import InvalidInput
from consilience.boosting import (
    LightGBMClassifier,
    LightGBMRegressor,
    LogisticClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
    RidgeRegressor,
    XGBoostClassifier,
    XGBoostRegressor,
)
from tests.contracts.degenerate import any_case, check_degenerate
from tests.support.campaign import holds_for
from tests.support.degenerate import CASES, case

MODELS = {
    type(model).__name__: model
    for model in (
        XGBoostClassifier(n_estimators=5, n_jobs=1),
        XGBoostRegressor(n_estimators=5, n_jobs=1),
        LightGBMClassifier(n_estimators=5, n_jobs=1),
        LightGBMRegressor(n_estimators=5, n_jobs=1),
        RandomForestClassifier(n_estimators=5, n_jobs=1),
        RandomForestRegressor(n_estimators=5, n_jobs=1),
        LogisticClassifier(),
        RidgeRegressor(),
    )
}
REFUSED = {"all labels equal", "huge features", "features of mixed scales", "huge target", "2 rows"}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("model", MODELS)
def test_degenerate_inputs(model, name):
    assert check_degenerate(MODELS[model], case(name)) or name in REFUSED


@pytest.mark.filterwarnings("error")
@holds_for(st.sampled_from(sorted(MODELS)), any_case())
def test_any_mixture(model, drawn):
    check_degenerate(MODELS[model], drawn)


@pytest.mark.parametrize("scale", [1e-280, 1e-9, 1e280])
def test_linear_models_do_not_depend_on_the_scale_of_a_feature(scale):
    ordinary = case("60 rows")
    for model, target in ((LogisticClassifier(), ordinary.y), (RidgeRegressor(), ordinary.values)):
        outputs = []
        for X in (ordinary.X, ordinary.X * [scale, 1.0, 1.0, 1.0]):
            fitted = model.fit(X, target)
            outputs.append(fitted.predict_proba(X)[:, 1] if hasattr(fitted, "predict_proba") else fitted.predict(X))
        np.testing.assert_allclose(outputs[1], outputs[0], rtol=1e-6, atol=1e-9)


def test_what_trees_cannot_hold_is_named():
    ordinary = case("60 rows")
    X = ordinary.X.copy()
    X[3, 2] = 1e39
    with pytest.raises(InvalidInput, match=r"'X'.*3.4e\+38.*1e\+39 in the column 'x2'"):
        XGBoostClassifier().fit(X, ordinary.y)
    with pytest.raises(InvalidInput, match=r"'y'.*1e\+15"):
        LightGBMRegressor().fit(ordinary.X, ordinary.values * 1e20)
    with pytest.raises(InvalidInput, match="validation"):
        XGBoostClassifier().fit(ordinary.X, ordinary.y, validation=(X, ordinary.y))
