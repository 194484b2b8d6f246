import numpy as np
import pytest

from consilience.base import InvalidInput
from consilience.evaluation import _resampled_returns as kernel
from consilience.evaluation.bootstrap import stationary_bootstrap
from consilience.evaluation.resampled_trading import resampled_trading
from consilience.evaluation.trading import trading_metrics


def matrix(n=120, k=5):
    rng = np.random.default_rng(0)
    returns = rng.normal(0, 0.01, (n, k))
    returns[:, 0] = 0.0
    returns[:, 1] = 0.01
    returns[:, 2] = np.where(rng.random(n) < 0.9, 0.0, -0.02)
    returns[:, 3] += 1e3 * 0.01  # a mean far above the spread
    return returns


@pytest.mark.parametrize("n_threads", [1, 2])
def test_each_sample_is_measured_as_if_it_were_the_data(n_threads):
    returns, samples = matrix(), stationary_bootstrap(120, 8.0, 70)
    found = resampled_trading(returns, samples, periods_per_year=250, risk_free=1e-4, n_threads=n_threads)
    for number, sample in enumerate(samples):
        own = trading_metrics(returns[sample], periods_per_year=250, risk_free=1e-4)
        assert set(own) == set(found)
        for name, value in own.items():
            np.testing.assert_allclose(found[name][number], value, rtol=1e-8, atol=1e-12, err_msg=name)


def test_one_series_gives_one_column():
    found = resampled_trading(matrix()[:, 4], stationary_bootstrap(120, 8.0, 3))
    assert all(value.shape == (3,) for value in found.values())


def test_what_cannot_be_resampled_is_refused():
    samples = stationary_bootstrap(120, 8.0, 3)
    with pytest.raises(InvalidInput):
        resampled_trading(np.full(120, np.nan), samples)
    with pytest.raises(InvalidInput):
        resampled_trading(matrix()[:-1], samples)
    with pytest.raises(InvalidInput):
        resampled_trading(matrix(), samples + 1)


def test_the_compiled_pass_is_what_its_python_says():
    returns, samples = matrix(30), stationary_bootstrap(30, 4.0, 5)
    compiled, plain = np.zeros((2, 5, kernel.N_SUMS, 5))
    for run, out in ((kernel.resampled_sums, compiled), (kernel.resampled_sums.py_func, plain)):
        run(returns, samples, np.median(returns, axis=0), 1e-4, 1.0, out)
    np.testing.assert_allclose(compiled, plain, rtol=1e-12, atol=1e-15)
