import dataclasses

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import parametrize_with_checks

from consilience.base import InvalidInput, InvalidState, State, restore
from consilience.boosting import LogisticClassifier, RidgeRegressor
from consilience.ensemble import StackingClassifier, StackingRegressor, VotingClassifier
from consilience.evaluation import PurgedKFold, PurgedWalkForward, out_of_fold
from consilience.kernels import HMMClassifier
from tests.contracts.predictor import check_predictor, market

FOLDS = PurgedWalkForward(n_splits=4, label_horizon=1)


def classifier(folds=FOLDS, **params):
    members = [("stiff", LogisticClassifier(C=0.01)), ("free", LogisticClassifier(C=10.0))]
    return StackingClassifier(members, folds, **params)


def regressor(folds=FOLDS, **params):
    return StackingRegressor([("stiff", RidgeRegressor(alpha=300.0)), ("free", RidgeRegressor())], folds, **params)


def fitted(n_rows=400):
    X, y = market(n_rows)
    return classifier().fit(X, y), X, y


@pytest.mark.parametrize("make", [classifier, regressor])
def test_contract(make):
    check_predictor(make())


@pytest.mark.parametrize("make", [classifier, regressor])
def test_contract_on_a_panel(make):
    check_predictor(make(), assets=2)


SHUFFLED = "the check's few rows are sorted by class: the first walk-forward block has one class only"
EXPECTED = {"check_sample_weight_equivalence_on_dense_data": "repeated rows move the folds' boundaries"}


@parametrize_with_checks(
    [classifier(PurgedKFold(n_splits=3, label_horizon=0)), regressor(PurgedKFold(n_splits=3, label_horizon=0))],
    expected_failed_checks=lambda estimator: EXPECTED,
)
def test_sklearn(estimator, check):
    check(estimator)


def test_oof_is_what_the_meta_learner_knew_fold_by_fold():
    stack, X, _ = fitted()
    first, second = np.unique(stack.out_of_fold_["free"].fold[stack.out_of_fold_["free"].rows])[:2]
    members = stack.out_of_fold_["free"]
    assert np.isnan(stack.oof_.proba[members.fold == first]).all(), "nothing to learn from before the first fold"
    np.testing.assert_array_equal(stack.oof_.rows, np.flatnonzero(members.fold >= second))
    np.testing.assert_allclose(stack.oof_.proba[stack.oof_.rows].sum(axis=1), 1.0)
    assert (stack.oof_.fold[stack.oof_.rows] == members.fold[stack.oof_.rows]).all()
    assert stack.oof_.proba.shape == (len(X), 2)


def test_oof_of_a_fold_ignores_the_labels_of_that_fold_and_later():
    X, y = market(400)
    stack = classifier()
    stack.fit(X, y)
    tables = stack.out_of_fold_
    start = int((tables["free"].fold == 2).argmax())
    flipped = y.copy()
    flipped[start - 1 :] = 1 - flipped[start - 1 :]
    other = classifier().fit(X, flipped, out_of_fold=tables)
    rows = stack.oof_.fold == 2
    np.testing.assert_allclose(other.oof_.proba[rows], stack.oof_.proba[rows], atol=1e-12)
    rows = stack.oof_.fold == 3
    assert not np.allclose(other.oof_.proba[rows], stack.oof_.proba[rows], atol=1e-3), "the check must be able to fail"


def test_precomputed_out_of_fold_is_used_and_nothing_is_fitted_again():
    stack, X, y = fitted()
    asked = []

    class Counting(LogisticClassifier):
        def fit(self, X, y, **options):
            asked.append(len(X))
            return super().fit(X, y, **options)

    members = [("stiff", Counting(C=0.01)), ("free", Counting(C=10.0))]
    again = StackingClassifier(members, FOLDS).fit(X, y, out_of_fold=stack.out_of_fold_)
    assert asked == [400, 400], "one refit per member, no folds"
    np.testing.assert_array_equal(again.predict_proba(X), stack.predict_proba(X))
    fewer = StackingClassifier(members[:1], FOLDS)
    fewer.fit(X, y, out_of_fold={"stiff": stack.out_of_fold_["stiff"]})
    assert asked == [400] * 3
    with pytest.raises(InvalidInput, match="'out_of_fold' parameter"):
        fewer.fit(X, y, out_of_fold=stack.out_of_fold_)


def test_out_of_fold_from_other_folds_is_refused():
    stack, X, y = fitted()
    other = out_of_fold(LogisticClassifier(), X, y, PurgedWalkForward(n_splits=3, label_horizon=1))
    with pytest.raises(InvalidInput, match="other folds"):
        classifier().fit(X, y, out_of_fold={**stack.out_of_fold_, "free": other})


def test_explain_sums_to_the_prediction():
    stack, X, _ = fitted()
    said = stack.explain(X)
    log_odds = np.log(said.proba[:, 1] / said.proba[:, 0])
    np.testing.assert_allclose(said.base[:, 0] + said.contributions[:, :, 0].sum(axis=0), log_odds, atol=1e-9)
    np.testing.assert_array_equal(said.prediction, stack.predict(X))
    frame = said.frame(X.index)
    assert frame.index.equals(X.index) and {"prediction", "confidence", "from_free"} <= set(frame.columns)
    values = regressor().fit(X, X["f0"].to_numpy()).explain(X)
    np.testing.assert_allclose(values.base + values.contributions.sum(axis=0), values.prediction, atol=1e-9)


def test_label_end_is_needed_and_purges():
    X, y = market(300)
    with pytest.raises(InvalidInput, match="label_end"):
        classifier(PurgedWalkForward(n_splits=3)).fit(X, y)
    ends = pd.Series(X.index.to_numpy(), X.index).shift(-10).ffill()
    stack = classifier(PurgedWalkForward(n_splits=3)).fit(X, y, label_end=ends)
    assert (stack.evidence_.end > stack.evidence_.begin).any()


def test_members_that_stop_early_get_a_purged_tail_on_refit():
    seen = []

    class Stopping(LogisticClassifier):
        uses_validation = True

        def fit(self, X, y, *, sample_weight=None, validation=None):
            seen.append((X.index[-1], validation[0].index[0], len(X) + len(validation[0])))
            return super().fit(X, y, sample_weight=sample_weight)

    X, y = market(300)
    ends = pd.Series(X.index.to_numpy(), X.index).shift(-10).ffill()
    StackingClassifier([("a", Stopping())], PurgedWalkForward(n_splits=3)).fit(X, y, label_end=ends)
    last, first, size = seen[-1]
    assert first > ends[last] and size < 300


def test_progress_and_refit_on_more_rows():
    X, y = market(400)
    steps = []
    stack = classifier().fit(X.iloc[:300], y[:300], on_member=lambda *step: steps.append(step))
    assert [step[:3] for step in steps] == [("stiff", 1, 2), ("free", 2, 2)]
    pool, before = stack.pool_, stack.predict_proba(X)
    stack.refit_members(X, y)
    assert stack.pool_ is pool and not np.array_equal(stack.predict_proba(X), before)
    fresh = clone(stack.members[1][1]).fit(X, y)
    np.testing.assert_array_equal(stack.members_["free"].predict_proba(X), fresh.predict_proba(X))


def test_a_stack_is_a_predictor_and_can_be_a_member():
    X, y = market(500)
    inner = classifier(PurgedWalkForward(n_splits=3, label_horizon=1))
    outer = StackingClassifier([("inner", inner), ("free", LogisticClassifier())], FOLDS).fit(X, y)
    assert outer.predict_proba(X).shape == (500, 2)
    np.testing.assert_array_equal(restore(outer.get_state()).predict_proba(X), outer.predict_proba(X))


def test_three_classes():
    X, _ = market(500)
    y = np.array(["down", "flat", "up"])[np.digitize(X["f0"], [-0.5, 0.5])]
    stack = classifier().fit(X, y)
    proba = stack.predict_proba(X)
    assert proba.shape == (500, 3) and stack.score(X, y) > 0.7
    assert stack.explain(X).contributions.shape == (2, 500, 2)
    np.testing.assert_array_equal(restore(stack.get_state()).predict_proba(X), proba)


@pytest.mark.parametrize(
    "name,change",
    [
        ("pool_weights", lambda a: a * np.inf),
        ("pool_weights", lambda a: a[0]),
        ("pool_base", lambda a: a * 3),
        ("pool_base", lambda a: a * np.nan),
        ("pool_centre", lambda a: a.astype(np.int64)),
        ("oof_target", lambda a: a + 5),
        ("oof_outputs", lambda a: a + 5),
        ("oof_outputs", lambda a: a[:, :-1]),
        ("oof_rows", lambda a: a[:-1]),
        ("oof_prior", lambda a: a[:1]),
    ],
)
def test_damaged_states_are_refused(name, change):
    state = fitted()[0].get_state()
    arrays = {**state.arrays, name: change(state.arrays[name])}
    with pytest.raises(InvalidState):
        restore(dataclasses.replace(state, arrays=arrays))


@pytest.mark.parametrize(
    "spec",
    [
        {"fitted": {"members": ["stiff", "nobody"]}},
        {"fitted": {"members": []}},
        {"fitted": {}},
        {"params": {"members": ["stiff"], "folds": {"kind": "os.system", "params": {}}}},
        {"params": {"members": ["stiff"], "folds": {"kind": "PurgedKFold", "params": {"n_splits": -3}}}},
        {"params": {"members": ["stiff"], "folds": None, "surprise": 1}},
    ],
)
def test_damaged_specs_are_refused(spec):
    state = fitted()[0].get_state()
    with pytest.raises(InvalidState):
        restore(State(state.kind, {**state.spec, **spec}, state.arrays, state.children))


def test_foreign_members_work_but_cannot_be_stored():
    X, y = market(300)
    stack = StackingClassifier([("sk", LogisticRegression()), ("own", LogisticClassifier())], FOLDS).fit(X, y)
    assert stack.predict_proba(X).shape == (300, 2)
    with pytest.raises(InvalidState, match="'sk'"):
        stack.get_state()


@pytest.mark.parametrize("members", [[], None, [("a",)], [("a", LogisticClassifier()), ("a", LogisticClassifier())]])
def test_member_lists_that_cannot_be_used(members):
    X, y = market(100)
    with pytest.raises(InvalidInput, match="'members' parameter of StackingClassifier"):
        StackingClassifier(members, FOLDS).fit(X, y)


def test_nested_parameters_reach_the_members():
    stack = classifier().set_params(free__C=3.0)
    assert stack.get_params()["free__C"] == 3.0 and dict(stack.members)["free"].C == 3.0


@pytest.mark.parametrize("n", [1, 7])
def test_the_newest_rows_alone_are_predicted_as_with_all(n):
    X, y = market(400)
    members = [("hmm", HMMClassifier(n_components=2, random_state=0)), ("free", LogisticClassifier())]
    for ensemble in (StackingClassifier(members, FOLDS), VotingClassifier(members)):
        ensemble.fit(X, y)
        expected = ensemble.predict_proba(X)[-n:]
        np.testing.assert_allclose(ensemble.predict_newest_proba(X, n), expected, atol=1e-6)
        np.testing.assert_allclose(ensemble.predict_newest_proba(X[X.columns[::-1]], n), expected, atol=1e-6)
    values = regressor().fit(X, X["f0"].to_numpy())
    np.testing.assert_allclose(values.predict_newest(X, n), values.predict(X)[-n:], atol=1e-9)
    with pytest.raises(InvalidInput, match="'n' parameter"):
        ensemble.predict_newest_proba(X, 0)
