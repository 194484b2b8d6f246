"""Is one forecast better than another? Paired tests that respect serial dependence, and false-discovery control."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from consilience.base import InvalidInput
from consilience.base.magnitude import magnitude


@dataclass(frozen=True)
class PairedTest:
    """A paired comparison of a first forecast with a second.

    Attributes
    ----------
    test : its name. difference : mean loss of the first minus the second; negative favours the first.
    statistic : the test statistic. p_value : two-sided. p_better : one-sided, of "the first is no better".
    """

    test: str
    difference: float
    statistic: float
    p_value: float
    p_better: float


def diebold_mariano(
    first: np.ndarray, second: np.ndarray, *, horizon: int = 1, bandwidth: int | None = None
) -> PairedTest:
    """Test of equal expected loss on the same periods (Diebold & Mariano 1995), HAC variance, Student t.

    Parameters
    ----------
    first, second : (n,) losses per period; average a panel's assets within each period first.
    horizon : periods per label; overlapping labels make losses dependent over horizon - 1 lags.
    bandwidth : lags of the Bartlett (Newey-West 1987) variance; by default the larger of horizon - 1 and
        floor(4 (n/100)^(2/9)). The statistic carries the small-sample factor of Harvey, Leybourne & Newbold (1997).

    >>> rng = np.random.default_rng(0)
    >>> a, b = rng.random(300), rng.random(300) + 0.2
    >>> diebold_mariano(a, b).p_better < 0.001
    True
    """
    difference = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    if difference.ndim != 1 or len(difference) < 8:
        raise InvalidInput(
            f"diebold_mariano needs two equally long series of at least 8 losses; got {difference.shape}."
        )
    if not np.isfinite(difference).all():
        raise InvalidInput("Losses must be finite.")
    n = len(difference)
    lags = max(horizon - 1, int(4.0 * (n / 100.0) ** (2.0 / 9.0))) if bandwidth is None else bandwidth
    mean = float(difference.mean())
    if not np.any(difference != difference[0]):
        certain = 0.0 if mean < 0 else 1.0
        return PairedTest(
            "Diebold-Mariano", mean, float(np.copysign(np.inf, mean)) if mean else 0.0, float(mean == 0), certain
        )
    scale = magnitude(difference)
    variance = newey_west(difference / scale, lags)
    correction = (n + 1 - 2 * horizon + horizon * (horizon - 1) / n) / n
    statistic = (mean / scale) / np.sqrt(variance / n) * np.sqrt(max(correction, 1.0 / n))
    student = stats.t(n - 1)
    return PairedTest(
        "Diebold-Mariano", mean, float(statistic), float(2 * student.sf(abs(statistic))), float(student.cdf(statistic))
    )


def newey_west(series: np.ndarray, lags: int) -> float:
    """Long-run variance of a series (n,) with Bartlett weights; positive by construction, in squared units of the
    series, which must be below 1e150 in size."""
    centred = series - series.mean()
    n = len(series)
    total = centred @ centred / n
    for lag in range(1, min(lags, n - 1) + 1):
        total += 2.0 * (1.0 - lag / (lags + 1.0)) * (centred[lag:] @ centred[:-lag]) / n
    return float(total)


def mcnemar(first_correct: np.ndarray, second_correct: np.ndarray) -> PairedTest:
    """Exact test of equal accuracy from the rows where only one is right (McNemar 1947), binomial, two-sided.

    The rows are taken as independent: for overlapping labels prefer ``diebold_mariano`` on the 0/1 losses.

    >>> round(mcnemar(np.array([1] * 9 + [0]), np.array([0] * 9 + [1])).p_value, 4)
    0.0215
    """
    a, b = np.asarray(first_correct, bool), np.asarray(second_correct, bool)
    if a.shape != b.shape or a.ndim != 1 or len(a) == 0:
        raise InvalidInput(
            f"mcnemar needs two equally long series (n,) of right or wrong; got {a.shape} and {b.shape}."
        )
    only_first, only_second = int((a & ~b).sum()), int((b & ~a).sum())
    differing = only_first + only_second
    difference = (only_second - only_first) / len(a)
    if differing == 0:
        return PairedTest("McNemar", 0.0, 0.0, 1.0, 1.0)
    two_sided = float(stats.binomtest(only_first, differing, 0.5).pvalue)
    better = float(stats.binom.sf(only_first - 1, differing, 0.5))
    return PairedTest("McNemar", difference, float(only_first), two_sided, better)


def false_discovery(p_values: Any, level: float = 0.05, *, dependent: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Which of many hypotheses to reject so that at most ``level`` of the rejections are expected to be false.

    Benjamini & Hochberg (1995); with ``dependent`` the stricter rule of Benjamini & Yekutieli (2001).

    Returns
    -------
    rejected : (m,) bool. adjusted : (m,) the smallest level at which each would be rejected.
    """
    p = np.asarray(p_values, np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise InvalidInput("p_values must be probabilities (m,).")
    if len(p) == 0:
        return np.zeros(0, bool), np.zeros(0)
    adjusted = stats.false_discovery_control(p, method="by" if dependent else "bh")
    return adjusted <= level, adjusted
