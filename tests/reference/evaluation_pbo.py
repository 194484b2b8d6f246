"""The published examples of the probability of backtest overfitting.

R's default generator (Mersenne twister with R's seeding, normals by inversion) is rebuilt here, so that the very
matrices of R's package ``pbo`` can be measured: the paper's first test case (100 trials of 2400 days, all with one
mean) from its vignette, and the 40 trials of 200 days of its unit tests. The paper's other examples are simulations
whose draws were not published; they are rebuilt from its description, and what it printed is one draw of theirs.

Bailey, Borwein, López de Prado & Zhu (2017), "The probability of backtest overfitting", J. Computational Finance 20(4).
"""

import numpy as np
from scipy.stats import norm

# summary(pbo(m, s = 8, f = sharpe, threshold = 0)) as published: p_bo, ar^2, p_loss.
# What the package prints as "slope" is the first coefficient of R's lm() of the performance in sample on the one out of
# sample, which is the intercept.
PUBLISHED = {"p_bo": 1.0, "slope": -0.0030, "ar^2": 0.97, "p_loss": 1.0}
# The bounds that the package's unit test sets for its own example (s = 4).
UNIT_TEST = {"p_bo": (0.49, 0.51), "slope": (0.19, 0.20), "ar^2": (-0.24, -0.22), "p_loss": (0.49, 0.51)}
# The paper's section on a practical application: (best annual Sharpe ratio in sample, PBO and, on the
# random walk, share of losses).
RANDOM_WALK, SEASONAL = (1.27, 0.55, 0.53), (1.54, 0.13)


def r_normals(seed: int, n: int) -> np.ndarray:
    """``set.seed(seed); rnorm(n)`` of R."""
    words = []
    for _ in range(50 + 625):
        seed = (69069 * seed + 1) % 2**32
        words.append(seed)
    bits = np.random.MT19937(0)
    state = bits.state
    state["state"] = {"key": np.array(words[51:], np.uint32), "pos": 624}
    bits.state = state
    uniform = bits.random_raw(2 * n) * 2.3283064365386963e-10
    big = 134217728.0
    return norm.ppf((np.floor(big * uniform[::2]) + uniform[1::2]) / big)


def published_returns() -> np.ndarray:
    """(2400, 100) daily returns less the risk-free rate of the example."""
    m = r_normals(765, 100 * 2400).reshape(100, 2400).T
    m = m / 252**0.5 / m.std(axis=0, ddof=1)
    return m - m.mean(axis=0) - 0.03 / 252


def unit_test_returns() -> np.ndarray:
    """(200, 40) returns less the risk-free rate of the package's unit test (filled by row)."""
    return r_normals(852, 200 * 40).reshape(200, 40) - 0.03 / 252


def r_summary(found) -> dict[str, float]:
    """``summary()`` of R's package, from our result."""
    _, intercept = np.polyfit(found.chosen_out, found.chosen_in, 1)
    r_squared, n = np.corrcoef(found.chosen_in, found.chosen_out)[0, 1] ** 2, len(found.logits)
    adjusted = 1 - (1 - r_squared) * (n - 1) / (n - 2)
    return {"p_bo": found.probability, "slope": intercept, "ar^2": adjusted, "p_loss": found.probability_of_loss}


def one_better_trial(annual_sharpe: float, rng: np.random.Generator, *, n: int = 1000, k: int = 100) -> np.ndarray:
    """(n, k) returns of the paper's accuracy experiment: k - 1 trials with Sharpe ratio 0, one with the given one."""
    per_year = 365.25 * 5 / 7
    returns = rng.standard_normal((n, k))
    returns = (returns - returns.mean(axis=0)) / returns.std(axis=0) / per_year**0.5
    returns[:, -1] += annual_sharpe / per_year
    return returns


def hold_out_overfitting(returns: np.ndarray) -> bool:
    """What the paper takes for the truth, over many draws: is the best of the first half below the second's median?"""
    first, second = (part.mean(axis=0) / part.std(axis=0) for part in np.array_split(returns, 2))
    return bool(second[first.argmax()] < np.median(second))


def seasonal_trials(rng: np.random.Generator, *, seasonal: bool, n: int = 1000) -> np.ndarray:
    """(n, 8800) daily profits of the paper's monthly strategies on a random walk.

    Enter on a business day of the month (1-22), hold at most 1-20 days, stop at a loss of 1-10 standard deviations,
    long or short. With ``seasonal`` the first five business days of each month earn a quarter of a standard deviation.
    """
    dates = np.arange("2000-01-03", "2004-12-31", dtype="datetime64[D]")
    dates = dates[np.is_busday(dates)][:n]
    month = dates.astype("datetime64[M]")
    day = np.busday_count(month.astype("datetime64[D]"), dates) + 1
    moves = rng.standard_normal(n) + 0.25 * (seasonal & (day <= 5))
    grid = np.meshgrid(np.arange(1, 23), np.arange(1, 21), -np.arange(1, 11), [-1, 1], indexing="ij")
    entry, hold, stop, side = (axis.ravel() for axis in grid)
    held, gained = np.full(entry.size, 99), np.zeros(entry.size)
    position, profits = np.zeros(entry.size), np.zeros((n, entry.size))
    for i in range(n):
        profits[i] = position * moves[i]
        gained += profits[i]
        starts = day[i] == entry
        held[starts], gained[starts] = 0, 0.0
        position = side * ((held < hold) & (gained > stop))
        held += 1
    return profits
