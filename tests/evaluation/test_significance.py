import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.multitest import multipletests

from consilience.base import InvalidInput
from consilience.evaluation.significance import diebold_mariano, false_discovery, mcnemar, newey_west


def ar(n, phi, rng):
    out = np.zeros(n)
    for i in range(1, n):
        out[i] = phi * out[i - 1] + rng.standard_normal()
    return out


@pytest.mark.parametrize("lags", [0, 1, 5])
def test_the_hac_variance_is_that_of_statsmodels(lags):
    series = ar(200, 0.6, np.random.default_rng(0))
    fit = sm.OLS(series, np.ones(200)).fit(cov_type="HAC", cov_kwds={"maxlags": lags, "use_correction": False})
    assert newey_west(series, lags) / 200 == pytest.approx(float(fit.cov_params()[0, 0]), rel=1e-10)


def test_without_lags_diebold_mariano_is_a_t_test_but_for_ddof():
    rng = np.random.default_rng(1)
    a, b = rng.random(50), rng.random(50)
    found = diebold_mariano(a, b, bandwidth=0)
    assert found.statistic == pytest.approx(stats.ttest_rel(a, b).statistic, rel=1e-9)
    assert found.p_value == pytest.approx(stats.ttest_rel(a, b).pvalue, rel=1e-9)
    assert found.p_better == pytest.approx(stats.ttest_rel(a, b, alternative="less").pvalue, rel=1e-9)


def test_diebold_mariano_keeps_its_size_under_dependence():
    rng = np.random.default_rng(2)
    wrong = sum(diebold_mariano(ar(400, 0.5, rng), np.zeros(400)).p_value < 0.05 for _ in range(400))
    assert 0.02 * 400 < wrong < 0.11 * 400
    naive = sum(diebold_mariano(ar(400, 0.5, rng), np.zeros(400), bandwidth=0).p_value < 0.05 for _ in range(400))
    assert naive > 0.15 * 400, "ignoring dependence must be seen to fail, or this test shows nothing"


def test_degenerate_losses():
    same = np.random.default_rng(0).random(20)
    assert diebold_mariano(same, same).p_value == 1.0 and diebold_mariano(same, same).p_better == 1.0
    assert diebold_mariano(np.zeros(20), np.ones(20)).p_better == 0.0
    assert diebold_mariano(np.ones(20), np.zeros(20)).p_better == 1.0
    for a, b in ((np.zeros(3), np.zeros(3)), (np.full(20, np.nan), np.zeros(20))):
        with pytest.raises(InvalidInput):
            diebold_mariano(a, b)


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_mcnemar_is_that_of_statsmodels(pairs):
    a, b = np.array(pairs).T
    table = [[(a & b).sum(), (a & ~b).sum()], [(~a & b).sum(), (~a & ~b).sum()]]
    found = mcnemar(a, b)
    assert found.p_value == pytest.approx(reference_mcnemar(table, exact=True).pvalue, abs=1e-9)
    assert found.difference == pytest.approx((~a).mean() - (~b).mean())


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.booleans())
def test_false_discovery_control_is_that_of_statsmodels(p_values, dependent):
    rejected, adjusted = false_discovery(p_values, 0.1, dependent=dependent)
    expected = multipletests(p_values, 0.1, method="fdr_by" if dependent else "fdr_bh")
    np.testing.assert_array_equal(rejected, expected[0])
    np.testing.assert_allclose(adjusted, expected[1], atol=1e-12)


def test_p_values_must_be_probabilities():
    with pytest.raises(InvalidInput):
        false_discovery([0.5, 1.5])
    assert len(false_discovery([])[0]) == 0
