import dataclasses
from typing import ClassVar

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
from consilience.kernels import HMMClassifier, RegimeFeatures
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


class Counting(LogisticClassifier):
    """Remembers how many rows each fit had."""

    asked: ClassVar[list] = []

    def fit(self, X, y, **options):
        self.asked.append(len(X))
        return super().fit(X, y, **options)


def counted():
    members = [("stiff", Counting(C=0.01)), ("free", Counting(C=10.0))]
    X, y = market(400)
    stack = StackingClassifier(members, FOLDS).fit(X, y)
    Counting.asked.clear()
    return stack, members, X, y


def test_precomputed_out_of_fold_is_used_and_no_fold_is_fitted_again():
    stack, members, X, y = counted()
    again = StackingClassifier(members, FOLDS).fit(X, y, out_of_fold=stack.out_of_fold_)
    assert Counting.asked == [400, 400], "one refit per member, no folds"
    np.testing.assert_array_equal(again.predict_proba(X), stack.predict_proba(X))
    fewer = StackingClassifier(members[:1], FOLDS)
    with pytest.raises(InvalidInput, match="'out_of_fold' parameter"):
        fewer.fit(X, y, out_of_fold=stack.out_of_fold_)


def test_adding_or_removing_a_member_fits_nobody_else_again():
    stack, members, X, y = counted()
    more = StackingClassifier([*members, ("third", LogisticClassifier(C=0.1))], FOLDS)
    more.fit(X, y, out_of_fold=stack.out_of_fold_, fitted=stack.fitted_members_)
    assert Counting.asked == [] and set(more.members_) == {"stiff", "free", "third"}
    assert more.members_["free"] is stack.members_["free"]
    records, fitted = ({"free": found["free"]} for found in (more.out_of_fold_, more.fitted_members_))
    fewer = StackingClassifier(members[1:], FOLDS).fit(X, y, out_of_fold=records, fitted=fitted)
    assert Counting.asked == []
    fresh = StackingClassifier([("free", LogisticClassifier(C=10.0))], FOLDS).fit(X, y)
    np.testing.assert_allclose(fewer.predict_proba(X), fresh.predict_proba(X), atol=1e-12)
    vote = VotingClassifier(members).fit(X, y, fitted=stack.fitted_members_)
    assert Counting.asked == [] and vote.members_["free"] is stack.members_["free"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda X, y, fitted: ([("free", Counting(C=9.0))], X, y, fitted), "same class and parameters"),
        (lambda X, y, fitted: ([("free", LogisticClassifier(C=10.0))], X, y, fitted), "same class and parameters"),
        (lambda X, y, fitted: ([("free", Counting(C=10.0))], X + 1e-9, y, fitted), "fitted on others"),
        (lambda X, y, fitted: ([("free", Counting(C=10.0))], X, 1 - y, fitted), "fitted on others"),
        (lambda X, y, fitted: ([("free", Counting(C=10.0))], X.iloc[:390], y[:390], fitted), "fitted on others"),
        (lambda X, y, fitted: ([("fee", Counting(C=10.0))], X, y, fitted), "keyed by the members"),
    ],
)
def test_members_fitted_otherwise_are_refused(change, words):
    stack, _, X, y = counted()
    fitted = {"free": stack.fitted_members_["free"]}
    members, X, y, fitted = change(X, y, fitted)
    with pytest.raises(InvalidInput, match=words):
        VotingClassifier(members).fit(X, y, fitted=fitted)


def test_weights_and_a_refit_are_part_of_what_a_member_was_fitted_on():
    stack, members, X, y = counted()
    with pytest.raises(InvalidInput, match="fitted on others"):
        VotingClassifier(members).fit(X, y, fitted=stack.fitted_members_, sample_weight=np.arange(1.0, 401.0))
    stack.refit_members(X.iloc[:300], y[:300])
    with pytest.raises(InvalidInput, match="fitted on others"):
        VotingClassifier(members).fit(X, y, fitted=stack.fitted_members_)
    VotingClassifier(members).fit(X.iloc[:300], y[:300], fitted=stack.fitted_members_)


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
    """Whoever predicts a fold has learnt from labels only that were known before its first row; so has the pool."""
    seen = []

    class Spy(LogisticClassifier):
        def fit(self, X, y, **options):
            seen.append(X.index)
            return super().fit(X, y, **options)

    X, y = market(300)
    with pytest.raises(InvalidInput, match="label_end"):
        classifier(PurgedWalkForward(n_splits=3)).fit(X, y)
    ends = pd.Series(X.index.to_numpy(), X.index).shift(-10).ffill()
    stack = StackingClassifier([("spy", Spy())], PurgedWalkForward(n_splits=3)).fit(X, y, label_end=ends)
    fold = stack.out_of_fold_["spy"].fold
    starts = [X.index[fold == number][0] for number in range(3)]
    assert len(seen) == 4
    for index, start in zip(seen, starts):
        assert (ends[index] < start).all(), "a training label's interval reached into the tested rows"
        dropped = X.index[X.index < start].difference(index)
        assert len(dropped) == 10 and (ends[dropped] >= start).all(), "exactly the overlapping ones are purged"
    first = int((fold == 2).argmax())
    flipped = y.copy()
    flipped[first - 10 :] = 1 - flipped[first - 10 :]
    other = StackingClassifier([("spy", Spy())], PurgedWalkForward(n_splits=3))
    other.fit(X, flipped, label_end=ends, out_of_fold=stack.out_of_fold_)
    np.testing.assert_allclose(other.oof_.proba[fold == 2], stack.oof_.proba[fold == 2], atol=1e-12)


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


@pytest.mark.parametrize("options", [{}, {"regimes": True}, {"max_correlation": 0.999}])
def test_a_stored_stack_still_knows_its_own_record(options):
    X, y = market(400)
    regimes = RegimeFeatures(n_components=2, random_state=0) if options.pop("regimes", False) else None
    members = [("free", LogisticClassifier(C=10.0)), ("twin", LogisticClassifier(C=9.0))]
    members += [("blind", LogisticClassifier(C=1e-6))]
    stack = StackingClassifier(members, FOLDS, regimes=regimes, **options).fit(X, y)
    again = restore(stack.get_state())
    assert again.redundant_ == stack.redundant_
    np.testing.assert_array_equal(again.oof_.proba, stack.oof_.proba)
    np.testing.assert_array_equal(again.oof_.fold, stack.oof_.fold)
    fresh = StackingClassifier(members, FOLDS, regimes=regimes, **options).fit(X, y)
    assert fresh.get_state().digest() == stack.get_state().digest(), "equal fits are equal, however long they took"
    for name, record in stack.out_of_fold_.items():
        np.testing.assert_allclose(again.out_of_fold_[name].proba, record.proba, atol=1e-7)
    assert again.conformal_drift().equals(stack.conformal_drift())
    fitted = again.fitted_members_
    named = [(name, member) for name, member in members if name in fitted]
    records = again.out_of_fold_
    fresh = StackingClassifier(named, FOLDS, regimes=regimes).fit(X, y, out_of_fold=records, fitted=fitted)
    np.testing.assert_allclose(fresh.predict_proba(X), stack.predict_proba(X), atol=1e-12)


def test_weights_say_which_rows_count_more_and_not_how_many_there_are():
    X, y = market(400)
    weight = np.random.default_rng(0).uniform(0.5, 2.0, 400)
    records = classifier().fit(X, y).out_of_fold_
    pools = [classifier().fit(X, y, sample_weight=weight * k, out_of_fold=records).pool_ for k in (1e-3, 1.0, 50.0)]
    for pool in pools:
        np.testing.assert_allclose(pool.weights, pools[1].weights, rtol=1e-6)
        np.testing.assert_allclose(pool.base, pools[1].base, rtol=1e-6)
    even = classifier().fit(X, y, out_of_fold=records).pool_
    assert not np.allclose(even.weights, pools[1].weights, rtol=1e-4), "weights must have an effect"
    early = (np.arange(400) < 50).astype(float)
    with pytest.raises(InvalidInput, match="sample_weight"):
        classifier().fit(X, y, sample_weight=early, out_of_fold=records)


def test_members_in_several_processes_say_the_same():
    X, y = market(300)
    weight = np.random.default_rng(0).uniform(0.5, 2.0, 300)
    one, two = (classifier(n_jobs=n).fit(X, y, sample_weight=weight) for n in (1, 2))
    np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))
    assert not np.allclose(one.predict_proba(X), classifier().fit(X, y).predict_proba(X), atol=1e-6)


@pytest.mark.parametrize(
    ("params", "name"),
    [
        ({"fit_budget": "x"}, "fit_budget"),
        ({"fit_budget": 0}, "fit_budget"),
        ({"predict_budget": -1}, "predict_budget"),
        ({"predict_budget": np.nan}, "predict_budget"),
        ({"validation_fraction": 1.0}, "validation_fraction"),
        ({"confidence_threshold": "x"}, "confidence_threshold"),
        ({"max_correlation": "x"}, "max_correlation"),
        ({"selection": "best"}, "selection"),
        ({"quorum": 3}, "quorum"),
    ],
)
def test_wrong_parameters_are_named_before_anything_is_fitted(params, name):
    X, y = market(100)
    made = [lambda **p: classifier(**p)]
    made += [lambda **p: VotingClassifier(classifier().members, **p)] if name not in ("selection",) else []
    for make in made:
        Counting.asked.clear()
        with pytest.raises(InvalidInput, match=f"'{name}' parameter of (Stacking|Voting)Classifier must be"):
            make(**params).fit(X, y)


def over_confident(n=6000, factor=3.0, seed=0):
    """A market and members whose log-odds are too large, or with a factor below 1 too small."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.standard_normal((n, 3)), columns=list("abc"), index=pd.bdate_range("1990-01-01", periods=n))
    odds = X.to_numpy() @ [0.6, 0.4, 0.2]
    y = (rng.random(n) < 1.0 / (1.0 + np.exp(-odds))).astype(int)

    class Loud(LogisticClassifier):
        def predict_proba(self, X):
            said = super().predict_proba(X)
            loud = factor * np.log(said[:, 1] / said[:, 0])
            p = 1.0 / (1.0 + np.exp(-loud))
            return np.stack([1.0 - p, p], axis=1)

    return X, y, [("loud", Loud()), ("stiff", Loud(C=1e-3))]


@pytest.mark.parametrize("factor", [0.3, 3.0])
@pytest.mark.parametrize("final", [None, LogisticClassifier()])
def test_members_that_are_too_sure_or_too_shy_make_a_calibrated_stack(factor, final):
    X, y, members = over_confident(factor=factor)
    new, codes = X.iloc[4000:], y[4000:]
    stack = StackingClassifier(members, FOLDS, final_estimator=final).fit(X.iloc[:4000], y[:4000])
    vote = VotingClassifier(members).fit(X.iloc[:4000], y[:4000])
    assert abs(calibration_slope(stack.predict_proba(new), codes) - 1.0) < 0.25
    assert expected_calibration_error(stack.predict_proba(new), codes) < 0.035
    wrong = calibration_slope(vote.predict_proba(new), codes)
    assert wrong < 0.6 if factor > 1 else wrong > 1.7, "the members must be miscalibrated"


def calibration_slope(proba, codes):
    """The slope of a logistic regression of what came on what was said, in log-odds: 1 is calibrated."""
    odds = np.log(proba[:, 1] / proba[:, 0])[:, None]
    return float(LogisticRegression(C=1e6).fit(odds, codes).coef_[0, 0])


def expected_calibration_error(proba, codes, n_bins=10):
    """Mean distance of confidence and hits over equally filled bins."""
    order = np.array_split(np.argsort(proba[:, 1]), n_bins)
    return float(np.mean([abs(proba[rows, 1].mean() - codes[rows].mean()) for rows in order]))
