import dataclasses

import numpy as np
import pytest

from consilience.base import InvalidInput, restore
from consilience.boosting import LogisticClassifier, RidgeRegressor
from consilience.ensemble import StackingClassifier, StackingRegressor, VotingClassifier
from consilience.ensemble.diversity import beyond_outcome, followed, leaders
from consilience.evaluation import PurgedWalkForward
from tests.contracts.predictor import market
from tests.support.tables import table

FOLDS = PurgedWalkForward(n_splits=4, label_horizon=1)
MEMBERS = [
    ("free", LogisticClassifier(C=10.0)),
    ("twin", LogisticClassifier(C=9.0)),
    ("blind", LogisticClassifier(C=1e-6)),
]


def vote(members, folds, **params):
    return VotingClassifier(members, weights="simplex", folds=folds, **params)


def test_the_worse_of_two_twins_follows_the_better():
    rng = np.random.default_rng(0)
    said = rng.standard_normal((3, 500))
    twin = said[0] + 0.01 * rng.standard_normal(500)
    leader = followed(np.stack([said[0], said[1], twin]), np.array([0.6, 0.9, 0.5]), 0.95)
    assert leader.tolist() == [2, 1, 2]


def test_members_of_weak_signals_are_not_taken_for_twins():
    """Their errors correlate at 0.99, because both are nearly the outcome; what they say has nothing in common."""
    data = table(n=4000, n_members=3, signal=0.15, noise=0.1)
    hit = data.target[:, None] == np.arange(2)
    assert np.corrcoef((hit - data.outputs).reshape(3, -1)).min() > 0.97
    assert np.abs(np.corrcoef(beyond_outcome(data)) - np.eye(3)).max() < 0.1
    assert leaders(data, 0.9).tolist() == [0, 1, 2]
    twins = dataclasses.replace(data, outputs=data.outputs[[0, 0, 1]])
    assert len(set(leaders(twins, 0.9).tolist())) == 2


def test_members_that_are_right_are_not_taken_for_twins():
    rng = np.random.default_rng(0)
    data = table(n=2000, n_members=2, signal=0.5)
    said = 0.8 * data.target + 0.1 + 0.05 * rng.uniform(-1, 1, (2, 2000))
    data = dataclasses.replace(data, outputs=np.stack([1 - said, said], axis=-1))
    assert np.corrcoef(said)[0, 1] > 0.95 and leaders(data, 0.9).tolist() == [0, 1]
    values = dataclasses.replace(data, outputs=said, target=data.target.astype(float))
    assert leaders(values, 0.9).tolist() == [0, 1]


@pytest.mark.parametrize("make", [StackingClassifier, vote])
def test_an_ensemble_leaves_twins_out_and_names_them(make):
    X, y = market(400)
    model = make(MEMBERS, FOLDS, max_correlation=0.999).fit(X, y)
    assert list(model.redundant_) == ["twin"] or list(model.redundant_) == ["free"]
    assert set(model.members_) == {"free", "twin", "blind"} - set(model.redundant_)
    assert set(model.weights_) == set(model.members_)
    np.testing.assert_array_equal(restore(model.get_state()).predict_proba(X), model.predict_proba(X))
    assert set(make(MEMBERS, FOLDS).fit(X, y).members_) == {"free", "twin", "blind"}


class Column(RidgeRegressor):
    """Says one column."""

    def predict(self, X):
        return np.asarray(X)[:, 3]


def test_values_too():
    X, y = market(400)
    members = [("a", RidgeRegressor(alpha=1.0)), ("b", RidgeRegressor(alpha=1.1)), ("column", Column())]
    model = StackingRegressor(members, FOLDS, max_correlation=0.9).fit(X, X["f0"] + 0.3 * X["f1"] + y)
    assert len(model.members_) == 2 and "column" in model.members_


def test_wrong_limits_are_named():
    X, y = market(300)
    for limit in (0.0, 1.5, True, "x"):
        with pytest.raises(InvalidInput, match="max_correlation"):
            StackingClassifier(MEMBERS, FOLDS, max_correlation=limit).fit(X, y)
    with pytest.raises(InvalidInput, match="max_correlation"):
        VotingClassifier(MEMBERS, max_correlation=0.9).fit(X, y)


class Planted(LogisticClassifier):
    """Says whether f0 is positive; loud enough to lead in the last fold only, where its twin is spoilt."""

    def __init__(self, spoilt_from=None):
        super().__init__()
        self.spoilt_from = spoilt_from

    def predict_proba(self, X):
        sure = np.where(X["f0"] > 0, 0.8, 0.2)
        if self.spoilt_from is not None:
            sure = np.where(X.index >= self.spoilt_from, 0.5 + 0.98 * (sure - 0.5), 0.5 + 1.01 * (sure - 0.5))
        return np.stack([1.0 - sure, sure], axis=1)


@pytest.mark.parametrize("make", [StackingClassifier, vote])
def test_what_an_ensemble_said_in_a_fold_does_not_hang_on_who_leads_later(make):
    """Labels from the fold on are turned: that changes the leader on all rows, and must not change what was said."""
    X, y = market(400)
    members = [("sure", Planted()), ("shy", Planted(X.index[0])), ("other", LogisticClassifier(C=1e-3))]
    first = make(members, FOLDS, max_correlation=0.95).fit(X, y)
    fold = first.out_of_fold_[next(iter(first.members_))].fold
    start = int((fold == 2).argmax())
    flipped = y.copy()
    flipped[start - 1 :] = (X["f0"].to_numpy()[start - 1 :] < 0).astype(int)
    other = make(members, FOLDS, max_correlation=0.95).fit(X, flipped)
    assert set(first.redundant_) != set(other.redundant_), "the leak must be there to be found"
    rows = fold == 2
    assert np.isfinite(first.oof_.proba[rows]).all()
    np.testing.assert_allclose(other.oof_.proba[rows], first.oof_.proba[rows], atol=1e-9)
