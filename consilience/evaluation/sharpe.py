"""How likely a Sharpe ratio is to be more than luck: probabilistic, and deflated for the number of trials."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from consilience.base import InvalidInput, invalid
from consilience.base.magnitude import magnitude
from consilience.evaluation.ledger import Ledger
from consilience.evaluation.trading import ratio, std

EULER = 0.5772156649015329
ROUNDING = 1e-13  # what varies less than this, relative to its size, is constant


@dataclass(frozen=True)
class DeflatedSharpe:
    """The result of ``deflated_sharpe_ratio``.

    Attributes
    ----------
    probability : that the true Sharpe ratio is above zero, given how many trials were made; the deflated Sharpe ratio.
    sharpe : observed, per period. threshold : the largest Sharpe ratio per period expected from that many skill-less
        trials. n_trials : distinct configurations in the ledger. n_periods : independent returns observed.
    """

    probability: float
    sharpe: float
    threshold: float
    n_trials: int
    n_periods: int


def probabilistic_sharpe_ratio(returns: np.ndarray, benchmark: float = 0.0, *, horizon: int = 1) -> float:
    """Probability that the true Sharpe ratio (per period) exceeds ``benchmark`` (per period).

    Bailey & López de Prado (2012), *The Sharpe Ratio Efficient Frontier*, with the sample's skewness and kurtosis.
    Returns over ``horizon`` steps that overlap count as n / horizon observations. NaN where the returns do not vary but
    are not zero: their Sharpe ratio is infinite, and its distribution unknown.

    >>> r = np.random.default_rng(0).normal(0.001, 0.01, 1000)
    >>> 0.9 < probabilistic_sharpe_ratio(r) < 1.0
    True
    """
    sharpe, skew, kurtosis, n = _moments(returns, horizon)
    return _psr(sharpe, benchmark, n, skew, kurtosis)


def deflated_sharpe_ratio(returns: np.ndarray, ledger: Ledger, data_id: str, *, horizon: int = 1) -> DeflatedSharpe:
    """The probabilistic Sharpe ratio against the best that the recorded trials would reach without any skill.

    Bailey & López de Prado (2014), *The Deflated Sharpe Ratio*. The number of trials and the spread of their Sharpe
    ratios come from the ledger; there is no way to pass a number.

    Parameters
    ----------
    returns : (n,) simple returns per period, after costs, of the chosen strategy.
    ledger, data_id : where every trial on that data was recorded; trials without a Sharpe ratio count as trials.
    horizon : steps per return where neighbouring returns overlap, as in ``StrategyReturns``.

    Raises
    ------
    InvalidInput : no trial recorded: then nobody knows how many were made.
    """
    if not isinstance(ledger, Ledger):
        raise invalid("ledger", "deflated_sharpe_ratio", "a Ledger, which counts the trials itself", ledger)
    trials = ledger.trials(data_id)
    if not trials:
        raise InvalidInput(
            f"The ledger {ledger.path} has no trial on the data {data_id!r}; record the evaluation before deflating it."
        )
    sharpe, skew, kurtosis, n = _moments(returns, horizon)
    seen = np.array([trial.sharpe for trial in trials if trial.sharpe is not None], np.float64)
    seen = seen[np.isfinite(seen)]  # returns that do not vary have an infinite one
    # With fewer than two recorded Sharpe ratios their spread is unknown; under no skill it is the estimation error.
    variance = float(seen.var(ddof=1)) if len(seen) > 1 else 1.0 / (n - 1)
    threshold = expected_maximum(len(trials), variance)
    return DeflatedSharpe(_psr(sharpe, threshold, n, skew, kurtosis), sharpe, threshold, len(trials), n)


def expected_maximum(n_trials: int, variance: float) -> float:
    """Expected largest of ``n_trials`` Sharpe ratios with mean zero and that variance (False Strategy theorem)."""
    if n_trials < 2:
        return 0.0
    normal = stats.norm
    quantile = (1.0 - EULER) * normal.ppf(1.0 - 1.0 / n_trials) + EULER * normal.ppf(1.0 - 1.0 / (n_trials * np.e))
    return float(np.sqrt(variance) * quantile)


def _moments(returns: np.ndarray, horizon: int) -> tuple[float, float, float, int]:
    values = np.asarray(returns, np.float64)
    if values.ndim != 1 or len(values) < 4:
        raise InvalidInput(f"A Sharpe ratio's distribution needs at least four returns (n,); got {values.shape}.")
    if not np.isfinite(values).all():
        raise InvalidInput("Returns must be finite.")
    values = values / magnitude(values)
    deviation = float(std(values))
    sharpe = float(ratio(values.mean(), deviation))
    independent = max(2, len(values) // horizon)
    if deviation <= ROUNDING * np.abs(values).max():  # of a series that is constant but for rounding
        return sharpe, 0.0, 3.0, independent
    return sharpe, float(stats.skew(values)), float(stats.kurtosis(values, fisher=False)), independent


def _psr(sharpe: float, benchmark: float, n: int, skew: float, kurtosis: float) -> float:
    if not np.isfinite(sharpe):
        return float("nan")
    spread = 1.0 - skew * sharpe + (kurtosis - 1.0) / 4.0 * sharpe**2
    if spread <= 0.0:
        raise InvalidInput(
            "The returns' skewness and kurtosis make the Sharpe ratio's variance negative; too few returns."
        )
    return float(stats.norm.cdf((sharpe - benchmark) * np.sqrt(n - 1) / np.sqrt(spread)))
