"""A synthetic market with structure planted in it, of which the true probability of every move is known.

The next move's sign is drawn with log-odds that add up four parts, each visible to another kind of model:

- *linear*: the overnight gap;
- *interaction*: volume surprise times shadow asymmetry, neither of which says anything alone;
- *motif*: a fixed pattern in the five bars before, in their gaps and shadows, which one bar's features do not hold;
- *regime*: a hidden Markov chain of three regimes with their own drift, volatility, and sign of the gap's effect.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from consilience.base.errors import invalid
from consilience.data.bars import check_bars

_MOTIF = np.array([1.0, -0.8, 0.6, 0.9, -1.0])
_GAP = 0.004  # standard deviation of the overnight gap, the same in every regime
_STAY = 0.985
_DRIFT = np.array([1.0, 0.0, -1.0])
_VOLATILITY = np.array([0.006, 0.010, 0.022])


@dataclass(frozen=True)
class Strength:
    """Size of each planted part, in standard deviations of the log-odds; all zero is a market without structure."""

    linear: float = 0.35
    interaction: float = 0.8
    motif: float = 1.0
    regime: float = 0.5


def planted_market(
    seed: int = 0, n_bars: int = 2500, n_assets: int = 2, strength: Strength | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Daily bars of a market with known structure.

    Parameters
    ----------
    seed : the same seed gives the same market.
    n_bars : bars per asset, at least 20.
    n_assets : assets, with independent noise and regimes.
    strength : how strong each part is.

    Returns
    -------
    bars : DataFrame like ``load_csv`` gives.
    truth : same index; ``p_up`` is the true probability that the next close is higher given everything up to this bar
        (the hidden regime included), ``regime`` the hidden regime (0 bull, 1 calm, 2 bear).

    Examples
    --------
    >>> bars, truth = planted_market(seed=1, n_bars=300, n_assets=1)
    >>> bars.shape, bool(truth["p_up"].between(0, 1).all())
    ((300, 5), True)
    """
    if n_bars < 20:
        raise invalid("n_bars", "planted_market", "an integer >= 20", n_bars)
    if n_assets < 1:
        raise invalid("n_assets", "planted_market", "an integer >= 1", n_assets)
    strength = strength or Strength()
    frames, truths = [], []
    for number, source in enumerate(np.random.SeedSequence(seed).spawn(n_assets)):
        columns, truth = _one_asset(np.random.default_rng(source), n_bars, strength)
        index = pd.MultiIndex.from_product(
            [[f"PLANTED{number + 1}"], pd.bdate_range("2005-01-03", periods=n_bars)], names=["asset", "time"]
        )
        frames.append(pd.DataFrame(columns, index=index))
        truths.append(pd.DataFrame(truth, index=index))
    bars = check_bars(pd.concat(frames), "the planted market")
    return bars, pd.concat(truths).loc[bars.index]


def _one_asset(rng: np.random.Generator, n: int, strength: Strength) -> tuple[dict, dict]:
    gap, volume, shadow = rng.standard_normal((3, n))
    regime = _regimes(rng, n)
    log_odds = _log_odds(gap, volume, shadow, regime, strength)
    p_up = 1.0 / (1.0 + np.exp(-log_odds))
    # the sign of bar t's close-to-close move is drawn from what was known at bar t-1
    sign = np.where(rng.random(n) < np.concatenate([[0.5], p_up[:-1]]), 1.0, -1.0)
    spread = _VOLATILITY[regime]
    move = sign * np.abs(rng.standard_normal(n)) * spread
    close = 1000.0 * np.exp(np.cumsum(move))
    previous = np.concatenate([[1000.0], close[:-1]])
    opened = previous * np.exp(_GAP * gap)
    # the shadows' asymmetry is tanh(shadow) by construction, whatever the day's body
    body = np.abs(np.log(close / opened))
    length = 0.5 * body + 0.5 * spread
    share = 0.5 * (1.0 + np.tanh(shadow))
    high = np.maximum(opened, close) * np.exp(2 * length * share)
    low = np.minimum(opened, close) * np.exp(-2 * length * (1 - share))
    traded = np.round(1e6 * np.exp(0.4 * volume))
    bars = {"open": opened, "high": high, "low": low, "close": close, "volume": traded}
    return bars, {"p_up": p_up, "regime": regime}


def _regimes(rng: np.random.Generator, n: int) -> np.ndarray:
    regime = np.empty(n, np.int64)
    state = int(rng.integers(3))
    for t, draw in enumerate(rng.random((n, 2))):
        if draw[0] > _STAY:
            state = (state + 1 + int(draw[1] > 0.5)) % 3
        regime[t] = state
    return regime


def _log_odds(
    gap: np.ndarray, volume: np.ndarray, shadow: np.ndarray, regime: np.ndarray, strength: Strength
) -> np.ndarray:
    n = len(gap)
    # the last bar itself is left out of the motif, so that one bar's features cannot stand in for it
    stream = gap + np.tanh(shadow)
    padded = np.concatenate([np.zeros(len(_MOTIF)), stream])[:n]
    lagged = np.lib.stride_tricks.sliding_window_view(np.concatenate([np.zeros(len(_MOTIF) - 1), padded]), len(_MOTIF))
    motif = lagged @ _MOTIF[::-1] / (np.linalg.norm(_MOTIF) * np.std(stream))
    drift = _DRIFT[regime]
    return (
        strength.linear * gap * np.where(drift < 0, -0.5, 1.0)
        + strength.interaction * np.clip(volume, -2, 2) * np.tanh(shadow) / 0.55
        + strength.motif * motif
        + strength.regime * drift
    )
