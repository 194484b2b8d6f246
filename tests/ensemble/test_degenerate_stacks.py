"""Degenerate numbers through whole ensembles: members, folds, meta-learner."""

import numpy as np
import pytest

from consilience.boosting import (
    LightGBMClassifier,
    LightGBMRegressor,
    LogisticClassifier,
    RidgeRegressor,
    XGBoostClassifier,
)
from consilience.ensemble import (
    RegimeSpecialistClassifier,
    RegimeSpecialistRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from consilience.ensemble.evidence import mean_one
from consilience.evaluation import PurgedWalkForward
from consilience.kernels import RegimeFeatures
from tests.contracts.degenerate import check_degenerate
from tests.support.degenerate import CASES, case

FOLDS = PurgedWalkForward(3, label_horizon=1)
REGIMES = RegimeFeatures(n_components=2)
CLASSIFIERS = [("lightgbm", LightGBMClassifier(n_estimators=5, n_jobs=1)), ("logistic", LogisticClassifier())]
REGRESSORS = [("lightgbm", LightGBMRegressor(n_estimators=5, n_jobs=1)), ("ridge", RidgeRegressor())]
ENSEMBLES = {
    "stack": StackingClassifier(CLASSIFIERS, FOLDS),
    "stack of values": StackingRegressor(REGRESSORS, FOLDS),
    "stack with a final estimator": StackingClassifier(CLASSIFIERS, FOLDS, final_estimator=LogisticClassifier()),
    "stack of values with a final estimator": StackingRegressor(REGRESSORS, FOLDS, final_estimator=RidgeRegressor()),
    "stack by regime": StackingClassifier(CLASSIFIERS, FOLDS, regimes=REGIMES),
    "specialist per regime": StackingClassifier(CLASSIFIERS, FOLDS, regimes=REGIMES, selection="specialist"),
    "stack without copies": StackingClassifier(CLASSIFIERS, FOLDS, max_correlation=0.9),
    "vote": VotingClassifier(CLASSIFIERS, folds=FOLDS, weights="simplex"),
    "vote of values": VotingRegressor(REGRESSORS, folds=FOLDS, weights="greedy"),
    "model per regime": RegimeSpecialistClassifier(LogisticClassifier(), REGIMES, folds=FOLDS, min_rows=20),
    "model per regime, values": RegimeSpecialistRegressor(RidgeRegressor(), REGIMES, folds=FOLDS, min_rows=20),
}
REFUSED = {"huge features", "features of mixed scales", "huge target", "all labels equal", "all labels equal but one"}
REFUSED |= {"2 rows", "3 rows", "5 rows", "10 rows", "20 rows", "identical rows", "all features constant"}


# Every ensemble and every case, a quarter of the pairs; `make soak` tries all of them.
PAIRS = [
    pytest.param(ensemble, name, marks=[] if (i + j) % 4 == 0 else pytest.mark.slow)
    for i, ensemble in enumerate(ENSEMBLES)
    for j, name in enumerate(CASES)
]


@pytest.mark.filterwarnings("error", "ignore::consilience.ensemble.failures.DegradedWarning")
@pytest.mark.parametrize("ensemble, name", PAIRS)
def test_degenerate_inputs(ensemble, name):
    assert check_degenerate(ENSEMBLES[ensemble], case(name)) or name in REFUSED


def test_two_boosters_on_random_walks():
    """Early folds are constant, later ones loud: the out-of-fold log loss was 8 to 18, now it is the base rate's."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        X, y = rng.standard_normal((500, 8)), rng.integers(0, 2, 500)
        members = [("xgboost", XGBoostClassifier(n_jobs=1)), ("lightgbm", LightGBMClassifier(n_jobs=1))]
        stack = StackingClassifier(members, FOLDS).fit(X, y)
        rows = np.flatnonzero(np.isfinite(stack.oof_.proba).all(axis=1))
        loss, base = (-np.log(p).mean() for p in (stack.oof_.proba[rows, y[rows]], np.bincount(y)[y[rows]] / len(y)))
        assert loss < base + 0.015
        assert abs(np.array(list(stack.weights_.values()))).max() <= 10.0


@pytest.mark.parametrize("scale", [1e-300, 1e-5, 1e300])
def test_sample_weights_of_any_scale_are_the_same_table(scale):
    weight = np.random.default_rng(0).random(60) + 0.5
    np.testing.assert_allclose(mean_one(weight * scale, np.arange(20, 60)), mean_one(weight, np.arange(20, 60)))
