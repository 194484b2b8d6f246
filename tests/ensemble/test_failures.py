import threading
import time
import warnings
from itertools import combinations

import numpy as np
import pytest

from consilience.base import InvalidInput, restore
from consilience.boosting import LogisticClassifier, RidgeRegressor
from consilience.ensemble import (
    DegradedWarning,
    QuorumNotMet,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from consilience.ensemble.failures import ask, needed
from consilience.ensemble.shrinkage import fit_pool
from consilience.evaluation import PurgedWalkForward
from tests.contracts.predictor import market
from tests.ensemble.tables import log_loss

FOLDS = PurgedWalkForward(n_splits=4, label_horizon=1)
STRENGTHS = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 10.0]


class Broken:
    """A fitted member that has stopped working, in one of several ways."""

    lookback = 0

    def __init__(self, model, how):
        self.model, self.how = model, how

    def predict(self, X):
        return self._spoil(np.asarray(self.model.predict(X), float))

    def predict_proba(self, X):
        return self._spoil(self.model.predict_proba(X))

    def _spoil(self, answer):
        if self.how == "raises":
            raise RuntimeError("the file is gone")
        if self.how == "slow":
            threading.Event().wait(30.0)
        if self.how == "nan":
            return np.full_like(answer, np.nan)
        if self.how == "some nan":
            answer[::3] = np.nan
        if self.how == "shape":
            return answer[:-1]
        if self.how == "not a distribution":
            return answer * 3.0
        return answer


def eight():
    return [(f"m{number}", LogisticClassifier(C=C)) for number, C in enumerate(STRENGTHS)]


@pytest.fixture(scope="module")
def stack():
    X, y = market(400)
    return StackingClassifier(eight(), FOLDS).fit(X, y)


@pytest.fixture
def broken(stack):
    """The stack with some members broken for one test."""
    members = dict(stack.members_)

    def spoil(names, how):
        stack.members_ = {name: Broken(model, how) if name in names else model for name, model in members.items()}
        return stack

    yield spoil
    stack.members_, stack.predict_budget = members, None


X = market(60, seed=3)[0]


@pytest.mark.parametrize("how", ["raises", "nan", "shape", "not a distribution", "slow"])
def test_a_broken_member_is_left_out_and_named(broken, stack, how):
    stack.predict_budget = 2.0 if how == "slow" else None
    with pytest.warns(DegradedWarning, match=r"m7 \("):
        proba = broken(["m7"], how).predict_proba(X)
    seven = [name for name in stack.members_ if name != "m7"]
    alone = np.stack([stack.members_[name].predict_proba(X) for name in seven])
    expected = fit_pool(stack.evidence_.members(np.arange(7))).combine(alone)
    np.testing.assert_allclose(proba, expected, atol=1e-12)
    with pytest.warns(DegradedWarning):
        said = stack.explain(X)
    assert said.degraded.all() and list(said.left_out) == ["m7"]
    assert (said.contributions[7] == 0).all()
    log_odds = np.log(said.proba[:, 1] / said.proba[:, 0])
    np.testing.assert_allclose(said.base[:, 0] + said.contributions[:, :, 0].sum(axis=0), log_odds, atol=1e-9)


def test_nan_in_some_rows_degrades_those_rows_only(broken, stack):
    whole = stack.predict_proba(X)
    with pytest.warns(DegradedWarning, match="20 of 60"):
        said = broken(["m2"], "some nan").explain(X)
    assert said.degraded[::3].all() and said.degraded.sum() == 20
    np.testing.assert_array_equal(said.proba[~said.degraded], whole[~said.degraded])
    assert np.isfinite(said.proba).all()


@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.slow), 9])
def test_every_subset_gives_an_answer_or_the_quorum_error(broken, stack, every):
    """All 255 ways to lose at least one of eight members; every ninth of them in the short version."""
    whole, names = stack.predict_proba(X), list(stack.members_)
    seen = 0
    for size in range(1, 9):
        for lost in combinations(names, size):
            seen += 1
            if seen % every:
                continue
            ensemble = broken(lost, "nan" if size % 2 else "raises")
            if 8 - size >= 4:
                with pytest.warns(DegradedWarning):
                    proba = ensemble.predict_proba(X)
                assert proba.shape == (60, 2) and np.isfinite(proba).all()
                np.testing.assert_allclose(proba.sum(axis=1), 1.0)
            elif size < 8:
                with pytest.warns(DegradedWarning), pytest.raises(QuorumNotMet, match=f"Only {8 - size} of 8"):
                    ensemble.predict_proba(X)
            else:
                with pytest.raises((QuorumNotMet, RuntimeError)), warnings.catch_warnings(action="ignore"):
                    ensemble.predict_proba(X)
    assert seen == 255
    np.testing.assert_array_equal(broken([], "").predict_proba(X), whole)


def test_subset_pools_survive_storage(broken, stack):
    again = restore(stack.get_state())
    with pytest.warns(DegradedWarning):
        expected = broken(["m0", "m5"], "raises").predict_proba(X)
        again.members_ = {
            name: Broken(model, "raises" if name in ("m0", "m5") else "") for name, model in again.members_.items()
        }
        np.testing.assert_allclose(again.predict_proba(X), expected, atol=1e-9)


def test_when_all_raise_it_is_the_input(stack):
    with pytest.raises(ValueError, match="NaN"):
        stack.predict_proba(np.full((3, 4), np.nan))


def test_losing_the_best_costs_less_than_in_a_vote():
    X, y = market(1200, seed=5)

    class Blind(LogisticClassifier):
        def predict_proba(self, X):
            return np.full((len(X), 2), 0.5)

    members = [("best", LogisticClassifier()), ("same", LogisticClassifier(C=0.3))]
    members += [(f"blind{i}", Blind()) for i in range(4)]
    cost = {}
    for ensemble in (StackingClassifier(members, FOLDS), VotingClassifier(members)):
        ensemble.fit(X.iloc[:900], y[:900])
        before = log_loss(ensemble.predict_proba(X.iloc[900:]), y[900:])
        ensemble.members_["best"] = Broken(ensemble.members_["best"], "raises")
        with pytest.warns(DegradedWarning):
            cost[type(ensemble)] = log_loss(ensemble.predict_proba(X.iloc[900:]), y[900:]) - before
    assert cost[StackingClassifier] < 0.5 * cost[VotingClassifier]


class FailsToFit(LogisticClassifier):
    def fit(self, X, y, **options):
        raise MemoryError("not enough")


class SlowToFit(LogisticClassifier):
    def fit(self, X, y, **options):
        threading.Event().wait(60.0)
        return super().fit(X, y, **options)


@pytest.mark.parametrize("make", [lambda m, **p: StackingClassifier(m, FOLDS, **p), VotingClassifier])
@pytest.mark.parametrize("culprit,options", [(FailsToFit(), {}), (SlowToFit(), {"fit_budget": 3.0})])
def test_a_member_that_cannot_be_fitted_is_left_out(make, culprit, options):
    data, y = market(200)
    LogisticClassifier().fit(data, y)  # imports what fitting imports, which is not to count
    members = [("a", LogisticClassifier()), ("bad", culprit), ("b", LogisticClassifier(C=0.1))]
    with pytest.warns(DegradedWarning, match=r"bad \("):
        ensemble = make(members, **options).fit(data, y)
    assert list(ensemble.members_) == ["a", "b"] and list(ensemble.failures_) == ["bad"]
    again = restore(ensemble.get_state())
    assert list(again.failures_) == ["bad"]
    np.testing.assert_array_equal(again.predict_proba(data), ensemble.predict_proba(data))
    with pytest.raises(QuorumNotMet, match=r"Only 2 of 3 .* quorum is 3"):
        make(members, quorum=1.0, **options).fit(data, y)


def test_regressors_survive_too():
    data, y = market(300)
    target = y + data["f2"].to_numpy()
    members = [(f"r{i}", RidgeRegressor(alpha=10.0**i)) for i in range(4)]
    for ensemble in (StackingRegressor(members, FOLDS), VotingRegressor(members)):
        ensemble.fit(data, target)
        ensemble.members_["r0"] = Broken(ensemble.members_["r0"], "some nan")
        with pytest.warns(DegradedWarning):
            assert np.isfinite(ensemble.predict(data)).all()


def test_a_hanging_member_is_not_asked_again_while_it_hangs():
    class Hanging(Broken):
        calls = 0

        def predict_proba(self, X):
            type(self).calls += 1
            threading.Event().wait(5.0)
            return super().predict_proba(X)

    class Fine:
        def predict_proba(self, X):
            return np.full((len(X), 2), 0.5)

    members = {"hangs": Hanging(Fine(), ""), "fine": Fine()}
    started = time.perf_counter()
    for _ in range(3):
        answers = ask(members, "predict_proba", np.zeros((2, 1)), n_classes=2, budget=0.3)
        assert answers.alive.tolist() == [[False, False], [True, True]]
    assert Hanging.calls == 1 and time.perf_counter() - started < 4.0


@pytest.mark.parametrize("quorum", [0, -1, 1.5, 0.0, "half", None, True])
def test_quorums_that_mean_nothing(quorum):
    with pytest.raises(InvalidInput, match="'quorum' parameter of Stack"):
        needed(quorum, 4, "Stack")
