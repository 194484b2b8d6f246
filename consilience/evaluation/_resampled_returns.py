"""Compiled: one pass over each bootstrap sample of a return matrix, accumulating what every trading measure needs."""

import numpy as np
from numba import njit

# Rows of the result: sums over the sample, and the state of the wealth path.
SUM, SQUARES, DOWNSIDE, WEALTH, PEAK, DRAWDOWN, UNDER, LONGEST, WINS, TRADES, GAINS, LOSSES = range(12)
N_SUMS = 12


@njit(cache=True, nogil=True, error_model="numpy")
def resampled_sums(
    returns: np.ndarray, samples: np.ndarray, centre: np.ndarray, risk_free: float, unit: float, out: np.ndarray
) -> None:
    """Accumulate into out (b, 12, k), zeros at first, the returns (n, k) drawn at samples (b, n); all C-ordered.

    Returns, centre and risk_free are in multiples of ``unit``, so that their squares neither overflow nor vanish.
    Squares are taken about ``centre`` (k,), so that a variance keeps its digits where the mean is large. The inner
    loop runs over columns, which are neighbours in memory, so that it becomes vector code.
    """
    n_samples, n = samples.shape
    k = returns.shape[1]
    for b in range(n_samples):
        state = out[b]
        for j in range(k):
            state[WEALTH, j] = 1.0
            state[PEAK, j] = 1.0
        for i in range(n):
            row = returns[samples[b, i]]
            for j in range(k):
                r = row[j]
                distance = r - centre[j]
                below = min(r - risk_free, 0.0)
                wealth = min(state[WEALTH, j] * max(1.0 + r * unit, 0.0), 1e300)  # what is lost stays lost
                peak = max(state[PEAK, j], wealth)
                under = 0.0 if wealth >= peak else state[UNDER, j] + 1.0
                state[SUM, j] += distance
                state[SQUARES, j] += distance * distance
                state[DOWNSIDE, j] += below * below
                state[WEALTH, j] = wealth
                state[PEAK, j] = peak
                state[DRAWDOWN, j] = min(state[DRAWDOWN, j], wealth / peak - 1.0)
                state[UNDER, j] = under
                state[LONGEST, j] = max(state[LONGEST, j], under)
                state[WINS, j] += 1.0 if r > 0.0 else 0.0
                state[TRADES, j] += 1.0 if r != 0.0 else 0.0
                state[GAINS, j] += max(r, 0.0)
                state[LOSSES, j] -= min(r, 0.0)
