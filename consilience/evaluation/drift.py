"""Has the distribution of a feature moved between training and test rows? Calibrated by sample size and dependence."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from consilience.base import InvalidInput, invalid
from consilience.evaluation.significance import false_discovery


@dataclass(frozen=True)
class Drift:
    """The result of ``feature_drift``.

    Attributes
    ----------
    table : one row per feature: ``ks`` (largest distance of the distribution functions), ``psi`` (population stability
        index), ``p_ks``, ``p_psi``, ``p_value`` (both, Bonferroni), ``adjusted`` (Benjamini-Hochberg), ``drifted``.
    drifted : names of the drifted features, the strongest first.
    """

    table: pd.DataFrame
    drifted: tuple[str, ...]


def feature_drift(
    train: Any, test: Any, *, level: float = 0.05, n_bins: int = 10, dependent: bool = True, names: Any = None
) -> Drift:
    """Compare each column's distribution in ``train`` (n, d) with that in ``test`` (m, d); NaN are left out.

    Parameters
    ----------
    level : the expected share of false alarms among the alarms, over all features.
    n_bins : bins of the PSI, of equal count in train.
    dependent : count autocorrelated rows for what they are worth, n / (1 + 2 Σ ρ), ρ the autocorrelations of the ranks.
        Without it persistent features alarm nearly always.

    A fixed PSI threshold (0.1, 0.25) alarms by sample size: without drift (n m / (n + m)) PSI is about chi-square with
    n_bins - 1 degrees of freedom (Yurdakul & Naranjo 2020), which gives its p-value here.

    >>> rng = np.random.default_rng(1)
    >>> a, b = rng.standard_normal((500, 2)), rng.standard_normal((300, 2)) + [0.0, 0.5]
    >>> feature_drift(a, b, names=["same", "moved"]).drifted
    ('moved',)
    """
    first, second = np.asarray(train, np.float64), np.asarray(test, np.float64)
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise InvalidInput(
            f"train and test must have the same columns; their shapes are {first.shape}, {second.shape}."
        )
    if n_bins < 2:
        raise invalid("n_bins", "feature_drift", "an integer >= 2", n_bins)
    labels = names if names is not None else getattr(train, "columns", range(first.shape[1]))
    rows = [_compare(first[:, i], second[:, i], n_bins, dependent) for i in range(first.shape[1])]
    table = pd.DataFrame(rows, index=pd.Index([str(name) for name in labels], name="feature"))
    table["p_value"] = np.minimum(1.0, 2.0 * table[["p_ks", "p_psi"]].min(axis=1))
    table["drifted"], table["adjusted"] = false_discovery(table["p_value"].to_numpy(), level)
    strongest = table[table["drifted"]].sort_values("ks", ascending=False)
    return Drift(table, tuple(strongest.index))


def population_stability_index(train: np.ndarray, test: np.ndarray, n_bins: int = 10) -> tuple[float, int]:
    """PSI over bins of equal count in train, in nats, and the number of bins that ties leave.

    Half a row is added to every bin, so that an empty one stays finite.
    """
    edges = np.unique(np.quantile(train, np.linspace(0, 1, n_bins + 1)[1:-1]))
    shares = []
    for side in (train, test):
        count = np.bincount(np.searchsorted(edges, side, side="left"), minlength=len(edges) + 1) + 0.5
        shares.append(count / count.sum())
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum()), len(edges) + 1


def effective_size(series: np.ndarray) -> float:
    """How many independent values a series (n,) is worth: n / (1 + 2 Σ ρ), over lags until ρ falls below noise."""
    n = len(series)
    ranks = stats.rankdata(series) - (n + 1) / 2.0
    power = ranks @ ranks
    if n < 8 or power == 0.0:
        return float(n)
    size = 2 ** int(np.ceil(np.log2(2 * n)))
    rho = np.fft.irfft(np.abs(np.fft.rfft(ranks, size)) ** 2, size)[1 : n // 2] / power
    small = np.flatnonzero(rho < 2.0 / np.sqrt(n))
    stop = int(small[0]) if len(small) else len(rho)
    return float(max(2.0, n / (1.0 + 2.0 * rho[:stop].sum())))


def _compare(a: np.ndarray, b: np.ndarray, n_bins: int, dependent: bool) -> dict[str, float]:
    a, b = a[~np.isnan(a)], b[~np.isnan(b)]
    if min(len(a), len(b)) < 2:
        # A feature that is there on one side only has drifted as far as one can.
        gone = float(len(a) != len(b) and max(len(a), len(b)) >= 2)
        return {"ks": gone, "psi": np.inf if gone else 0.0, "p_ks": 1.0 - gone, "p_psi": 1.0 - gone}
    n, m = (effective_size(a), effective_size(b)) if dependent else (float(len(a)), float(len(b)))
    weight = n * m / (n + m)
    distance = float(stats.ks_2samp(a, b, method="asymp").statistic)
    psi, bins = population_stability_index(a, b, n_bins)
    return {
        "ks": distance,
        "psi": psi,
        "p_ks": float(stats.kstwobign.sf(distance * (np.sqrt(weight) + 0.12 + 0.11 / np.sqrt(weight)))),
        "p_psi": float(stats.chi2.sf(psi * weight, bins - 1)) if bins > 1 else 1.0,
    }
