import dataclasses

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from consilience.base import InvalidInput, InvalidState, restore
from consilience.boosting import LogisticClassifier, RidgeRegressor
from consilience.ensemble import VotingClassifier, VotingRegressor
from consilience.evaluation import PurgedWalkForward
from tests.contracts.predictor import check_predictor, market

CLASSIFIERS = [("stiff", LogisticClassifier(C=0.001)), ("free", LogisticClassifier())]
REGRESSORS = [("stiff", RidgeRegressor(alpha=1e4)), ("free", RidgeRegressor())]
FOLDS = PurgedWalkForward(n_splits=3, label_horizon=1)


@pytest.mark.parametrize(
    "ensemble",
    [
        VotingClassifier(CLASSIFIERS),
        VotingClassifier(CLASSIFIERS, voting="hard", weights=[2, 1]),
        VotingClassifier(CLASSIFIERS, weights="performance", folds=FOLDS),
        VotingRegressor(REGRESSORS),
        VotingRegressor(REGRESSORS, weights="performance", folds=FOLDS),
    ],
)
def test_contract(ensemble):
    check_predictor(ensemble)


@parametrize_with_checks([VotingClassifier(CLASSIFIERS), VotingRegressor(REGRESSORS)])
def test_sklearn(estimator, check):
    check(estimator)


def test_votes_are_those_of_the_members():
    X, y = market()
    vote = VotingClassifier(CLASSIFIERS, weights=[3, 1]).fit(X, y)
    parts = [LogisticClassifier(C=0.001).fit(X, y).predict_proba(X), LogisticClassifier().fit(X, y).predict_proba(X)]
    np.testing.assert_allclose(vote.predict_proba(X), 0.75 * parts[0] + 0.25 * parts[1])
    assert vote.weights_ == {"stiff": 0.75, "free": 0.25}


def test_performance_weights_prefer_the_better_member():
    X, y = market(600)
    ends = np.asarray(X.index)
    vote = VotingClassifier(CLASSIFIERS, weights="performance", folds=FOLDS).fit(X, y, label_end=ends)
    assert vote.weights_["free"] > 0.6
    values = VotingRegressor(REGRESSORS, weights="performance", folds=FOLDS).fit(X, X["f0"].to_numpy())
    assert values.weights_["free"] > 0.6


@pytest.mark.parametrize("weights", [[1], [1, -1], [0, 0], [1, np.nan], "equal"])
def test_weights_that_cannot_be_used(weights):
    X, y = market()
    with pytest.raises(InvalidInput, match="'weights' parameter of VotingClassifier"):
        VotingClassifier(CLASSIFIERS, weights=weights).fit(X, y)


def test_performance_needs_folds():
    X, y = market()
    with pytest.raises(InvalidInput, match="'folds' parameter"):
        VotingClassifier(CLASSIFIERS, weights="performance").fit(X, y, label_end=np.asarray(X.index))


@pytest.mark.parametrize("change", [lambda w: w[:1], lambda w: -w, lambda w: w * np.nan, lambda w: w * 0])
def test_damaged_weights_are_refused(change):
    X, y = market()
    state = VotingClassifier(CLASSIFIERS).fit(X, y).get_state()
    with pytest.raises(InvalidState):
        restore(dataclasses.replace(state, arrays={"weights": change(state.arrays["weights"])}))
