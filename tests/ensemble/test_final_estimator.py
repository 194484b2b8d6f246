import dataclasses

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from consilience.base import InvalidInput, InvalidState, restore
from consilience.boosting import LogisticClassifier, RidgeRegressor
from consilience.ensemble import DegradedWarning, StackingClassifier, StackingRegressor
from consilience.ensemble.final_estimator import fit_final, meta_features
from consilience.evaluation import PurgedWalkForward
from consilience.kernels import HMMClassifier, RegimeFeatures
from tests.contracts.predictor import check_predictor, market
from tests.ensemble.breaking import Broken
from tests.support.tables import log_loss, table

FOLDS = PurgedWalkForward(n_splits=4, label_horizon=1)
MEMBERS = [("stiff", LogisticClassifier(C=0.01)), ("free", LogisticClassifier())]


def stack(**options):
    return StackingClassifier(MEMBERS, FOLDS, final_estimator=LogisticClassifier(), **options)


@pytest.mark.parametrize("options", [{}, {"passthrough": True, "regimes": RegimeFeatures(2, random_state=0)}])
def test_contract(options):
    check_predictor(stack(**options), atol=1e-6)


def test_contract_of_the_regressor():
    members = [("stiff", RidgeRegressor(alpha=300.0)), ("free", RidgeRegressor())]
    check_predictor(StackingRegressor(members, FOLDS, final_estimator=RidgeRegressor(), passthrough=True))


def test_meta_features_are_log_odds_regimes_and_columns():
    outputs = np.array([[[0.25, 0.75]], [[0.5, 0.5]]])
    found = meta_features(outputs, np.array([[0.1, 0.9]]), np.array([[7.0]]))
    np.testing.assert_allclose(found, [[np.log(3.0), 0.0, 0.1, 0.9, 7.0]])


def test_an_estimator_that_overfits_noise_is_pulled_to_the_base_rate():
    excess = []
    for seed in range(10):
        data, later = table(signal=0.0, seed=seed, n=800), table(signal=0.0, seed=seed + 100, n=4000)
        final, _ = fit_final(LogisticClassifier(C=1e6), data, None)
        said = final.combine(later.outputs, None, None)
        excess.append(log_loss(said, later.target) - log_loss(np.tile(final.pool.base, (4000, 1)), later.target))
    assert np.mean(excess) < 0.0005 and max(excess) < 0.002


def test_it_learns_to_turn_members_round():
    data, later = table(signal=1.5, n=3000), table(signal=1.5, n=5000, seed=9)
    final, _ = fit_final(LogisticClassifier(), dataclasses.replace(data, outputs=data.outputs[:, :, ::-1].copy()), None)
    said = final.combine(later.outputs[:, :, ::-1], None, None)
    assert log_loss(said, later.target) < 0.6


def test_walk_forward_of_the_meta_learner_is_causal():
    X, y = market(500)
    first = stack().fit(X, y)
    start = int((first.oof_.fold == 3).argmax())
    flipped = y.copy()
    flipped[start - 1 :] = 1 - flipped[start - 1 :]
    other = stack().fit(X, flipped, out_of_fold=first.out_of_fold_)
    rows = first.oof_.fold == 3
    np.testing.assert_allclose(other.oof_.proba[rows], first.oof_.proba[rows], atol=1e-9)
    assert rows.any() and not (first.oof_.fold == 1).any(), "two folds go by before the meta-learner can be judged"


def test_explanation_sums_and_passes_columns_through():
    X, y = market(400)
    model = stack(passthrough=True).fit(X, y)
    said = model.explain(X)
    log_odds = np.log(said.proba[:, 1] / said.proba[:, 0])
    np.testing.assert_allclose(said.base[:, 0] + said.contributions[:, :, 0].sum(axis=0), log_odds, atol=1e-9)
    np.testing.assert_allclose(model.predict_newest_proba(X, 5), model.predict_proba(X)[-5:], atol=1e-9)
    assert model.final_.model.n_features_in_ == 2 + X.shape[1]


def test_rows_in_which_a_member_is_missing_are_answered_by_the_pool_and_no_others():
    X, y = market(400)
    model = stack().fit(X, y)
    whole = model.predict_proba(X)
    members = model.members_
    model.members_ = {**members, "stiff": Broken(members["stiff"], "some nan")}
    with pytest.warns(DegradedWarning):
        proba = model.predict_proba(X)
    with pytest.warns(DegradedWarning):
        said = model.explain(X)
    lost = np.arange(400) % 3 == 0
    np.testing.assert_array_equal(proba[~lost], whole[~lost])
    pool = model.combination_.pool_for((1,))
    np.testing.assert_allclose(proba[lost], pool.combine(members["free"].predict_proba(X)[None])[lost])
    np.testing.assert_array_equal(said.degraded, lost)
    np.testing.assert_array_equal(said.proba, proba)
    odds = np.log(proba[:, 1] / proba[:, 0])
    np.testing.assert_allclose(said.base[:, 0] + said.contributions[:, :, 0].sum(axis=0), odds, atol=1e-9)


class NotAnyMore(LogisticClassifier):
    """Refuses inputs once it is told to."""

    def predict_proba(self, X):
        if getattr(self, "broken_", False):
            raise RuntimeError("gone")
        return super().predict_proba(X)


def test_a_final_estimator_that_breaks_is_replaced_by_the_pool():
    X, y = market(400)
    model = StackingClassifier(MEMBERS, FOLDS, final_estimator=NotAnyMore()).fit(X, y)
    model.final_.model.broken_ = True
    with pytest.warns(DegradedWarning, match="final_estimator"):
        said = model.explain(X)
    outputs = np.stack([member.predict_proba(X) for member in model.members_.values()])
    np.testing.assert_allclose(said.proba, model.pool_.combine(outputs))
    assert said.degraded.all() and "final_estimator" in said.left_out


class Forgiving(LogisticClassifier):
    """Tolerates missing numbers."""

    def fit(self, X, y, **options):
        return super().fit(np.nan_to_num(np.asarray(X)), y, **options)

    def predict_proba(self, X):
        return super().predict_proba(np.nan_to_num(np.asarray(X)))


@pytest.mark.parametrize("options", [{"passthrough": True, "final_estimator": LogisticClassifier()}, {}])
def test_a_missing_number_costs_its_own_row_only(options):
    """Members that tolerate NaN, next to a regime model or a final estimator that does not: flagged, and causal."""
    X, y = market(400)
    members = [("a", Forgiving()), ("b", Forgiving(C=1e-3))]
    model = StackingClassifier(members, FOLDS, regimes=RegimeFeatures(2, random_state=0), **options).fit(X, y)
    whole = model.predict_proba(X)
    holed = X.copy()
    holed.iloc[300, 3] = np.nan
    with pytest.warns(DegradedWarning):
        said = model.explain(holed)
    np.testing.assert_allclose(said.proba[:300], whole[:300], atol=1e-9)
    assert said.degraded[300] and not said.degraded[:300].any() and not said.degraded[301:].any()
    assert np.isfinite(said.proba).all() and np.isnan(said.regime[300]).all()
    with pytest.warns(DegradedWarning):
        one = model.predict_newest_proba(holed.iloc[:301], 1)
    np.testing.assert_allclose(one, said.proba[300:301], atol=1e-9)
    outputs = np.stack([member.predict_proba(holed) for member in model.members_.values()])[:, 300:301]
    pool = model.combination_.pool_for((0, 1), regimes=False)
    assert len(pool.weights) == 1, "weights that know no regimes"
    np.testing.assert_allclose(said.proba[300:301], pool.combine(outputs), atol=1e-9)


def test_weights_are_those_of_what_answers():
    X, y = market(600)
    model = StackingClassifier(MEMBERS, FOLDS, final_estimator=LogisticRegression()).fit(X, y)
    expected = model.final_.pool.weights[0, 0] * model.final_.model.coef_[0]
    np.testing.assert_allclose(list(model.weights_.values()), expected, rtol=0.15)  # clipped where it is sure
    assert not np.allclose(expected, model.pool_.weights[0], rtol=0.01), "the pool's are others"
    own = stack().fit(X, y)
    assert restore(own.get_state()).weights_ == own.weights_


def test_a_final_estimator_that_looks_back_is_refused():
    X, y = market(300)
    lagging = HMMClassifier(2, window=5, random_state=0)

    class Lagging(LogisticClassifier):
        lookback = 3

    for final in (Lagging(), lagging):
        with pytest.raises(InvalidInput, match="'final_estimator' parameter of"):
            StackingClassifier(MEMBERS, FOLDS, final_estimator=final).fit(X, y)


def test_one_fold_is_too_few_for_a_final_estimator():
    X, y = market(300)
    with pytest.raises(InvalidInput, match="'folds' parameter of a stack with a final_estimator"):
        StackingClassifier(
            MEMBERS, PurgedWalkForward(n_splits=1, label_horizon=1), final_estimator=LogisticClassifier()
        ).fit(X, y)


def test_damaged_or_foreign_final_estimators_are_refused():
    X, y = market(400)
    state = stack().fit(X, y).get_state()
    with pytest.raises(InvalidState):
        restore(dataclasses.replace(state, arrays={**state.arrays, "final_weights": np.array([[np.nan]])}))
    with pytest.raises(InvalidState):
        restore(dataclasses.replace(state, children={k: v for k, v in state.children.items() if k != "_final"}))
    foreign = StackingClassifier(MEMBERS, FOLDS, final_estimator=LogisticRegression()).fit(X, y)
    with pytest.raises(InvalidState, match="final_estimator"):
        foreign.get_state()
