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
    contributions : (n_members, n, n_classes - 1) log-odds against the first class, or (n_members, n) values; together
        with ``base`` they sum to the prediction (its log-odds, its value).
    base : (n_classes - 1,) log-odds of the base rate, or () the mean of the target.
    agreement : (n,) share of the members whose own most probable class is the prediction; None for regression.
    members : names, in the order of contributions.
    degraded : whether a member was left out.
    """

    prediction: np.ndarray
    proba: np.ndarray | None
    confidence: np.ndarray | None
    contributions: np.ndarray
    base: np.ndarray
    agreement: np.ndarray | None
    members: tuple[str, ...]
    degraded: bool = False

    def frame(self, index: pd.Index | None = None) -> pd.DataFrame:
        """One row per prediction; each member's contribution (to the last class's log-odds) is a column of its name."""
        columns: dict[str, object] = {"prediction": self.prediction}
        if self.confidence is not None and self.agreement is not None:
            columns |= {"confidence": self.confidence, "agreement": self.agreement}
        last = self.contributions[..., -1] if self.contributions.ndim == 3 else self.contributions
        columns |= {f"from_{name}": values for name, values in zip(self.members, last)}
        return pd.DataFrame({**columns, "degraded": self.degraded}, index=index)
