import dataclasses
import threading
import time
import warnings
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from consilience.base import ConsilienceError, InvalidInput, restore
from consilience.boosting import LogisticClassifier, RidgeRegressor
from consilience.ensemble import (
    DegradedWarning,
    QuorumNotMet,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from consilience.ensemble.combination import Combination
from consilience.ensemble.failures import ask
from consilience.ensemble.shrinkage import fit_pool
from consilience.ensemble.weight_search import searched_weights
from consilience.evaluation import PurgedWalkForward
from tests.contracts.predictor import check_causal, market
from tests.ensemble.breaking import Broken, FailsOnAllRows, FailsToFit, SlowToFit, SpoiltOutOfFold
from tests.support.tables import log_loss

FOLDS = PurgedWalkForward(n_splits=4, label_horizon=1)
STRENGTHS = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 10.0]


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
    """All 255 ways to lose at least one of eight members; every ninth of them, and the last, in the short version."""
    whole, names = stack.predict_proba(X), list(stack.members_)
    seen, covered = 0, set()
    for size in range(1, 9):
        for lost in combinations(names, size):
            seen += 1
            if seen % every and seen < 255:
                continue
            ensemble = broken(lost, "nan" if size % 2 else "raises")
            if 8 - size >= 4:
                with pytest.warns(DegradedWarning):
                    proba = ensemble.predict_proba(X)
                assert proba.shape == (60, 2) and np.isfinite(proba).all()
                np.testing.assert_allclose(proba.sum(axis=1), 1.0)
            else:
                with pytest.raises(QuorumNotMet, match=f"Only {8 - size} of 8"):
                    ensemble.predict_proba(X)
            covered.add(size)
    assert seen == 255 and 8 in covered
    np.testing.assert_array_equal(broken([], "").predict_proba(X), whole)


def test_subset_pools_survive_storage(broken, stack):
    again = restore(stack.get_state())
    with pytest.warns(DegradedWarning):
        expected = broken(["m0", "m5"], "raises").predict_proba(X)
        again.members_ = {
            name: Broken(model, "raises" if name in ("m0", "m5") else "") for name, model in again.members_.items()
        }
        np.testing.assert_allclose(again.predict_proba(X), expected, atol=1e-9)


def test_when_all_members_refuse_the_input_the_first_ones_error_says_why(stack):
    with pytest.raises(QuorumNotMet, match="Only 0 of 8") as caught:
        stack.predict_proba(np.full((3, 4), np.nan))
    assert isinstance(caught.value, InvalidInput) and "NaN" in str(caught.value)
    assert isinstance(caught.value.__cause__, ValueError)


def test_when_all_members_break_it_is_the_quorum(broken):
    with pytest.raises(QuorumNotMet, match="the file is gone") as caught:
        broken([f"m{i}" for i in range(8)], "raises").predict_proba(X)
    assert not isinstance(caught.value, ValueError) and isinstance(caught.value.__cause__, RuntimeError)


def test_when_all_members_are_too_slow_it_is_the_quorum(broken, stack):
    stack.predict_budget = 0.05
    with pytest.raises(QuorumNotMet, match="no answer within") as caught:
        broken([f"m{i}" for i in range(8)], "slow").predict_proba(X)
    assert isinstance(caught.value.__cause__, ConsilienceError)


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


@pytest.mark.parametrize("make", [lambda m, **p: StackingClassifier(m, FOLDS, **p), VotingClassifier])
@pytest.mark.parametrize("culprit,options", [(FailsToFit(), {}), (SlowToFit(), {"fit_budget": 0.2})])
def test_when_no_member_can_be_fitted_it_is_the_quorum(make, culprit, options):
    data, y = market(200)
    with pytest.raises(QuorumNotMet, match="Only 0 of 2") as caught:
        make([("a", culprit), ("b", culprit)], **options).fit(data, y)
    assert any(words in str(caught.value) for words in ("not enough", "no answer within", "still works"))
    assert caught.value.__cause__ is not None


def of_weights(weights):
    return lambda members, **options: VotingClassifier(members, weights=weights, folds=FOLDS, **options)


@pytest.mark.parametrize("make", [lambda m, **p: StackingClassifier(m, FOLDS, **p), of_weights("simplex")])
@pytest.mark.parametrize("how", ["nan", "some nan", "shape", "not a distribution"])
def test_a_member_whose_out_of_fold_answers_are_of_no_use_is_left_out(make, how):
    data, y = market(240)
    members = [("a", LogisticClassifier()), ("bad", SpoiltOutOfFold(how)), ("b", LogisticClassifier(C=0.1))]
    with pytest.warns(DegradedWarning, match=r"bad \("):
        ensemble = make(members).fit(data, y)
    assert list(ensemble.members_) == ["a", "b"] and list(ensemble.failures_) == ["bad"]
    alone = make([members[0], members[2]]).fit(data, y)
    assert ensemble.evidence_.n_rows == alone.evidence_.n_rows == 192, "no row is lost for the others"
    np.testing.assert_array_equal(ensemble.predict_proba(data), alone.predict_proba(data))


@pytest.mark.parametrize("make", [lambda m, **p: StackingClassifier(m, FOLDS, **p), of_weights("greedy")])
def test_a_member_that_fails_on_all_rows_after_its_folds_is_left_out(make):
    data, y = market(220)
    members = [("a", LogisticClassifier()), ("late", FailsOnAllRows(C=10.0)), ("b", LogisticClassifier(C=0.1))]
    with pytest.warns(DegradedWarning, match=r"late \(MemoryError"):
        ensemble = make(members).fit(data, y)
    alone = make([members[0], members[2]]).fit(data, y)
    np.testing.assert_array_equal(ensemble.predict_proba(data), alone.predict_proba(data))
    assert ensemble.weights_ == alone.weights_


def test_a_member_that_never_saw_a_class_says_nothing_of_it():
    class Two:
        classes_ = np.array(["a", "c"])

        def predict_proba(self, X):
            return np.tile([0.25, 0.75], (len(X), 1))

    labels = np.array(["a", "b", "c"])
    answers = ask({"two": Two()}, "predict_proba", np.zeros((2, 1)), classes=labels)
    assert answers.alive is None and answers.outputs.tolist() == [[[0.25, 0.0, 0.75]] * 2]
    other = ask({"two": Two()}, "predict_proba", np.zeros((2, 1)), classes=np.array(["x", "y", "z"]))
    assert not other.alive.any(), "labels that the ensemble does not know are no answer"


class StopsEarly(LogisticClassifier):
    uses_validation = True

    def fit(self, X, y, *, sample_weight=None, validation=None):
        return super().fit(X, y, sample_weight=sample_weight)


def test_a_member_whose_tail_took_a_class_away_still_answers():
    """The third class appears in the newest rows only, which whoever stops early watches and does not learn from."""
    data, y = market(400)
    y = np.where(np.arange(400) >= 360, 2, y)
    members = [("early", StopsEarly()), ("all", LogisticClassifier())]
    stack = StackingClassifier(members, FOLDS).fit(data, y)
    assert len(stack.members_["early"].classes_) == 2
    with warnings.catch_warnings(action="error", category=DegradedWarning):
        assert stack.predict_proba(data).shape == (400, 3)


def test_subsets_of_searched_votes_are_searched_again_from_the_table():
    data, y = market(400)
    members = [(name, LogisticClassifier(C=C)) for name, C in (("free", 10.0), ("twin", 9.0), ("stiff", 1e-3))]
    for method in ("simplex", "greedy", "performance"):
        vote = VotingClassifier(members, weights=method, folds=FOLDS).fit(data, y)
        for ensemble in (vote, restore(vote.get_state())):
            found = ensemble.members_
            expected = searched_weights(vote.evidence_.members(np.array([1, 2])), method)
            parts = np.stack([found[name].predict_proba(X) for name in ("twin", "stiff")])
            ensemble.members_ = {**found, "free": Broken(found["free"], "raises")}
            with pytest.warns(DegradedWarning):
                said = ensemble.predict_proba(X)
            np.testing.assert_allclose(said, np.tensordot(expected, parts, axes=1), atol=1e-6)
    given = VotingClassifier(members, weights=[2.0, 1.0, 1.0]).fit(data, y)
    parts = np.stack([given.members_[name].predict_proba(X) for name in ("free", "stiff")])
    given.members_["twin"] = Broken(None, "raises")
    with pytest.warns(DegradedWarning):
        np.testing.assert_allclose(given.predict_proba(X), (2 * parts[0] + parts[1]) / 3, atol=1e-12)


@pytest.mark.parametrize("classifies", [True, False])
def test_sets_of_degraded_rows_hold_what_they_promise(classifies):
    """Exchangeable rows; the member that knows is gone, so the scores of the whole stack would be far too small."""
    rng = np.random.default_rng(0)
    hidden = rng.standard_normal((4000, 2))
    data = pd.DataFrame(hidden, columns=["seen", "told"])
    target = hidden.sum(axis=1) + 0.2 * rng.standard_normal(4000)
    kind, make = (ColumnClassifier, StackingClassifier) if classifies else (ColumnRegressor, StackingRegressor)
    y = (target > 0).astype(int) if classifies else target
    members = [("told", kind("told")), ("seen", kind("seen")), ("both", kind(None))]
    stack = make(members, FOLDS, quorum=1).fit(data.iloc[:2000], y[:2000])
    stack.members_["both"] = Broken(stack.members_["both"], "raises")
    stack.members_["told"] = Broken(stack.members_["told"], "raises")
    with pytest.warns(DegradedWarning):
        said = stack.explain(data.iloc[2000:], coverage=0.8)
    later = y[2000:]
    held = (
        said.conformal[np.arange(2000), later]
        if classifies
        else np.abs(said.conformal.mean(axis=1) - later) <= (said.conformal[:, 1] - said.conformal[:, 0]) / 2
    )
    assert abs(held.mean() - 0.8) < 0.03 and said.degraded.all()


class ColumnClassifier(LogisticClassifier):
    """Sees one column only, or all."""

    def __init__(self, column=None):
        super().__init__()
        self.column = column

    def _seen(self, X):
        return X if self.column is None else X.assign(**{name: 0.0 for name in X if name != self.column})

    def fit(self, X, y, **options):
        return super().fit(self._seen(X), y, **options)

    def predict_proba(self, X):
        return super().predict_proba(self._seen(X))


class ColumnRegressor(RidgeRegressor):
    def __init__(self, column=None):
        super().__init__()
        self.column = column

    _seen = ColumnClassifier._seen

    def fit(self, X, y, **options):
        return super().fit(self._seen(X), y, **options)

    def predict(self, X):
        return super().predict(self._seen(X))


def test_a_share_is_of_the_configured_members_also_after_some_were_lost_at_fit():
    data, y = market(200)
    members = [("bad", FailsToFit()), ("a", LogisticClassifier()), ("b", LogisticClassifier(C=0.1))]
    for make in (lambda m, **p: StackingClassifier(m, FOLDS, **p), VotingClassifier):
        with pytest.warns(DegradedWarning):
            ensemble = make(members, quorum=0.5).fit(data, y)
        for again in (ensemble, restore(ensemble.get_state())):
            again.members_["a"] = Broken(again.members_["a"], "raises")
            with pytest.raises(QuorumNotMet, match="Only 1 of 3 members answered and the quorum is 2"):
                again.predict_proba(data)


def test_a_member_speaks_for_those_that_repeat_it():
    data, y = market(300)
    members = [("free", LogisticClassifier(C=10.0)), ("twin", LogisticClassifier(C=9.0))]
    members += [("blind", LogisticClassifier(C=1e-6))]
    stack = StackingClassifier(members, FOLDS, max_correlation=0.999, quorum=2).fit(data, y)
    ((_, leader),) = stack.redundant_.items()
    stack = restore(stack.get_state())
    kept = dict(stack.members_)
    stack.members_ = {**kept, "blind": Broken(kept["blind"], "raises")}
    with pytest.warns(DegradedWarning):
        assert len(stack.predict_proba(data)) == 300
    stack.members_ = {**kept, leader: Broken(kept[leader], "raises")}
    with pytest.raises(QuorumNotMet, match="Only 1 of 3"):
        stack.predict_proba(data)


def test_pools_prepared_in_advance_are_those_that_are_needed(stack):
    """As many as there are ways to lose up to two of eight, none below the quorum."""
    own, stack.combination_ = (
        stack.combination_,
        Combination(
            stack.combination_.source, stack.pool_, None, dataclasses.replace(stack.quorum_, required=7), "Stack"
        ),
    )
    try:
        stack.combination_.prepare(2)
        assert {len(present) for present, _ in stack.combination_._pools} == {7, 8}
        assert len(stack.combination_._pools) == 9
    finally:
        stack.combination_ = own


def test_degraded_rows_stay_causal(broken, stack):
    """A member that fails for later rows must not change what is said about earlier ones."""

    class FailsLate(Broken):
        def predict_proba(self, X):
            answer = self.model.predict_proba(X)
            answer[50:] = np.nan
            return answer

    members = stack.members_
    stack.members_ = {**members, "m3": FailsLate(members["m3"], "")}
    try:
        with warnings.catch_warnings(action="ignore"):
            check_causal(stack.predict_proba, X)
    finally:
        stack.members_ = members


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
        answers = ask(members, "predict_proba", np.zeros((2, 1)), classes=np.array([0, 1]), budget=0.3)
        assert answers.alive.tolist() == [[False, False], [True, True]]
    assert Hanging.calls == 1 and time.perf_counter() - started < 4.0


def test_a_stack_that_lost_its_best_member_is_the_stack_that_never_had_it():
    """Members that know one column each: what the others know is all that is left, and the stack makes all of it."""
    data, y = market(1200, seed=5)
    members = [(name, ColumnClassifier(name)) for name in ("f0", "f1", "f2", "f3")]
    known, late = data.iloc[:900], data.iloc[900:]
    stack, never = (StackingClassifier(some, FOLDS).fit(known, y[:900]) for some in (members, members[1:]))
    vote = VotingClassifier(members).fit(known, y[:900])
    whole = log_loss(stack.predict_proba(late), y[900:])
    for ensemble in (stack, vote):
        ensemble.members_["f0"] = Broken(ensemble.members_["f0"], "raises")
    with pytest.warns(DegradedWarning):
        left = stack.predict_proba(late)
    np.testing.assert_allclose(left, never.predict_proba(late), atol=1e-9)
    assert log_loss(left, y[900:]) > whole + 0.05, "the best member must have been worth something"
    with pytest.warns(DegradedWarning):
        assert log_loss(left, y[900:]) < log_loss(vote.predict_proba(late), y[900:])
