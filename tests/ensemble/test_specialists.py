import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from consilience.base import InvalidInput, InvalidState, State, restore
from consilience.boosting import LogisticClassifier, RidgeRegressor
from consilience.ensemble import RegimeSpecialistClassifier, RegimeSpecialistRegressor
from consilience.ensemble.regimes import filtered
from consilience.evaluation import PurgedWalkForward
from consilience.kernels import RegimeFeatures
from tests.contracts.predictor import check_causal, check_predictor
from tests.support.tables import log_loss

FOLDS = PurgedWalkForward(n_splits=4, label_horizon=1)


def switching(n=2000, matter=True, seed=0, rare=False):
    """Rows whose first column tells the regime, with which the second column's effect may change its sign."""
    rng = np.random.default_rng(seed)
    state = (np.cumsum(rng.random(n) < 0.02) % 2).astype(int)
    if rare:
        state = np.zeros(n, int)
        state[100:140] = 1
    values = rng.standard_normal((n, 3))
    values[:, 0] = 0.5 * values[:, 0] + 4.0 * state
    odds = 1.5 * values[:, 1] * (np.where(state == 1, -1.0, 1.0) if matter else 1.0)
    y = (rng.random(n) < 1.0 / (1.0 + np.exp(-odds))).astype(np.int64)
    index = pd.bdate_range("2012-01-02", periods=n)
    return pd.DataFrame(values, columns=["level", "gap", "noise"], index=index), y


def regimes():
    return RegimeFeatures(n_components=2, columns=["level"], random_state=0)


def specialists(folds=None, **params):
    return RegimeSpecialistClassifier(LogisticClassifier(), regimes(), folds, **params)


def losses(matter, folds=FOLDS, **params):
    """Of the specialists and of the model alone, on rows that neither has seen."""
    (X, y), (X_new, y_new) = switching(matter=matter), switching(matter=matter, seed=1)
    model = specialists(folds, **params).fit(X, y)
    alone = LogisticClassifier().fit(X, y)
    return log_loss(model.predict_proba(X_new), y_new), log_loss(alone.predict_proba(X_new), y_new), model


@pytest.mark.parametrize("hard", [False, True])
def test_specialists_win_where_regimes_matter(hard):
    own, alone, model = losses(True, hard=hard)
    assert own < alone - 0.08 and model.strength_ > 0.9


def test_and_lose_next_to_nothing_where_they_do_not():
    own, alone, model = losses(False)
    assert own < alone + 0.002 and model.strength_ < 0.5
    assert losses(False, folds=None, shrinkage=0.0)[0] > own, "walking forward must have made a difference"


def test_a_regime_of_few_rows_keeps_the_global_model():
    X, y = switching(rare=True)
    model = specialists(min_rows=100).fit(X, y)
    few = int(model.effective_rows_.argmin())
    assert model.effective_rows_[few] < 60 and model.specialists_[few] is None and model.trust_[few] == 0.0
    rows = model.regime_proba(X)[:, few] > 0.999
    assert rows.sum() > 20
    np.testing.assert_allclose(model.predict_proba(X)[rows], model.global_.predict_proba(X)[rows], atol=2e-3)
    bold = specialists(min_rows=10, shrinkage=0.0).fit(X, y)
    assert bold.specialists_[few] is not None and bold.trust_[few] == 1.0


def test_trust_grows_with_rows():
    X, y = switching(n=3000)
    trust = [specialists(shrinkage=s).fit(X, y).trust_ for s in (0.0, 200.0, 2000.0)]
    model = specialists(shrinkage=200.0).fit(X, y)
    assert (trust[0] == 1.0).all() and (trust[1] > trust[2]).all() and (trust[2] > 0.1).all()
    np.testing.assert_allclose(trust[1], model.effective_rows_ / (model.effective_rows_ + 200.0))


def test_a_hard_choice_is_the_specialist_of_the_likeliest_regime():
    X, y = switching()
    model = specialists(hard=True, shrinkage=0.0).fit(X, y)
    likely = filtered(model.regime_model_, X).argmax(axis=1)
    own = np.stack([one.predict_proba(X) for one in model.specialists_])
    np.testing.assert_allclose(model.predict_proba(X), own[likely, np.arange(len(X))], atol=2e-3)


class Leaky(PurgedWalkForward):
    def split(self, X, y=None, groups=None, *, label_end=None):
        for _, test in super().split(X, y, label_end=label_end):
            yield np.arange(test[0]), test


def test_walking_forward_is_purged():
    """The label of a row is known 30 rows later: unpurged training rows would share labels with the test rows."""
    X, y = switching(matter=False, n=600)
    ends = pd.Series(X.index.to_series().shift(-30).fillna(X.index[-1] + pd.Timedelta("60D")).array, index=X.index)
    seen = []

    class Spy(LogisticClassifier):
        def fit(self, X, y, **options):
            seen.append(X.index)
            return super().fit(X, y, **options)

    RegimeSpecialistClassifier(Spy(), regimes(), PurgedWalkForward(n_splits=2)).fit(X, y, label_end=ends)
    tests = [test for _, test in PurgedWalkForward(n_splits=2).split(X, y, label_end=ends)]
    fits = [index for index in seen if len(index) < len(X)]
    assert len(fits) >= 2
    for index in fits:
        test = next(t for t in tests if X.index[t[0]] > index[-1])
        assert (ends[index] < X.index[test[0]]).all()


def test_predictions_are_causal_and_on_a_panel():
    X, y = switching(600)
    model = specialists(FOLDS).fit(X, y)
    check_causal(model.predict_proba, X)
    assert model.lookback == model.regime_model_.lookback
    others = switching(600, seed=3)[0]
    panel = pd.concat({"a": X, "b": others}, names=["asset", "time"]).sort_index(level=["time", "asset"])
    check_causal(model.predict_proba, panel)
    place = panel.index.get_level_values("asset") == "b"
    np.testing.assert_allclose(model.predict_proba(panel)[place], model.predict_proba(others), atol=1e-9)


def test_weights_say_which_rows_count_more_and_not_how_many_there_are():
    X, y = switching(600)
    weight = np.random.default_rng(0).uniform(0.5, 2.0, 600)
    one, tiny = (specialists(FOLDS).fit(X, y, sample_weight=weight * k) for k in (1.0, 1e-3))
    np.testing.assert_allclose(tiny.predict_proba(X), one.predict_proba(X), atol=1e-9)
    assert tiny.strength_ == pytest.approx(one.strength_) and one.strength_ > 0.1
    assert not np.allclose(one.predict_proba(X), specialists(FOLDS).fit(X, y).predict_proba(X), atol=1e-4)


def test_contract():
    check_predictor(RegimeSpecialistClassifier(LogisticClassifier(), RegimeFeatures(2, columns=["f0"], random_state=0)))
    check_predictor(RegimeSpecialistRegressor(RidgeRegressor(), RegimeFeatures(2, columns=["f0"], random_state=0)))
    model = RegimeSpecialistRegressor(RidgeRegressor(), RegimeFeatures(2, columns=["f0"], random_state=0), FOLDS)
    check_predictor(model, assets=2)


FAILS = {
    "check_sample_weight_equivalence_on_dense_data": "regimes are fitted to the rows, repeated ones included",
    "check_methods_sample_order_invariance": "a row's regime depends on the rows before it",
    "check_methods_subset_invariance": "a row's regime depends on the rows before it",
}


@parametrize_with_checks(
    [
        RegimeSpecialistClassifier(LogisticClassifier(), RegimeFeatures(2, random_state=0), min_rows=5),
        RegimeSpecialistRegressor(RidgeRegressor(), RegimeFeatures(2, random_state=0), min_rows=5),
    ],
    expected_failed_checks=lambda estimator: FAILS,
)
def test_sklearn(estimator, check):
    check(estimator)


def test_values_gain_from_specialists_too():
    X, _ = switching()
    X_new, _ = switching(seed=1)
    sign = np.where(X["level"] > 2.0, -1.0, 1.0)
    sign_new = np.where(X_new["level"] > 2.0, -1.0, 1.0)
    target, target_new = sign * X["gap"].to_numpy(), sign_new * X_new["gap"].to_numpy()
    model = RegimeSpecialistRegressor(RidgeRegressor(), regimes(), FOLDS).fit(X, target)
    alone = RidgeRegressor().fit(X, target)
    assert np.mean((model.predict(X_new) - target_new) ** 2) < 0.3 * np.mean((alone.predict(X_new) - target_new) ** 2)


def test_state_comes_back_with_a_missing_specialist():
    X, y = switching(rare=True)
    model = specialists(FOLDS, min_rows=100).fit(X, y)
    state = model.get_state()
    again = restore(state)
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert again.get_state().digest() == state.digest() and None in again.specialists_
    for trust in (np.array([2.0, 0.0]), np.array([np.nan, 0.0]), np.empty(0)):
        with pytest.raises(InvalidState):
            restore(State(state.kind, state.spec, {**state.arrays, "trust": trust}, state.children))


@pytest.mark.parametrize("params", [{"min_rows": 0}, {"shrinkage": -1.0}])
def test_wrong_parameters_are_named(params):
    X, y = switching(200)
    with pytest.raises(InvalidInput, match=next(iter(params))):
        clone(specialists()).set_params(**params).fit(X, y)
