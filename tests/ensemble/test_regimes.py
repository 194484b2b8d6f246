import dataclasses

import numpy as np
import pandas as pd
import pytest

from consilience.base import InvalidInput, restore
from consilience.boosting import LogisticClassifier, RidgeRegressor
from consilience.ensemble import StackingClassifier, StackingRegressor
from consilience.ensemble.pool import LogOddsPool
from consilience.ensemble.regimes import filtered, match, regimes_out_of_fold
from consilience.ensemble.shrinkage import N_GLOBAL, fit_pool, posterior, walk_forward
from consilience.evaluation import PurgedWalkForward
from consilience.kernels import GaussianHMM, RegimeFeatures
from tests.contracts.predictor import check_causal, check_predictor, market
from tests.support.tables import log_loss, softmax, table

FOLDS = PurgedWalkForward(n_splits=4, label_horizon=1)


def specialists(n=3000, matter=True, seed=0, blur=0.1):
    """Two members; where regimes matter each is right in one regime and noise in the other."""
    rng = np.random.default_rng(seed)
    state = (np.cumsum(rng.random(n) < 0.02) % 2).astype(int)
    truth = rng.standard_normal(n)
    codes = (rng.random(n) < 1 / (1 + np.exp(-truth))).astype(int)
    noise = rng.standard_normal((2, n))
    if matter:
        said = np.stack([np.where(state == k, truth, noise[k]) for k in (0, 1)])
    else:
        said = truth + noise
    outputs = softmax(np.stack([np.zeros_like(said), said], axis=-1))
    known = np.eye(2)[state] * (1 - 2 * blur) + blur
    data = table(n=n, n_members=2)
    return dataclasses.replace(data, outputs=outputs, target=codes, regimes=known)


def gain(matter, seed):
    """Hold-out log loss of global weights minus that of regime-wise weights."""
    data, later = specialists(matter=matter, seed=seed), specialists(matter=matter, seed=seed + 1000)
    aware = fit_pool(data).combine(later.outputs, later.regimes)
    blind = fit_pool(dataclasses.replace(data, regimes=np.ones((data.n_rows, 1)))).combine(later.outputs)
    return log_loss(blind, later.target) - log_loss(aware, later.target)


def test_regime_weights_beat_global_weights_where_regimes_matter():
    assert min(gain(True, seed) for seed in range(4)) > 0.01


def test_regime_weights_lose_next_to_nothing_where_they_do_not():
    assert min(gain(False, seed) for seed in range(6)) > -0.002


def test_few_rows_of_a_regime_leave_its_weights_at_the_global_ones():
    data = specialists(n=3000)
    rare = np.zeros((3000, 2))
    rare[:, 0] = 1.0
    rare[::300] = [0.0, 1.0]
    pool = fit_pool(dataclasses.replace(data, regimes=rare))
    np.testing.assert_allclose(pool.weights[1], pool.weights[0], atol=0.15)


def test_candidates_for_regimes_share_a_sixth_of_the_prior():
    share = posterior(specialists(n=60), walk_forward(specialists(n=60)), before=0)
    assert share[0] == pytest.approx(0.5) and share[N_GLOBAL:].sum() == pytest.approx(1 / 6)


def test_a_pool_mixes_its_weights_by_the_filtered_probabilities():
    rng = np.random.default_rng(0)
    pool = LogOddsPool(np.array([0.4, 0.6]), rng.standard_normal((3, 2)), rng.random((2, 3)))
    outputs, regimes = rng.dirichlet([1, 1], (3, 8)), rng.dirichlet([1, 1], 8)
    for row in range(8):
        single = LogOddsPool(pool.base, pool.centre, (regimes[row] @ pool.weights)[None])
        np.testing.assert_allclose(
            pool.combine(outputs, regimes)[row], single.combine(outputs[:, row : row + 1])[0], atol=1e-12
        )
    members, base = pool.contributions(outputs, regimes)
    proba = pool.combine(outputs, regimes)
    np.testing.assert_allclose(base[0] + members[:, :, 0].sum(axis=0), np.log(proba[:, 1] / proba[:, 0]), atol=1e-9)


def test_matching_undoes_any_renumbering():
    rng = np.random.default_rng(0)
    proba = rng.dirichlet([0.3] * 4, 200)
    order = rng.permutation(4)
    np.testing.assert_array_equal(proba[:, order][:, match(proba, proba[:, order])], proba)


def two_regimes(n=500):
    rng = np.random.default_rng(0)
    state = np.repeat(np.arange(n // 50) % 2, 50)
    values = rng.normal(0, np.where(state == 0, 1.0, 4.0)[:, None], (n, 2))
    return pd.DataFrame(values, columns=["a", "b"], index=pd.bdate_range("2020-01-01", periods=n)), state


def test_regimes_keep_their_numbers_from_fold_to_fold_and_live():
    X, state = two_regimes()

    class Renumbered(RegimeFeatures):
        """Numbers its regimes at random, as a fit with another start may."""

        def transform(self, X):
            out = super().transform(X)
            if len(self.means_) and abs(float(self.covars_[0].sum())) * 1e6 % 2 < 1:
                out[["regime_0", "regime_1"]] = out[["regime_1", "regime_0"]].to_numpy()
            return out

    model = Renumbered(n_components=2, random_state=0)
    proba, final, order = regimes_out_of_fold(model, X, state, FOLDS, None)
    covered = np.isfinite(proba[:, 0])
    agree = (proba[covered].argmax(axis=1) == state[covered]).mean()
    assert max(agree, 1 - agree) > 0.9
    live = (filtered(final, X)[:, order][covered].argmax(axis=1) == state[covered]).mean()
    assert (agree > 0.5) == (live > 0.5)


def test_a_plain_hmm_will_do_and_a_foreign_table_will_not():
    X, state = two_regimes()
    proba, *_ = regimes_out_of_fold(GaussianHMM(n_components=2, random_state=0), X, state, FOLDS, None)
    assert proba.shape == (500, 2)

    class Foreign:
        def transform(self, X):
            return np.zeros((len(X), 2))

    with pytest.raises(InvalidInput, match="regime_0"):
        filtered(Foreign(), X)


def stack_with_regimes(**options):
    return StackingClassifier(
        [("stiff", LogisticClassifier(C=0.01)), ("free", LogisticClassifier())],
        FOLDS,
        regimes=RegimeFeatures(n_components=2, random_state=0),
        **options,
    )


def test_contract_of_a_stack_with_regimes():
    check_predictor(stack_with_regimes(), atol=1e-6)


def test_contract_of_a_stack_with_regimes_on_a_panel():
    check_predictor(stack_with_regimes(), atol=1e-6, assets=2)


def test_contract_of_a_regressor_with_regimes():
    members = [("stiff", RidgeRegressor(alpha=100.0)), ("free", RidgeRegressor())]
    check_predictor(
        StackingRegressor(members, FOLDS, regimes=RegimeFeatures(n_components=2, random_state=0)), atol=1e-6
    )


def test_regimes_out_of_fold_are_causal():
    X, y = market(400)
    stack = stack_with_regimes().fit(X, y)
    check_causal(lambda frame: stack.explain(frame).regime, X, atol=1e-6)
    assert stack.lookback == stack.regime_model_.lookback


def test_newest_rows_and_state_with_regimes():
    X, y = market(400)
    stack = stack_with_regimes(confidence_threshold=0.8).fit(X, y)
    np.testing.assert_allclose(stack.predict_newest_proba(X, 3), stack.predict_proba(X)[-3:], atol=1e-6)
    again = restore(stack.get_state())
    np.testing.assert_array_equal(again.explain(X).frame(X.index), stack.explain(X).frame(X.index))
    assert (stack.explain(X).position == 0).any()
    np.testing.assert_array_equal(stack.positions(X), stack.explain(X).position)
