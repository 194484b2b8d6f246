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


@pytest.mark.parametrize(
    "ensemble",
    [
        VotingClassifier(CLASSIFIERS),
        VotingClassifier(CLASSIFIERS, weights="simplex", folds=FOLDS),
        VotingRegressor(REGRESSORS),
    ],
)
def test_contract_on_a_panel(ensemble):
    check_predictor(ensemble, assets=2)


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


@pytest.mark.parametrize("weights", [[1], [1, -1], [0, 0], [1, np.nan], "equal", ["x", "y"], 3])
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
        arrays = {**state.arrays, "weights": change(state.arrays["weights"])}
        restore(dataclasses.replace(state, arrays=arrays))


def test_a_soft_vote_explains_itself_on_the_log_odds_scale():
    X, y = market(400)
    for vote in (VotingClassifier(CLASSIFIERS), VotingClassifier(CLASSIFIERS, weights="simplex", folds=FOLDS)):
        vote.fit(X, y)
        for ensemble in (vote, restore(vote.get_state())):
            said = ensemble.explain(X)
            odds = np.log(said.proba[:, 1] / said.proba[:, 0])
            np.testing.assert_allclose(said.base[:, 0] + said.contributions[:, :, 0].sum(axis=0), odds, atol=1e-9)
            assert said.scale == "log-odds" and said.members == ("stiff", "free")
            np.testing.assert_array_equal(said.prediction, vote.predict(X))
            assert (said.conformal is None) == (vote.weights is None)
    frame = said.frame(X.index)
    assert {"agreement", "from_free", "classes_left"} <= set(frame.columns)
    assert abs(said.conformal[np.arange(400), y].mean() - 0.9) < 0.06


def test_a_hard_vote_explains_itself_in_shares():
    X, y = market(400)
    said = VotingClassifier(CLASSIFIERS, voting="hard", weights=[2, 1]).fit(X, y).explain(X)
    assert said.scale == "share"
    np.testing.assert_allclose(said.base[:, 0] + said.contributions[:, :, 0].sum(axis=0), said.proba[:, 1], atol=1e-12)
    assert set(np.unique(said.contributions).round(6)) <= {0.0, round(1 / 3, 6), round(2 / 3, 6)}


def test_values_are_explained_as_distances_from_the_mean():
    X, _ = market(400)
    target = X["f0"].to_numpy() + 3.0
    vote = VotingRegressor(REGRESSORS, weights="simplex", folds=FOLDS).fit(X, target)
    said = vote.explain(X, coverage=0.8)
    np.testing.assert_allclose(said.base + said.contributions.sum(axis=0), said.prediction, atol=1e-9)
    np.testing.assert_allclose(said.base, target.mean())
    held = (said.conformal[:, 0] <= target) & (target <= said.conformal[:, 1])
    assert said.scale == "value" and held.mean() > 0.7
    own = np.stack([vote.members_[name].predict(X) for name in said.members])
    same = np.sign(own - target.mean()) == np.sign(said.prediction - target.mean())
    np.testing.assert_allclose(said.agreement, same.mean(axis=0))


def test_a_row_of_low_confidence_gets_no_position():
    X, y = market(400)
    vote = VotingClassifier(CLASSIFIERS, confidence_threshold=0.7).fit(X, y)
    sure = vote.predict_proba(X).max(axis=1) >= 0.7
    assert sure.any() and not sure.all()
    np.testing.assert_array_equal(vote.positions(X) != 0, sure)
    np.testing.assert_array_equal(vote.explain(X).position, vote.positions(X))
    assert restore(vote.get_state()).confidence_threshold == 0.7


@pytest.mark.parametrize("method", ["performance", "simplex", "greedy"])
def test_what_a_searched_vote_said_of_a_fold_ignores_its_labels_and_later_ones(method):
    X, y = market(400)
    vote = VotingClassifier(CLASSIFIERS, weights=method, folds=FOLDS).fit(X, y)
    start = int((vote.oof_.fold == 1).argmax())
    flipped = y.copy()
    flipped[start - 1 :] = 1 - flipped[start - 1 :]
    other = VotingClassifier(CLASSIFIERS, weights=method, folds=FOLDS).fit(X, flipped, out_of_fold=vote.out_of_fold_)
    rows = vote.oof_.fold == 1
    np.testing.assert_allclose(other.oof_.proba[rows], vote.oof_.proba[rows], atol=1e-12)
    later = vote.oof_.fold == 2
    assert not np.allclose(other.oof_.proba[later], vote.oof_.proba[later], atol=1e-3), "the check must be able to fail"


def test_weights_of_rows_and_several_processes():
    X, y = market(400)
    weight = np.random.default_rng(0).uniform(0.2, 3.0, 400)
    made = [VotingClassifier(CLASSIFIERS, weights="simplex", folds=FOLDS, n_jobs=n) for n in (1, 2)]
    one, two = (vote.fit(X, y, sample_weight=weight) for vote in made)
    np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))
    tiny = VotingClassifier(CLASSIFIERS, weights="simplex", folds=FOLDS)
    tiny.fit(X, y, sample_weight=weight * 1e-3, out_of_fold=one.out_of_fold_)
    np.testing.assert_allclose(tiny.vote_weights_, one.vote_weights_, atol=1e-6)
    np.testing.assert_allclose(tiny.base_, one.base_)


def test_out_of_fold_predictions_are_of_no_use_to_given_weights():
    X, y = market(300)
    records = VotingClassifier(CLASSIFIERS, weights="simplex", folds=FOLDS).fit(X, y).out_of_fold_
    with pytest.raises(InvalidInput, match="'out_of_fold' parameter"):
        VotingClassifier(CLASSIFIERS).fit(X, y, out_of_fold=records)
    with pytest.raises(InvalidInput, match="no out-of-fold predictions"):
        VotingClassifier(CLASSIFIERS).fit(X, y).conformal_drift()
