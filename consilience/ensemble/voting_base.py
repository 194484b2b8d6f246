"""What both votes do: weights, members on all rows, asking, storing."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np

from consilience.base import Arrays, InvalidState, Spec, State, invalid
from consilience.ensemble.combination import Combination
from consilience.ensemble.diversity import redundant
from consilience.ensemble.evidence import Evidence, gather
from consilience.ensemble.explaining import ExplainingMixin
from consilience.ensemble.failures import Answers, ask
from consilience.ensemble.fits import FitData
from consilience.ensemble.member_records import member_records
from consilience.ensemble.members import MembersMixin, check_fitted
from consilience.ensemble.newest import NewestRows
from consilience.ensemble.own_record import own_record, said_by_leaders, seconds_of
from consilience.ensemble.pool_source import FixedVotes, FromTable, PoolSource, scores_of
from consilience.ensemble.quorum import Quorum
from consilience.ensemble.splitters import restore_splitter, splitter_spec
from consilience.ensemble.stored import evidence_arrays, read_array, read_evidence, read_scores
from consilience.ensemble.weight_search import SEARCHES, MakeVote, fit_vote, said_by_votes
from consilience.evaluation.label_intervals import label_intervals
from consilience.evaluation.out_of_fold import OutOfFold

Weights = Sequence[float] | Literal["performance", "simplex", "greedy"] | None


class VotingBase(ExplainingMixin, MembersMixin):
    """What ``VotingClassifier`` and ``VotingRegressor`` share."""

    folds: Any
    weights: Weights
    n_jobs: int
    evidence_: Evidence | None
    oof_: OutOfFold | None

    def _vote_of(self, base: np.ndarray) -> MakeVote:
        """Turns weights into a vote."""
        raise NotImplementedError

    # -- fitting -----------------------------------------------------------------------------------------------

    def _fit_vote(self, data: FitData) -> None:
        quorum, owner = self._checked_quorum(), type(self).__name__
        horizon = getattr(self.folds, "label_horizon", None)
        if isinstance(self.weights, str) and self.weights not in SEARCHES:
            required = f"None, a list of numbers, or one of {', '.join(SEARCHES)}"
            raise invalid("weights", owner, required, self.weights)
        if isinstance(self.weights, str) or data.label_end is not None or horizon is not None:
            data = replace(data, intervals=label_intervals(data.X, data.label_end, horizon))
        self.base_ = self._base_of(data)
        if isinstance(self.weights, str):
            self._fit_searched(data, quorum)
        else:
            self._fit_given(data, quorum)

    def _fit_given(self, data: FitData, quorum: Quorum) -> None:
        if self.max_correlation is not None:
            required = "None unless weights are searched out of fold"
            raise invalid("max_correlation", type(self).__name__, required, self.max_correlation)
        if data.out_of_fold:
            required = "left out unless weights are searched out of fold"
            raise invalid("out_of_fold", type(self).__name__, required, sorted(data.out_of_fold))
        named = self._named_members()
        weights = dict(zip(named, self._given_weights(len(named)).tolist()))
        self.redundant_, self.evidence_, self.conformal_scores_, self.oof_ = {}, None, None, None
        self._fit_members(list(named), data, quorum, {})
        self._join_by_weights(_normalised(np.array([weights[name] for name in self.members_])))

    def _fit_searched(self, data: FitData, quorum: Quorum) -> None:
        records, reasons = member_records(self, data, quorum)
        assert data.intervals is not None
        everyone = gather(records, data.target, data.intervals, data.weight, len(getattr(self, "classes_", ())))
        self.redundant_ = redundant(everyone, self.max_correlation)
        kept = [name for name in records if name not in self.redundant_]
        self._fit_members(kept, data, quorum.speaking_for(self.redundant_), reasons)
        self.out_of_fold_ = {name: records[name] for name in self.members_}
        self.evidence_ = everyone.named(self.members_)
        source = self._source()
        if self.redundant_:
            assert self.max_correlation is not None
            candidates = everyone.named({*self.members_, *self.redundant_})
            said = said_by_leaders(candidates, self.max_correlation, source.said)
        else:
            said = source.said(self.evidence_)
        self.conformal_scores_ = scores_of(self.evidence_, said)
        self._join_by(source, source.fit(self.evidence_))
        classes, seconds = getattr(self, "classes_", np.empty(0)), seconds_of(list(self.out_of_fold_.values()))
        self.oof_ = own_record("vote", self.evidence_, said, len(data.target), classes, seconds)

    def _base_of(self, data: FitData) -> np.ndarray:
        """(n_classes,) class frequencies, smoothed by half a row per class; or () the mean of the target."""
        weight = np.ones(len(data.target)) if data.weight is None else data.weight
        if not hasattr(self, "classes_"):
            return np.asarray(np.average(data.target, weights=weight))
        counts = np.bincount(data.target, weight / max(weight.mean(), 1e-300), len(self.classes_)) + 0.5
        return np.asarray(counts / counts.sum())

    def _given_weights(self, n_members: int) -> np.ndarray:
        if self.weights is None:
            return np.full(n_members, 1.0 / n_members)
        required = f"{n_members} non-negative numbers, not all zero, one per member"
        try:
            weights = np.asarray(self.weights, np.float64)
        except (TypeError, ValueError):
            raise invalid("weights", type(self).__name__, required, self.weights) from None
        if weights.shape != (n_members,) or not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
            raise invalid("weights", type(self).__name__, required, self.weights)
        return np.asarray(weights / weights.sum())

    def _source(self) -> FromTable:
        assert self.evidence_ is not None and isinstance(self.weights, str)
        method, make = self.weights, self._vote_of(self.base_)
        fit, said = partial(fit_vote, method=method, make=make), partial(said_by_votes, method=method, make=make)
        return FromTable(self.evidence_, fit, said)

    def _join_by_weights(self, weights: np.ndarray) -> None:
        pool = self._vote_of(self.base_)(weights)
        source = FixedVotes(tuple(self.members_), pool) if self.evidence_ is None else self._source()
        self._join_by(source, pool)

    def _join_by(self, source: PoolSource, pool: Any) -> None:
        self.combination_ = Combination(source, pool, self.conformal_scores_, self.quorum_, type(self).__name__)

    # -- predicting --------------------------------------------------------------------------------------------

    def _ask(self, X: Any, n: int | None = None) -> Answers:
        """Every member's answer; of the newest n rows only where n is given."""
        check_fitted(self)
        classes = getattr(self, "classes_", None)
        method = "predict" if classes is None else "predict_proba"
        X = self._ordered_columns(X)
        newest = None if n is None else NewestRows(X, n)
        return ask(self.members_, method, X, classes=classes, budget=self.predict_budget, newest=newest)

    @property
    def vote_weights_(self) -> np.ndarray:
        """(n_members,) the weights, summing to 1."""
        return self.combination_.pool.weights

    @property
    def weights_(self) -> dict[str, float]:
        """Each member's weight, by name; they sum to 1."""
        return dict(zip(self.members_, self.vote_weights_.tolist()))

    # -- state -------------------------------------------------------------------------------------------------

    def _params_spec(self) -> Spec:
        spec = {name: value for name, value in self.get_params(deep=False).items() if name not in ("members", "folds")}
        if not isinstance(self.weights, str | None):
            spec["weights"] = self.vote_weights_.tolist()
        return {
            **spec,
            "members": [name for name, _ in self.members if name in self.members_],
            "folds": splitter_spec(self.folds),
        }

    @classmethod
    def _from_params_spec(cls, spec: Spec, children: dict[str, Any]) -> Any:
        members = [(name, children[name]) for name in spec["members"]]
        params = {**spec, "members": members, "folds": restore_splitter(spec["folds"])}
        return super()._from_params_spec(params, children)

    def _fitted_state(self) -> tuple[Spec, Arrays, dict[str, State]]:
        arrays: Arrays = {"weights": self.vote_weights_, "base": self.base_}
        if self.evidence_ is not None and self.conformal_scores_ is not None:
            arrays |= {**evidence_arrays(self.evidence_), "conformal_scores": self.conformal_scores_}
        return self._members_spec(), arrays, self._member_states()

    def _restore_fitted(self, spec: Spec, arrays: Arrays, children: dict[str, Any]) -> None:
        self._restore_members(spec, children)
        owner, n_classes = type(self).__name__, len(getattr(self, "classes_", ()))
        weights = arrays["weights"]
        if weights.shape != (len(self.members_),) or weights.dtype.kind != "f" or not np.isfinite(weights).all():
            raise InvalidState(f"The stored {owner} must have one finite weight per member.")
        if (weights < 0).any() or not weights.any():
            raise InvalidState(f"The stored {owner} has weights that cannot be averaged with.")
        shape = (n_classes,) if n_classes else ()
        unknown = np.full(shape, 1.0 / n_classes if n_classes else 0.0)  # earlier releases did not store it
        self.base_ = read_array({"base": unknown} | arrays, "base", shape, "f")
        if n_classes and ((self.base_ <= 0).any() or abs(self.base_.sum() - 1.0) > 1e-6):
            raise InvalidState(f"The base rate of the stored {owner} is not a distribution over the classes.")
        self.evidence_ = self.conformal_scores_ = self.oof_ = None
        if isinstance(self.weights, str) and "oof_rows" in arrays:
            if self.weights not in SEARCHES:
                raise InvalidState(f"The stored {owner} searched its weights by {self.weights!r}, which is not known.")
            self.evidence_ = read_evidence(arrays, tuple(self.members_), n_classes)
            self.conformal_scores_ = read_scores(arrays, self.evidence_.n_rows)
        self._join_by_weights(weights)


def _normalised(weights: np.ndarray) -> np.ndarray:
    """Weights summing to 1; equal where nobody with a weight is left."""
    total = float(weights.sum())
    return weights / total if total > 0.0 else np.full(len(weights), 1.0 / len(weights))
