"""Every model of the package keeps scikit-learn's contract and ours."""

import pytest
from sklearn.utils.estimator_checks import check_sample_weight_equivalence_on_dense_data, parametrize_with_checks

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
from tests.contracts.predictor import check_predictor

MODELS = [
    XGBoostClassifier(n_estimators=30, learning_rate=0.2, n_jobs=1),
    XGBoostRegressor(n_estimators=30, learning_rate=0.2, n_jobs=1),
    LightGBMClassifier(n_estimators=30, learning_rate=0.2, n_jobs=1),
    LightGBMRegressor(n_estimators=30, learning_rate=0.2, n_jobs=1),
    RandomForestClassifier(n_estimators=20, n_jobs=1),
    RandomForestRegressor(n_estimators=20, n_jobs=1),
    LogisticClassifier(),
    RidgeRegressor(),
]


SUBSAMPLED = {
    "check_sample_weight_equivalence_on_dense_data": "rows are drawn at random: a row twice is not a row of weight two",
}
WHOLE = {"subsample": 1.0, "colsample_bytree": 1.0, "n_estimators": 30, "n_jobs": 1, "min_child_weight": 0.0}


def expected_failures(model):
    """Nothing but the drawing of rows: the same models pass without it (``test_weights_are_repetitions``)."""
    return SUBSAMPLED if "subsample" in model.get_params() or "max_samples" in model.get_params() else {}


@parametrize_with_checks(MODELS, expected_failed_checks=expected_failures)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("assets", [1, 2])
@pytest.mark.parametrize("estimator", MODELS, ids=lambda model: type(model).__name__)
def test_predictor_contract(estimator, assets):
    check_predictor(estimator, assets=assets)


@pytest.mark.parametrize(
    # Not LightGBM: it estimates the rows of a leaf from their weight, so min_child_samples sees another number.
    "estimator",
    [XGBoostClassifier(**WHOLE), XGBoostRegressor(**WHOLE)],
    ids=lambda model: type(model).__name__,
)
def test_weights_are_repetitions_where_no_rows_are_drawn(estimator):
    check_sample_weight_equivalence_on_dense_data(type(estimator).__name__, estimator)
