import dataclasses

import numpy as np
import pytest

from consilience.base import CATALOG, InvalidInput, restore
from consilience.boosting import LogisticClassifier, RidgeRegressor
from consilience.ensemble import StackingClassifier, StackingRegressor
from consilience.ensemble.selection import fit_specialists, said_by_specialists
from consilience.evaluation import PurgedWalkForward
from consilience.kernels import RegimeFeatures
from tests.contracts.predictor import check_causal, check_predictor
from tests.ensemble.test_regimes import specialists
from tests.ensemble.test_specialists import switching
from tests.support.tables import log_loss, table

FOLDS = PurgedWalkForward(n_splits=4, label_horizon=1)


class Calm(LogisticClassifier):
    """Fitted on the rows of the low level only: right there, wrong elsewhere."""

    def fit(self, X, y, **options):
        low = np.asarray(X)[:, 0] < 2.0
        return super().fit(X[low], y[low])


class Wild(LogisticClassifier):
    def fit(self, X, y, **options):
        high = np.asarray(X)[:, 0] > 2.0
        return super().fit(X[high], y[high])


def stack(**params):
    regimes = RegimeFeatures(n_components=2, columns=["level"], random_state=0)
    members = [("calm", Calm()), ("wild", Wild()), ("whole", LogisticClassifier())]
    return StackingClassifier(members, FOLDS, regimes=regimes, selection="specialist", **params)


def test_each_regime_gets_its_specialist():
    data, later = specialists(seed=0, blur=0.1), specialists(seed=1000, blur=0.1)
    pool = fit_specialists(data)
    np.testing.assert_array_equal(pool.weights, np.eye(2))
    said = pool.combine(later.outputs, later.regimes)
    best = min(log_loss(one, later.target) for one in later.outputs)
    assert log_loss(said, later.target) < best - 0.05


def test_a_regime_of_few_rows_keeps_the_member_that_is_best_overall():
    data = table(n=2000, n_members=2, signal=2.0, noise=0.2)
    data = dataclasses.replace(data, outputs=np.stack([data.outputs[0], np.full((2000, 2), 0.5)]))
    wrong = np.flatnonzero(data.target != data.outputs[0].argmax(axis=1))
    for n_wrong, same in ((4, True), (400, False)):
        rare = np.tile([1.0, 0.0], (2000, 1))
        rare[wrong[:n_wrong]] = [0.0, 1.0]
        weights = fit_specialists(dataclasses.replace(data, regimes=rare)).weights
        assert weights[0, 0] == 1.0 and (weights[1] == weights[0]).all() == same


def test_where_nobody_beats_the_base_rate_nobody_speaks():
    data = specialists(seed=0)
    rng = np.random.default_rng(0)
    noise = dataclasses.replace(data, target=rng.integers(0, 2, data.n_rows))
    assert not fit_specialists(noise).weights.any()


def test_what_was_said_of_a_fold_ignores_its_labels():
    data = specialists(seed=0)
    before = said_by_specialists(data)
    flipped = data.target.copy()
    flipped[data.fold >= 2] = 1 - flipped[data.fold >= 2]
    after = said_by_specialists(dataclasses.replace(data, target=flipped))
    np.testing.assert_array_equal(after[2], before[2])
    assert not np.array_equal(after[3], before[3])


def test_a_stack_selects_explains_stores_and_survives(monkeypatch):
    (X, y), (X_new, y_new) = switching(1500), switching(seed=1)
    model = stack().fit(X, y)
    assert log_loss(model.predict_proba(X_new), y_new) < min(
        log_loss(one.predict_proba(X_new), y_new) for one in model.members_.values()
    )
    check_causal(model.predict_proba, X.iloc[:300])
    told = model.explain(X_new.iloc[:300])
    odds = np.log(told.proba[:, 1] / told.proba[:, 0])
    np.testing.assert_allclose(told.base[:, 0] + told.contributions[:, :, 0].sum(axis=0), odds, atol=1e-9)
    assert ((told.contributions != 0.0).sum(axis=0) <= 1).all()
    monkeypatch.setitem(CATALOG, "Calm", "tests.ensemble.test_selection")
    monkeypatch.setitem(CATALOG, "Wild", "tests.ensemble.test_selection")
    again = restore(model.get_state())
    np.testing.assert_array_equal(again.predict_proba(X_new), model.predict_proba(X_new))
    for one in (model, again):
        one.members_["calm"].predict_proba = None
        with pytest.warns(UserWarning, match="calm"):
            left = one.predict_proba(X_new)
        assert np.isfinite(left).all() and (one.combination_.pool_for((1, 2)).weights.sum(axis=1) <= 1.0).all()


def test_contract_of_values():
    regimes = RegimeFeatures(2, columns=["f0"], random_state=0)
    members = [("stiff", RidgeRegressor(alpha=300.0)), ("free", RidgeRegressor())]
    check_predictor(StackingRegressor(members, FOLDS, regimes=regimes, selection="specialist"))


@pytest.mark.parametrize("params", [{"selection": "best"}, {"final_estimator": LogisticClassifier()}])
def test_wrong_parameters_are_named(params):
    X, y = switching(300)
    with pytest.raises(InvalidInput, match="selection"):
        stack().set_params(**params).fit(X, y)
