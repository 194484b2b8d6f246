"""Degenerate numbers through the estimators on compiled kernels."""

import numpy as np
import pytest
from hypothesis import strategies as st

from consilience.base import InvalidInput
from consilience.kernels import (
    GaussianHMM,
    HMMClassifier,
    LorentzianClassifier,
    LorentzianIndex,
    LorentzianRegressor,
    RegimeFeatures,
)
from tests.contracts.degenerate import NAMED, any_case, check_degenerate, frame
from tests.support.campaign import holds_for
from tests.support.degenerate import CASES, case

MODELS = {
    "LorentzianClassifier": LorentzianClassifier(n_neighbors=8),
    "LorentzianClassifier, spaced": LorentzianClassifier(n_neighbors=4, min_spacing=2),
    "LorentzianRegressor": LorentzianRegressor(n_neighbors=8),
    "HMMClassifier": HMMClassifier(n_components=2, n_iter=5),
}
REFUSED = {"2 rows", "3 rows", "5 rows", "10 rows", "20 rows", "all labels equal", "huge features", "huge target"}
REFUSED |= {"features of mixed scales", "identical rows", "all features constant", "two distinct rows"}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("model", MODELS)
def test_degenerate_inputs(model, name):
    assert check_degenerate(MODELS[model], case(name)) or name in REFUSED


@pytest.mark.filterwarnings("error")
@holds_for(st.sampled_from(sorted(MODELS)), any_case())
def test_any_mixture(model, drawn):
    check_degenerate(MODELS[model], drawn)


def check_hmm(n_components, covariance_type, drawn):
    """States that collapse, constant columns, more states than distinct rows: finite, or refused by name."""
    try:
        model = GaussianHMM(n_components, covariance_type=covariance_type, n_iter=8, random_state=0).fit(drawn.X)
        found = model.predict_proba(drawn.X), model.smooth_proba(drawn.X)
        log_probability, states = model.decode(drawn.X)
    except InvalidInput as refused:
        assert any(name in str(refused) for name in NAMED), refused
        return False
    for proba in found:
        assert np.isfinite(proba).all()
        np.testing.assert_allclose(proba.sum(axis=1), 1.0, atol=1e-8)
    assert np.isfinite(log_probability) and np.isfinite(model.score(drawn.X))
    assert ((states >= 0) & (states < n_components)).all()
    for fitted in (model.startprob_, model.transmat_, model.means_, model.covars_):
        assert np.isfinite(fitted).all()
    return True


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("covariance_type", ["diag", "full"])
def test_hidden_markov_models(covariance_type, name):
    for n_components in (1, 3, 6):
        assert check_hmm(n_components, covariance_type, case(name)) or name in REFUSED


@pytest.mark.filterwarnings("error")
@holds_for(st.integers(1, 6), st.sampled_from(["diag", "full", "spherical", "tied"]), any_case(), suite=100)
def test_hidden_markov_models_of_any_mixture(n_components, covariance_type, drawn):
    check_hmm(n_components, covariance_type, drawn)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", CASES)
def test_regime_features(name):
    X = frame(case(name))
    try:
        found = RegimeFeatures(n_components=2).fit(X).transform(X)
    except InvalidInput as refused:
        assert name in REFUSED and any(word in str(refused) for word in NAMED), refused
        return
    assert np.isfinite(found.to_numpy(np.float64)).all()


@pytest.mark.filterwarnings("error")
@holds_for(any_case(), suite=100)
def test_exact_neighbours_of_any_mixture(drawn):
    index = LorentzianIndex(drawn.X)
    distances, neighbours = index.query(drawn.X, min(3, drawn.n_rows))
    assert np.isfinite(distances).all() and (distances >= 0.0).all() and (np.diff(distances, axis=1) >= 0.0).all()
    assert (distances[:, 0] == 0.0).all(), "a row is its own nearest neighbour"
    assert ((neighbours >= 0) & (neighbours < drawn.n_rows)).all()
