"""Explanations and positions, the same for stacks and votes."""

from typing import Any

import numpy as np
import pandas as pd

from consilience.base import InvalidInput, invalid
from consilience.ensemble import conformal
from consilience.ensemble.abstention import positions
from consilience.ensemble.combination import Combination, Joined
from consilience.ensemble.evidence import Evidence
from consilience.ensemble.explanation import Explanation
from consilience.ensemble.failures import Answers
from consilience.ensemble.vote_pools import HardVote


class ExplainingMixin:
    """``explain`` and ``conformal_drift`` of an ensemble that asks its members and combines what they say."""

    combination_: Combination
    conformal_scores_: Any
    evidence_: Any
    members_: dict[str, Any]
    failures_: dict[str, str]

    def _ask(self, X: Any, n: int | None = None) -> Answers:
        raise NotImplementedError

    def _join(self, X: Any, n: int | None = None) -> np.ndarray:
        """One answer from all; where a member is missing, from the combination of the remaining ones."""
        answers = self._ask(X, n)
        return self.combination_.combine(answers)

    def explain(self, X: Any, *, coverage: float = 0.9) -> Explanation:
        """The prediction of each row with every member's contribution; see ``Explanation``.

        Parameters
        ----------
        coverage : share of rows whose conformal set (interval) holds the true class (value), if the future is
            exchangeable with the past. Rows that a member left out are held to the scores of those that remain.

        Raises
        ------
        QuorumNotMet : too few members answered.
        """
        if not 0.0 < coverage < 1.0:
            raise invalid("coverage", f"{type(self).__name__}.explain", "a share in (0, 1)", coverage)
        answers = self._ask(X)
        joined = self.combination_.explain(answers, coverage)
        classifies = joined.output.ndim == 2
        parts = self._of_classes(joined) if classifies else self._of_values(joined)
        share = "share" if isinstance(self.combination_.pool, HardVote) else "log-odds"
        return Explanation(
            **parts,
            coverage=coverage,
            contributions=joined.contributions,
            base=joined.base,
            scale=share if classifies else "value",
            agreement=_agreement(answers, joined),
            regime=answers.regimes,
            members=tuple(self.members_),
            degraded=joined.degraded | bool(self.failures_),
            left_out={**self.failures_, **joined.reasons},
        )

    def _of_classes(self, joined: Joined) -> dict[str, Any]:
        proba = joined.output
        sets = None if joined.limit is None else conformal.class_sets(proba, joined.limit)
        return {
            "prediction": self.classes_[proba.argmax(axis=1)],  # type: ignore[attr-defined]
            "proba": proba,
            "confidence": proba.max(axis=1),
            "position": positions(proba, self.confidence_threshold),  # type: ignore[attr-defined]
            "conformal": sets,
        }

    def _of_values(self, joined: Joined) -> dict[str, Any]:
        ends = None if joined.limit is None else conformal.value_intervals(joined.output, joined.limit)
        nothing = dict.fromkeys(("proba", "confidence", "position"))
        return {"prediction": joined.output, "conformal": ends, **nothing}

    def conformal_drift(self, coverage: float = 0.9, n_blocks: int = 5) -> pd.DataFrame:
        """How well this ensemble's conformal sets would have kept their promise over time; see ``coverage_over_time``.

        Raises
        ------
        InvalidInput : an ensemble without out-of-fold predictions.
        """
        table: Evidence | None = self.evidence_
        scores: np.ndarray | None = self.conformal_scores_
        if table is None or scores is None:
            raise InvalidInput(
                f"This {type(self).__name__} has no out-of-fold predictions, and so no conformal sets; search its "
                "weights (weights='simplex', folds=...), or use a stack."
            )
        rows = slice(table.n_rows - len(scores), None)
        return conformal.coverage_over_time(scores, table.begin[rows], table.end[rows], coverage, n_blocks)


class PositionsMixin:
    """``positions`` of a classifying ensemble."""

    confidence_threshold: float | None

    def positions(self, X: Any) -> np.ndarray:
        """+1, 0 or −1 per row, (n,): 0 where the confidence is below ``confidence_threshold``."""
        return positions(self.predict_proba(X), self.confidence_threshold)  # type: ignore[attr-defined]


def _agreement(answers: Answers, joined: Joined) -> np.ndarray:
    """(n,) share of the members that are there and say the same class, or the same side of the base."""
    if joined.output.ndim == 2:
        own = answers.outputs.argmax(axis=2) == joined.output.argmax(axis=1)
    else:
        with np.errstate(invalid="ignore"):
            own = np.sign(answers.outputs - joined.base) == np.sign(joined.output - joined.base)
    present = np.ones(own.shape, bool) if answers.alive is None else answers.alive
    share: np.ndarray = (own & present).sum(axis=0) / present.sum(axis=0)
    return share
