"""Probability of backtest overfitting, by combinatorially symmetric cross-validation (CSCV)."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from consilience.base import InvalidInput, invalid
from consilience.base.magnitude import magnitude
from consilience.evaluation.trading import ratio


@dataclass(frozen=True)
class BacktestOverfitting:
    """The result of ``probability_of_backtest_overfitting``.

    Attributes
    ----------
    probability : share of the splits in which the best strategy in sample is at or below the median out of sample.
    logits : (n_splits,) log odds of the chosen strategy's relative rank out of sample.
    chosen_in, chosen_out : (n_splits,) its performance in and out of sample.
    probability_of_loss : share of the splits in which the chosen strategy's out-of-sample performance is negative.
    degradation : slope of chosen_out on chosen_in; below zero, the better it looked the worse it was.
    """

    probability: float
    logits: np.ndarray
    chosen_in: np.ndarray
    chosen_out: np.ndarray
    probability_of_loss: float
    degradation: float


def probability_of_backtest_overfitting(
    returns: np.ndarray, n_blocks: int = 16, *, measure: str = "sharpe"
) -> BacktestOverfitting:
    """How often the strategy that looks best in half of the time is no better than the median in the other half.

    Bailey, Borwein, López de Prado & Zhu (2017), *The Probability of Backtest Overfitting*, J. Computational Finance.

    Parameters
    ----------
    returns : (n, k) simple returns per period of k >= 2 strategies (every configuration tried, not the best ones).
    n_blocks : even number of contiguous blocks; all C(n_blocks, n_blocks/2) halves are compared.
    measure : "sharpe" or "mean".

    Notes
    -----
    Both measures follow from block sums, so a split costs O(k) whatever the number of periods.

    >>> noise = np.random.default_rng(0).standard_normal((400, 20))
    >>> round(probability_of_backtest_overfitting(noise, 8).probability, 1) > 0.2
    True
    """
    values = np.asarray(returns, np.float64)
    if values.ndim != 2 or values.shape[1] < 2:
        raise InvalidInput(f"returns must be (n, k) with k >= 2 strategies; its shape is {values.shape}.")
    if not np.isfinite(values).all():
        raise InvalidInput("Returns must be finite.")
    if n_blocks < 2 or n_blocks % 2 or len(values) < 2 * n_blocks:
        required = f"even, at least 2, and at most half the number of periods ({len(values)})"
        raise invalid("n_blocks", "probability_of_backtest_overfitting", required, n_blocks)
    if measure not in ("sharpe", "mean"):
        raise invalid("measure", "probability_of_backtest_overfitting", "'sharpe' or 'mean'", measure)
    unit = magnitude(values)
    inside, outside = _performances(values / unit, n_blocks, measure)
    if measure == "mean":
        inside, outside = inside * unit, outside * unit
    split = np.arange(len(inside))
    chosen = inside.argmax(axis=1)
    chosen_in, chosen_out = inside[split, chosen], outside[split, chosen]
    worse, equal = ((outside < chosen_out[:, None]).sum(axis=1), (outside == chosen_out[:, None]).sum(axis=1))
    relative = (worse + (equal + 1) / 2) / (values.shape[1] + 1)  # ties share their mean rank
    logits = np.log(relative / (1.0 - relative))
    return BacktestOverfitting(
        probability=float(np.mean(logits <= 0.0)),
        logits=logits,
        chosen_in=chosen_in,
        chosen_out=chosen_out,
        probability_of_loss=float(np.mean(chosen_out < 0.0)),
        degradation=_slope(chosen_in, chosen_out),
    )


def _slope(x: np.ndarray, y: np.ndarray) -> float:
    """Least-squares slope; 0 where x does not vary or a ratio is infinite."""
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return 0.0
    unit = magnitude(np.concatenate([x, y]))
    centred = x / unit - (x / unit).mean()
    below = float(centred @ centred)
    return float(centred @ (y / unit)) / below if below > 0.0 else 0.0


def _performances(values: np.ndarray, n_blocks: int, measure: str) -> tuple[np.ndarray, np.ndarray]:
    """(n_splits, k) performance in one half of the blocks and in the other, for every choice of half."""
    # Sums of squares of large, nearly equal numbers cancel; shifting each column by its mean keeps the digits.
    centre = values.mean(axis=0)
    shifted = values - centre
    edges = np.linspace(0, len(values), n_blocks + 1).round().astype(int)
    first, second = (np.add.reduceat(part, edges[:-1], axis=0) for part in (shifted, shifted**2))
    halves = np.array(list(combinations(range(n_blocks), n_blocks // 2)))
    chooses = np.zeros((len(halves), n_blocks))
    np.put_along_axis(chooses, halves, 1.0, axis=1)
    sizes = np.diff(edges).astype(np.float64)
    inside, outside = (_measure(side, first, second, sizes, centre, measure) for side in (chooses, 1.0 - chooses))
    return inside, outside


def _measure(
    side: np.ndarray, first: np.ndarray, second: np.ndarray, sizes: np.ndarray, centre: np.ndarray, measure: str
) -> np.ndarray:
    count = (side @ sizes)[:, None]
    total = side @ first
    mean = total / count + centre
    if measure == "mean":
        return mean
    variance = (side @ second - total**2 / count) / (count - 1.0)
    tiny = 1e-13 * (side @ second) / count  # what rounding leaves of a constant series is not a variance
    return ratio(mean, np.sqrt(np.where(variance > tiny, variance, 0.0)))
