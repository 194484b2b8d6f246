"""Names for regimes, from what they are like and not from their numbers."""

import numpy as np

from consilience.base import invalid


def regime_names(returns: np.ndarray, volatilities: np.ndarray) -> list[str]:
    """A name per state: bull, bear, accumulation or distribution.

    The state with the highest mean return is the *bull* if that mean is above zero; the one with the lowest is the
    *bear* if it is below zero. Of the others, which go nowhere much, those at most as volatile as the median state are
    *accumulation* (quiet), the rest *distribution* (restless), after Wyckoff's phases. A name that is needed again gets
    a number, the calmer state first. Renumbering the states renumbers the names and changes none.

    Parameters
    ----------
    returns, volatilities : (K,) mean and standard deviation of the return in each state, in any unit.

    >>> regime_names(np.array([-0.2, 0.01, 0.1, -0.01]), np.array([2.5, 1.5, 0.7, 0.5]))
    ['bear', 'distribution', 'bull', 'accumulation']
    """
    returns, volatilities = np.asarray(returns, dtype=np.float64), np.asarray(volatilities, dtype=np.float64)
    if returns.ndim != 1 or returns.shape != volatilities.shape or len(returns) == 0:
        raise invalid("returns", "regime_names", "as long as volatilities, and not empty", returns)
    order = np.lexsort((volatilities, returns))
    names = [""] * len(returns)
    if returns[order[-1]] > 0:
        names[order[-1]] = "bull"
    if returns[order[0]] < 0:
        names[order[0]] = "bear"
    middle = np.median(volatilities)
    counts = {"accumulation": 0, "distribution": 0}
    for state in np.lexsort((returns, volatilities)):
        if names[state]:
            continue
        name = "accumulation" if volatilities[state] <= middle else "distribution"
        counts[name] += 1
        names[state] = name if counts[name] == 1 else f"{name} {counts[name]}"
    return names
