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
        ``coverage``. None for a vote without out-of-fold predictions.
    contributions : (n_members, n, n_classes - 1) or, for values, (n_members, n), on the ``scale``; together with
        ``base`` they sum to the prediction. An absent member's are 0.
    base : (n, n_classes - 1) or (n,) what is said before any member.
    scale : "log-odds" against the first class; "share" of a hard vote for each class but the first; "value".
    agreement : (n,) share of the answering members whose own most probable class is the prediction; for values, who
        lie on the prediction's side of the base.
    regime : (n, n_regimes) filtered probabilities, None without regimes.
    members : names, in the order of contributions.
    degraded : (n,) whether a member was left out. left_out : why, by name.

    Examples
    --------
    >>> from consilience.boosting import LogisticClassifier
    >>> from consilience.ensemble import VotingClassifier
    >>> X = np.random.default_rng(0).standard_normal((60, 2))
    >>> vote = VotingClassifier([("a", LogisticClassifier()), ("b", LogisticClassifier(C=0.1))]).fit(X, X[:, 0] > 0)
    >>> vote.explain(X[:2]).frame().columns.tolist()[:4]
    ['prediction', 'confidence', 'position', 'agreement']
    """

    prediction: np.ndarray
    proba: np.ndarray | None
    confidence: np.ndarray | None
    position: np.ndarray | None
    conformal: np.ndarray | None
    coverage: float
    contributions: np.ndarray
    base: np.ndarray
    scale: str
    agreement: np.ndarray
    regime: np.ndarray | None
    members: tuple[str, ...]
    degraded: np.ndarray
    left_out: dict[str, str]

    def frame(self, index: pd.Index | None = None) -> pd.DataFrame:
        """One row per prediction; each member's contribution (to the last class's log-odds) is a column of its name."""
        columns: dict[str, object] = {"prediction": self.prediction}
        if self.proba is not None:
            columns |= {"confidence": self.confidence, "position": self.position}
        columns["agreement"] = self.agreement
        if self.conformal is not None:
            lower, upper = self.conformal[:, 0], self.conformal[:, -1]
            sets = {"classes_left": self.conformal.sum(axis=1)}
            columns |= {"lower": lower, "upper": upper} if self.proba is None else sets
        if self.regime is not None:
            columns["regime"] = self.regime.argmax(axis=1)
        last = self.contributions[..., -1] if self.contributions.ndim == 3 else self.contributions
        columns |= {"from_base": self.base[:, -1] if self.base.ndim == 2 else self.base}
        columns |= {f"from_{name}": values for name, values in zip(self.members, last)}
        return pd.DataFrame({**columns, "degraded": self.degraded}, index=index)
