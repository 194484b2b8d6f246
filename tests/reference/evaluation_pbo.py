"""The published example of the probability of backtest overfitting: the paper's first test case, as R generates it.

R's default generator (Mersenne twister with R's seeding, normals by inversion) is rebuilt here, so that the very matrix
of the example in the documentation of R's package ``pbo`` can be measured: 100 trials of 2400 days, all with one mean.
"""

import numpy as np
from scipy.stats import norm

# summary(pbo(m, s = 8, f = sharpe, threshold = 0)) as published: p_bo, ar^2, p_loss.
PUBLISHED = {"p_bo": 1.0, "ar^2": 0.97, "p_loss": 1.0}


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
