import doctest

import numpy as np
import pytest
from numba import config

from consilience.base import InvalidInput
from consilience.kernels import GaussianHMM, hmm_selection, select_n_components
from tests.kernels.test_gaussian_hmm import by_hand, hmmlearns, market

pytestmark = pytest.mark.skipif(config.DISABLE_JIT, reason="whole fits; their kernels are tested without the JIT too")


@pytest.mark.parametrize("criterion", ["aic", "bic"])
def test_finds_three_planted_states(criterion):
    X, _ = market(1200)
    selection = select_n_components(X, range(1, 5), criterion=criterion)
    assert selection.model.n_components == 3
    assert selection.table[criterion].idxmin() == 3
    assert (np.diff(selection.table["log_likelihood"]) > 0).all()


@pytest.mark.parametrize("covariance_type", ["spherical", "diag", "full", "tied"])
def test_criteria_are_hmmlearns(covariance_type):
    X, _ = market(300)
    model = by_hand(covariance_type)
    peer = hmmlearns(model)
    assert model.bic(X) == pytest.approx(peer.bic(X), rel=1e-12)
    assert model.aic(X) == pytest.approx(peer.aic(X), rel=1e-12)


def test_lengths_and_other_parameters_are_passed_on():
    X, _ = market(300)
    base = GaussianHMM(covariance_type="full", random_state=1, n_init=1)
    selection = select_n_components(X, [2], lengths=[100, 200], model=base)
    alone = GaussianHMM(2, "full", random_state=1, n_init=1).fit(X, [100, 200])
    np.testing.assert_array_equal(selection.model.means_, alone.means_)
    assert not hasattr(base, "means_")


def test_wrong_parameters_are_named():
    with pytest.raises(InvalidInput, match="criterion"):
        select_n_components(np.zeros((10, 1)), criterion="ebic")
    with pytest.raises(InvalidInput, match="candidates"):
        select_n_components(np.zeros((10, 1)), [])


def test_docstrings():
    assert doctest.testmod(hmm_selection).failed == 0
