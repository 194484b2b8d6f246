"""From bars to probabilities: cutting off or changing the future moves no earlier feature, regime or prediction."""

import numpy as np
import pandas as pd
import pytest

from consilience.data import build_features
from consilience.evaluation import PurgedWalkForward
from consilience.kernels import GaussianHMM
from consilience.training.problem import build_problem, load_bars

pytestmark = pytest.mark.xdist_group("trained")

MEMBERS = ["logistic", "forest", "xgboost", "lightgbm", "lstm", "transformer", "lorentzian", "hmm"]


def check_from_bars(predict, bars, atol=1e-6):
    """``predict`` takes features and gives one row of outputs each."""
    whole = build_features(bars)
    outputs = predict(whole)
    for k in (len(bars) - 1, len(bars) - 60, len(bars) - 301):
        changed = bars.copy()
        changed.iloc[k:] = bars.iloc[k:].to_numpy()[::-1] * 1.5
        for other in (bars.iloc[:k], changed):
            early = build_features(other)
            n = len(build_features(bars.iloc[:k]))
            pd.testing.assert_frame_equal(early.iloc[:n], whole.iloc[:n])
            np.testing.assert_allclose(predict(early)[:n], outputs[:n], rtol=0, atol=atol)


@pytest.mark.parametrize("name", MEMBERS)
def test_no_member_sees_the_future(trained, planted_bars, name):
    check_from_bars(trained.stack.members_[name].predict_proba, planted_bars)


def test_the_stack_does_not_see_the_future(trained, planted_bars):
    check_from_bars(trained.stack.predict_proba, planted_bars)


def test_filtered_regimes_do_not_see_the_future(trained, planted_bars):
    check_from_bars(trained.stack.members_["hmm"].regime_proba, planted_bars)


class LookingAhead:
    """A model that uses the next row."""

    def __init__(self, honest):
        self.honest = honest

    def predict_proba(self, X):
        return self.honest.predict_proba(X.groupby(level=0).shift(-1).fillna(0.0))


@pytest.mark.parametrize("name", ["logistic", "lstm"])
def test_a_planted_leak_is_seen(trained, planted_bars, name):
    with pytest.raises(AssertionError):
        check_from_bars(LookingAhead(trained.stack.members_[name]).predict_proba, planted_bars)


def test_smoothed_regimes_are_seen_as_a_leak(planted_bars):
    bars = planted_bars.loc[["PLANTED1"]]
    model = GaussianHMM(n_components=3, random_state=0).fit(build_features(bars)[["ret_1", "vol_20"]].to_numpy() * 100)
    check_from_bars(lambda X: model.predict_proba(X[["ret_1", "vol_20"]].to_numpy() * 100), bars)
    with pytest.raises(AssertionError):
        check_from_bars(lambda X: model.smooth_proba(X[["ret_1", "vol_20"]].to_numpy() * 100), bars)


def overlaps(splitter, problem):
    """Pairs of training and test labels whose intervals share an instant."""
    X, y, label_end = problem.part(problem.development)
    start, end = X.index.get_level_values(1).to_numpy(), label_end.to_numpy()
    found = 0
    for train, test in splitter.split(X, y, label_end=label_end):
        found += int(((start[train][:, None] <= end[test]) & (end[train][:, None] >= start[test])).sum())
    return found


class NotPurged(PurgedWalkForward):
    """The same folds without purging."""

    def split(self, X, y=None, groups=None, *, label_end=None):
        for _, test in super().split(X, y, label_end=label_end):
            yield np.arange(test.min()), test


def test_folds_do_not_overlap_and_a_planted_overlap_is_seen(trained):
    problem = build_problem(trained.config, load_bars(trained.config)[0])
    assert overlaps(PurgedWalkForward(n_splits=3), problem) == 0
    assert overlaps(NotPurged(n_splits=3), problem) > 0
