"""Why an ensemble said what it said, row by row."""

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Explanation:
    """One prediction per row with what led to it.

    Attributes
    ----------
    prediction : (n,) class labels, or values.
    proba : (n, n_classes), None for regression.
    confidence : (n,) probability of the predicted class, None for regression.
    position : (n,) +1, 0 (no position: confidence below the threshold) or −1; None for regression.
    conformal : (n, n_classes) bool, the classes that cannot be excluded, or (n, 2) the interval of values; at
        ``coverage``.
    contributions : (n_members, n, n_classes - 1) log-odds against the first class, or (n_members, n) values; together
        with ``base`` they sum to the prediction (its log-odds, its value). An absent member's are 0.
    base : (n, n_classes - 1) log-odds of the base rate, or (n,) the mean of the target.
    agreement : (n,) share of the answering members whose own most probable class is the prediction; None for
        regression.
    regime : (n, n_regimes) filtered probabilities, None without regimes.
    members : names, in the order of contributions.
    degraded : (n,) whether a member was left out. left_out : why, by name.
    """

    prediction: np.ndarray
    proba: np.ndarray | None
    confidence: np.ndarray | None
    position: np.ndarray | None
    conformal: np.ndarray
    coverage: float
    contributions: np.ndarray
    base: np.ndarray
    agreement: np.ndarray | None
    regime: np.ndarray | None
    members: tuple[str, ...]
    degraded: np.ndarray
    left_out: dict[str, str]

    def frame(self, index: pd.Index | None = None) -> pd.DataFrame:
        """One row per prediction; each member's contribution (to the last class's log-odds) is a column of its name."""
        columns: dict[str, object] = {"prediction": self.prediction}
        if self.proba is None:
            columns |= {"lower": self.conformal[:, 0], "upper": self.conformal[:, 1]}
        else:
            columns |= {"confidence": self.confidence, "position": self.position, "agreement": self.agreement}
            columns |= {"classes_left": self.conformal.sum(axis=1)}
        if self.regime is not None:
            columns["regime"] = self.regime.argmax(axis=1)
        last = self.contributions[..., -1] if self.contributions.ndim == 3 else self.contributions
        columns |= {"from_base": self.base[:, -1] if self.base.ndim == 2 else self.base}
        columns |= {f"from_{name}": values for name, values in zip(self.members, last)}
        return pd.DataFrame({**columns, "degraded": self.degraded}, index=index)
