import doctest
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hmmlearn.hmm import GaussianHMM as Peer
from numba import config
from sklearn.base import clone

from consilience.base import InvalidInput, InvalidState, State, restore
from consilience.kernels import GaussianHMM, gaussian_hmm, hmm_sequences
from consilience.kernels.hmm_parameters import (
    COVARIANCE_TYPES,
    HMMParameters,
    forgetting_length,
    stationary_distribution,
)

K, D = 3, 2
long = pytest.mark.skipif(config.DISABLE_JIT, reason="whole fits; their kernels are tested without the JIT too")


def market(n=600, seed=0):
    """Rows of three regimes that stay, and the true regime."""
    rng = np.random.default_rng(seed)
    state = np.repeat(rng.integers(0, 3, n // 30), 30)
    X = np.array([[-2.0, 0.0], [0.0, 3.0], [2.0, -1.0]])[state] + rng.standard_normal((len(state), D))
    return X, state


def by_hand(covariance_type, seed=0):
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((K, D, D)) * 0.5
    full = root @ root.transpose(0, 2, 1) + 0.5 * np.eye(D)
    model = GaussianHMM(K, covariance_type, n_iter=5, tol=-np.inf, init_params="", order_feature=None)
    model.startprob_ = rng.dirichlet(np.ones(K))
    model.transmat_ = rng.dirichlet(np.ones(K), K)
    model.means_ = 2 * rng.standard_normal((K, D))
    model.covars_ = {
        "spherical": rng.uniform(0.5, 2, K),
        "diag": rng.uniform(0.5, 2, (K, D)),
        "full": full,
        "tied": full[0],
    }[covariance_type]
    return model


def hmmlearns(model):
    prior = model.covars_prior * (np.eye(D) if model.covariance_type in ("full", "tied") else 1)
    peer = Peer(K, model.covariance_type, n_iter=5, tol=-np.inf, init_params="", covars_prior=prior)
    peer.n_features = D
    peer.startprob_, peer.transmat_, peer.means_ = model.startprob_, model.transmat_, model.means_
    covars = model.covars_
    peer.covars_ = np.tile(covars[:, None], (1, D)) if model.covariance_type == "spherical" else covars
    return peer


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize("lengths", [None, [100, 500], [1, 2, 597]] if not config.DISABLE_JIT else [[1, 2, 597]])
def test_agrees_with_hmmlearn_without_and_with_fitting(covariance_type, lengths):
    X, _ = market()
    model = by_hand(covariance_type)
    peer = hmmlearns(model)
    assert model.score(X, lengths) == pytest.approx(peer.score(X, lengths), rel=1e-12)
    np.testing.assert_allclose(model.smooth_proba(X, lengths), peer.predict_proba(X, lengths), atol=1e-10)
    log_probability, path = model.decode(X, lengths)
    expected, states = peer.decode(X, lengths)
    assert log_probability == pytest.approx(expected, rel=1e-12)
    np.testing.assert_array_equal(path, states)
    peer.fit(X, lengths)
    model.fit(X, lengths)
    np.testing.assert_allclose(model.history_["log_likelihood"], list(peer.monitor_.history), rtol=1e-10)
    np.testing.assert_allclose(model.means_, peer.means_, rtol=1e-9)
    np.testing.assert_allclose(model.transmat_, peer.transmat_, rtol=1e-8, atol=1e-14)


@long
@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_without_priors_the_likelihood_never_falls(covariance_type):
    X, _ = market(seed=3)
    for seed in range(3):
        model = by_hand(covariance_type, seed).set_params(n_iter=25, covars_prior=0.0).fit(X)
        history = np.array(model.history_["log_likelihood"])
        assert (np.diff(history) > -1e-9 * abs(history[0])).all()
        assert model.score(X) >= history[-1] - 1e-9 * abs(history[0])


@long
@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_finds_planted_regimes_in_order(covariance_type):
    X, state = market(1500)
    model = GaussianHMM(3, covariance_type, random_state=0).fit(X)
    assert (np.diff(model.means_[:, 0]) > 0).all()
    assert np.mean(model.predict(X) == state) > 0.9
    assert np.mean(model.decode(X)[1] == state) > 0.95


@long
@pytest.mark.parametrize("seed", range(3))
def test_a_refit_keeps_the_names_of_the_states(seed):
    X, _ = market(1500)
    first = GaussianHMM(3, random_state=0).fit(X)
    second = GaussianHMM(3, random_state=seed + 1).fit(X[100:])
    np.testing.assert_allclose(first.means_, second.means_, atol=0.2)


@long
def test_equal_means_are_ordered_by_volatility():
    rng = np.random.default_rng(0)
    wild = np.repeat(np.arange(10) % 2, 100)
    X = rng.normal(0, np.where(wild, 4.0, 1.0))[:, None] - 0.0
    X -= np.where(wild, X[wild == 1].mean(), X[wild == 0].mean())[:, None]
    model = GaussianHMM(2, random_state=0).fit(X)
    assert model.covars_[0, 0] < model.covars_[1, 0]


@long
def test_filtered_probabilities_are_causal_and_smoothed_ones_are_not():
    X, _ = market()
    model = GaussianHMM(random_state=0).fit(X)
    whole = model.predict_proba(X)
    for k in (1, 100, 599):
        np.testing.assert_allclose(model.predict_proba(X[:k]), whole[:k], atol=1e-12)
    smooth = model.smooth_proba(X)
    assert max(np.abs(model.smooth_proba(X[:k]) - smooth[:k]).max() for k in range(50, 200)) > 1e-3
    np.testing.assert_allclose(whole[-1], model.smooth_proba(X)[-1], atol=1e-12)


@long
def test_an_asset_index_makes_sequences():
    X, _ = market(120)
    days = pd.date_range("2020-01-01", periods=60)
    index = pd.MultiIndex.from_product([["b", "a"], days], names=["asset", "time"])
    stacked = pd.DataFrame(X, index=index, columns=["x", "y"])
    mixed = stacked.sort_index(level="time")
    model = GaussianHMM(random_state=0, order_feature=None).fit(stacked)
    again = GaussianHMM(random_state=0, order_feature=None).fit(X[np.r_[60:120, 0:60]], [60, 60])
    np.testing.assert_allclose(model.means_, again.means_, rtol=1e-12)
    proba = pd.DataFrame(model.predict_proba(mixed), index=mixed.index).loc[index]
    np.testing.assert_allclose(proba, model.predict_proba(stacked.reset_index(drop=True), [60, 60]), atol=1e-12)
    assert model.score(mixed) == pytest.approx(model.score(stacked.reset_index(drop=True), [60, 60]), rel=1e-12)


@long
def test_forgetting_length_bounds_the_filter():
    X, _ = market()
    for seed in range(3):
        model = by_hand("diag", seed)
        model.transmat_ = 0.8 * np.eye(K) + 0.2 / K
        length = model.lookback
        assert 5 < length < 400
        far = model.predict_proba(X)[-1]
        for start in np.eye(K):
            model.startprob_ = start
            np.testing.assert_allclose(model.predict_proba(X[-length - 1 :])[-1], far, atol=1e-7)
    assert forgetting_length(np.full((2, 2), 0.5)) == 1
    assert forgetting_length(np.eye(2)) == 2**31 - 1
    assert forgetting_length(np.ones((1, 1))) == 0


def test_stationary_distribution():
    transmat = np.array([[0.9, 0.1], [0.3, 0.7]])
    np.testing.assert_allclose(stationary_distribution(transmat), [0.75, 0.25], atol=1e-14)
    np.testing.assert_allclose(stationary_distribution(np.array([[0.0, 1.0], [1.0, 0.0]])), 0.5)


@long
def test_state_round_trip_and_clone():
    X, _ = market()
    model = GaussianHMM(3, "full", random_state=0).fit(X)
    again = restore(model.get_state())
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert again.get_state().digest() == model.get_state().digest()
    assert again.history_ == model.history_
    assert clone(model).get_params() == model.get_params()


@long
@pytest.mark.parametrize(
    "change",
    [
        {"covars": np.zeros((3, 2, 2))},
        {"covars": np.ones((3, 2))},
        {"transmat": np.eye(4)},
        {"startprob": np.full(3, 0.5)},
        {"means": np.zeros((3, 2), np.int64)},
        {"means": np.zeros((10**3, 2))},
    ],
)
def test_a_damaged_state_is_refused(change):
    state = GaussianHMM(3, "full", random_state=0).fit(market()[0]).get_state()
    with pytest.raises(InvalidState):
        restore(State(state.kind, state.spec, {**state.arrays, **change}))


def test_a_model_set_by_hand_can_be_stored():
    X, _ = market(60)
    model = by_hand("tied").set_params(tol=1e-2)
    again = restore(model.get_state())
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("startprob_", [0.5, 0.5]),
        ("startprob_", [0.5, 0.5, 0.5]),
        ("transmat_", np.ones((3, 3))),
        ("transmat_", np.full((3, 3), np.nan)),
        ("means_", np.zeros(3)),
        ("covars_", np.zeros((3, 2))),
        ("covars_", np.ones((3, 2, 2))),
        ("covars_", "abc"),
    ],
)
def test_parameters_set_wrongly_by_hand_are_named(name, value):
    model = by_hand("diag")
    setattr(model, name, value)
    with pytest.raises(InvalidInput, match=name):
        model.score(market()[0])


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"n_components": 0}, "n_components"),
        ({"n_components": 601}, "n_components"),
        ({"n_components": 2.0}, "n_components"),
        ({"n_iter": 0}, "n_iter"),
        ({"covariance_type": "x"}, "covariance_type"),
        ({"order_feature": 2}, "order_feature"),
        ({"init_params": ""}, "startprob_"),
        ({"init_params": "xyz"}, "init_params"),
        ({"covars_prior": -1}, "covars_prior"),
        ({"covars_prior": True}, "covars_prior"),
        ({"n_components": 256}, "n_components"),
        ({"n_init": 0}, "n_init"),
        ({"tol": "a"}, "tol"),
        ({"tol": np.nan}, "tol"),
        ({"tol": None}, "tol"),
        ({"order_feature": "ret_1"}, "order_feature"),
        ({"order_feature": 0.5}, "order_feature"),
        ({"order_feature": True}, "order_feature"),
        ({"means_prior": np.nan, "means_weight": 1.0}, "means_prior"),
        ({"means_prior": "a"}, "means_prior"),
        ({"means_weight": np.inf}, "means_weight"),
        ({"min_covar": 1j}, "min_covar"),
    ],
)
def test_wrong_parameters_are_named(parameters, match):
    with pytest.raises(InvalidInput, match=match):
        GaussianHMM(**parameters).fit(market()[0])


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize(
    ("name", "cut"),
    [
        ("means_", lambda a: np.zeros((K, D + 1))),
        ("means_", lambda a: np.zeros((K, D + 30))),
        ("means_", lambda a: np.zeros((K + 1, D))),
        ("startprob_", lambda a: np.full(K + 1, 1 / (K + 1))),
        ("transmat_", lambda a: np.eye(K + 1)),
        ("covars_", lambda a: np.ones((*a.shape[:-1], a.shape[-1] + 1))),
    ],
)
def test_parameters_that_do_not_fit_the_rows_never_reach_compiled_code(covariance_type, name, cut):
    """Nothing there looks at shapes: it would read memory that is not X's."""
    model = by_hand(covariance_type)
    setattr(model, name, cut(getattr(model, name)))
    for init_params in ("", "stmc".replace(name[0], "")):
        with pytest.raises(InvalidInput, match=f"'{name}' parameter of GaussianHMM must be of shape"):
            model.set_params(init_params=init_params).fit(market(60)[0])


@pytest.mark.parametrize("use", ["score", "predict_proba", "smooth_proba", "decode"])
def test_a_whole_model_of_another_size_is_refused(use):
    wider = by_hand("diag")
    wider.means_, wider.covars_ = np.zeros((K, D + 1)), np.ones((K, D + 1))
    with pytest.raises(InvalidInput, match="'X'"):
        getattr(wider, use)(market(60)[0])
    with pytest.raises(InvalidInput, match="'means_'"):
        wider.fit(market(60)[0])
    with pytest.raises(InvalidInput, match="'means_'"):
        getattr(by_hand("diag").set_params(n_components=K + 1), use)(market(60)[0])


def test_too_many_states_for_a_byte_are_refused_however_they_are_set():
    n = 256
    arrays = np.full(n, 1 / n), np.full((n, n), 1 / n), np.zeros((n, 1)), np.ones(n)
    with pytest.raises(InvalidInput, match="255"):
        HMMParameters.checked(*arrays, "spherical")
    model = GaussianHMM(n, "spherical")
    model.startprob_, model.transmat_, model.means_, model.covars_ = arrays
    with pytest.raises(InvalidInput, match="255"):
        model.decode(np.zeros((3, 1)))


PRIORS = [
    {"startprob_prior": 2.5},
    {"transmat_prior": 3.0},
    {"transmat_prior": 0.5},
    {"means_prior": 0.7, "means_weight": 20.0},
    {"means_weight": 20.0},
    {"covars_weight": 60.0},
    {"covars_prior": 5.0},
    {"covars_weight": 0.0},
    {"startprob_prior": 2.0, "transmat_prior": 4.0, "means_prior": -1.0, "means_weight": 5.0, "covars_weight": 30.0},
]


@long
@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize("priors", PRIORS, ids=lambda priors: ",".join(f"{k}={v}" for k, v in priors.items()))
def test_priors_are_hmmlearns(covariance_type, priors):
    X, _ = market()
    lengths = [100, 300, 200]
    model = by_hand(covariance_type).set_params(**priors)
    peer = hmmlearns(model)
    peer.set_params(**{name: value for name, value in priors.items() if name != "covars_prior"})
    peer.fit(X, lengths)
    before = model.means_.copy()
    model.fit(X, lengths)
    np.testing.assert_allclose(model.history_["log_likelihood"], list(peer.monitor_.history), rtol=1e-10)
    np.testing.assert_allclose(model.startprob_, peer.startprob_, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(model.transmat_, peer.transmat_, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(model.means_, peer.means_, rtol=1e-8)
    covars = np.array(peer.covars_)
    if covariance_type in ("spherical", "diag"):
        covars = np.diagonal(covars, axis1=1, axis2=2)
        covars = covars[:: len(covars) // K, 0] if covariance_type == "spherical" else covars  # hmmlearn repeats it
    elif covariance_type == "tied":
        covars = covars[0]
    np.testing.assert_allclose(model.covars_, covars, rtol=1e-8, atol=1e-12)
    assert np.abs(model.means_ - before).max() > 1e-3


@pytest.mark.parametrize("params", ["s", "t", "m", "c", "mc", ""])
def test_only_the_named_parameters_are_updated(params):
    model = by_hand("diag").set_params(params=params, n_iter=1)
    before = {name: np.array(getattr(model, name)) for name in ("startprob_", "transmat_", "means_", "covars_")}
    model.fit(market(60)[0])
    for name, array in before.items():
        assert (np.abs(getattr(model, name) - array).max() > 1e-6) == (name[0] in params), name


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_no_variance_falls_below_min_covar(covariance_type):
    X = np.repeat([[0.0, 1.0], [5.0, 1.0], [9.0, 1.0]], 10, axis=0)  # no spread within a state, none at all in a column
    model = by_hand(covariance_type).set_params(min_covar=0.3, covars_prior=0.0, n_iter=3)
    model.means_ = np.array([[0.0, 1.0], [5.0, 1.0], [9.0, 1.0]])
    covariances = model.fit(X).parameters.full_covars
    np.testing.assert_allclose(np.linalg.eigvalsh(covariances).min(), 0.3, rtol=1e-9)


@long
def test_more_starts_never_end_worse():
    X, _ = market(300, seed=7)
    scores = [
        GaussianHMM(5, "full", n_iter=2, n_init=n_init, random_state=3).fit(X).score(X) for n_init in (1, 2, 4, 8)
    ]
    assert all(later >= earlier for earlier, later in pairwise(scores)) and scores[-1] > scores[0]


def test_the_names_of_regimes_ask_for_a_column():
    for column in ("ret_1", 2, 0.5):
        with pytest.raises(InvalidInput, match="return_feature"):
            by_hand("diag").regime_names(column)


@long
@pytest.mark.parametrize("module", [gaussian_hmm, hmm_sequences])
def test_docstrings(module):
    result = doctest.testmod(module)
    assert result.attempted and not result.failed
