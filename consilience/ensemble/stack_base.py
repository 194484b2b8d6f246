"""What both stacks do: fit members and meta-learner, ask, join."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from consilience.base import invalid
from consilience.ensemble.combination import Combination
from consilience.ensemble.diversity import redundant
from consilience.ensemble.evidence import Evidence, gather
from consilience.ensemble.explaining import ExplainingMixin
from consilience.ensemble.failures import Answers, ask, warn_left_out
from consilience.ensemble.final_estimator import FinalEstimator, check_final, fit_final, said_by_final
from consilience.ensemble.fits import FitData
from consilience.ensemble.member_records import member_records
from consilience.ensemble.members import OnMember, check_fitted
from consilience.ensemble.newest import NewestRows
from consilience.ensemble.own_record import own_record, said_by_leaders, said_by_pools, seconds_of
from consilience.ensemble.pool import Pool
from consilience.ensemble.pool_source import FromTable, scores_of
from consilience.ensemble.quorum import Quorum
from consilience.ensemble.regimes import filtered_where_known, regimes_out_of_fold
from consilience.ensemble.selection import fit_specialists, said_by_specialists
from consilience.ensemble.shrinkage import fit_pool
from consilience.ensemble.stack_state import StackState
from consilience.evaluation.label_intervals import label_intervals

SELECTIONS = ("weights", "specialist")


class StackBase(ExplainingMixin, StackState):
    """What ``StackingClassifier`` and ``StackingRegressor`` share: fitting, asking, joining."""

    passthrough: bool
    n_jobs: int
    evidence_: Evidence
    conformal_scores_: np.ndarray

    # -- fitting -----------------------------------------------------------------------------------------------

    def _fit_stack(self, data: FitData) -> None:
        """Out-of-fold predictions of every member, the members on all rows, then the meta-learner for those that made
        it."""
        owner = type(self).__name__
        if len(data.X) < 2:
            raise invalid("X", owner, "two rows or more, because folds need a past and a future", "1 sample")
        quorum = self._checked_quorum()
        self._check_stack(owner)
        intervals = label_intervals(data.X, data.label_end, self._horizon())
        data = replace(data, intervals=intervals)
        records, reasons = member_records(self, data, quorum)
        regimes = self._fit_regimes(data)
        everyone = gather(records, data.target, intervals, data.weight, self._n_classes(), regimes)
        self.redundant_ = redundant(everyone, self.max_correlation)
        kept = [name for name in records if name not in self.redundant_]
        self._fit_members(kept, data, quorum.speaking_for(self.redundant_), reasons)
        self.out_of_fold_ = {name: records[name] for name in self.members_}
        self._fit_combination(everyone.named({*self.members_, *self.redundant_}), data)
        classes, seconds = getattr(self, "classes_", np.empty(0)), seconds_of(list(self.out_of_fold_.values()))
        self.oof_ = own_record("stack", self.evidence_, self._said, len(data.target), classes, seconds)

    def _check_stack(self, owner: str) -> None:
        if self.selection not in SELECTIONS:
            raise invalid("selection", owner, f"one of {', '.join(SELECTIONS)}", self.selection)
        if self.final_estimator is not None:
            if self.selection == "specialist":
                raise invalid("selection", owner, "'weights' where there is a final_estimator", self.selection)
            check_final(self.final_estimator, owner)

    def _fit_combination(self, everyone: Evidence, data: FitData) -> None:
        """The meta-learner of the members that are there, and what it said when it knew earlier folds only.

        Parameters
        ----------
        everyone : the table of these members and of the redundant ones, who may have led in earlier folds.
        """
        self.evidence_ = everyone.named(self.members_)
        source, final = self._source(), None
        pool, said_of = source.fit(self.evidence_), source.said
        if self.final_estimator is not None:
            passed = _matrix(data.X)[self.evidence_.rows] if self.passthrough else None
            final, self._said = fit_final(self.final_estimator, self.evidence_, passed)
            said_of = partial(said_by_final, self.final_estimator, passed)
        if self.redundant_:
            assert self.max_correlation is not None
            self._said = said_by_leaders(everyone, self.max_correlation, said_of)
        elif final is None:
            self._said = said_of(self.evidence_)
        self.conformal_scores_ = scores_of(self.evidence_, self._said)
        self._join_by(source, pool, final)

    def _source(self) -> FromTable:
        if self.selection == "specialist":
            return FromTable(self.evidence_, fit_specialists, said_by_specialists)
        return FromTable(self.evidence_, fit_pool, said_by_pools)

    def _join_by(self, source: FromTable, pool: Any, final: FinalEstimator | None) -> None:
        self.final_ = final
        owner = type(self).__name__
        self.combination_ = Combination(source, pool, self.conformal_scores_, self.quorum_, owner, final)

    def refit_members(
        self,
        X: Any,
        y: Any,
        *,
        label_end: Any = None,
        sample_weight: Any = None,
        on_member: OnMember | None = None,
    ) -> Any:
        """Fit every member again on these (usually more) rows; the meta-learner stays as it is.

        Parameters are those of ``fit``. A member that fails here keeps the fit that it had, and a warning names it.

        Raises
        ------
        QuorumNotMet : no member could be fitted.
        """
        check_fitted(self)
        classes, names = getattr(self, "classes_", None), getattr(self, "feature_names_in_", None)
        X = X if names is None or not hasattr(X, "columns") else self._ordered_columns(X)
        values, labels, sample_weight = self._read_fit(X, y, sample_weight, allow_nan=True)
        if classes is not None and not np.array_equal(np.unique(labels), classes):
            raise invalid("y", type(self).__name__, f"labels with the classes {classes.tolist()}", np.unique(labels))
        X = X if hasattr(X, "columns") else values
        intervals = label_intervals(X, label_end, self._horizon())
        data = FitData(X, labels, labels, sample_weight, None, label_end, intervals, on_member=on_member)
        named = {name: member for name, member in self._named_members().items() if name in self.members_}
        fitted, reasons, errors = self._refit_all(named, data)
        if reasons:
            Quorum(1, len(named)).check(fitted, reasons, errors[0])
            warn_left_out(f"{type(self).__name__}.refit_members", reasons)
        self.members_ = {**self.members_, **fitted}
        self.fitted_on_ = {**self.fitted_on_, **dict.fromkeys(fitted, data.digest(self.validation_fraction))}
        return self

    def _horizon(self) -> int | None:
        return getattr(self.folds, "label_horizon", None)

    def _fit_regimes(self, data: FitData) -> np.ndarray | None:
        if self.regimes is None:
            self.regime_model_ = None
            return None
        proba, self.regime_model_, self.regime_order_ = regimes_out_of_fold(
            self.regimes, data.X, data.labels, self.folds, data.label_end
        )
        return proba

    # -- predicting --------------------------------------------------------------------------------------------

    def _ask(self, X: Any, n: int | None = None) -> Answers:
        """Every member's answer, the filtered regimes and the columns passed on; of the newest n rows where n is
        given."""
        check_fitted(self)
        X = self._ordered_columns(X)
        classes = getattr(self, "classes_", None)
        newest = None if n is None else NewestRows(X, n)
        method = "predict" if classes is None else "predict_proba"
        answers = ask(self.members_, method, X, classes=classes, budget=self.predict_budget, newest=newest)
        n_rows = answers.outputs.shape[1]
        if self.final_ is not None and self.passthrough:
            answers = replace(answers, features=_matrix(X)[-n_rows:])
        if self.regime_model_ is None:
            return answers
        rows = X if newest is None else newest.of(self.regime_model_)
        known, reason = filtered_where_known(self.regime_model_, rows, len(self.regime_order_))
        known = known[-n_rows:, self.regime_order_]
        reasons = answers.reasons
        if not np.isfinite(known).all():
            reasons = reasons | {"regimes": reason or "they are not known"}
        return replace(answers, regimes=known, reasons=reasons)

    def _n_classes(self) -> int:
        return len(getattr(self, "classes_", ()))

    @property
    def pool_(self) -> Pool:
        """The meta-learner of all members; with a ``final_estimator``, what answers where that cannot."""
        pool: Any = self.combination_.pool
        return pool

    @property
    def weights_(self) -> dict[str, float]:
        """Each member's weight, by name, averaged over regimes by how much they prevailed out of fold.

        With a ``final_estimator`` it is the slope of the member's contribution to that estimator's answer. All zero
        says that the base rate is the best forecast.
        """
        if self.final_ is not None:
            return dict(zip(self.evidence_.names, self.final_.weights.tolist()))
        share = np.average(self.evidence_.regimes, axis=0, weights=self.evidence_.weight)
        return dict(zip(self.evidence_.names, (share @ self.pool_.weights).tolist()))

    @property
    def lookback(self) -> int:
        """The longest lookback among the members and the regime model."""
        model = getattr(self, "regime_model_", self.regimes)
        return max(super().lookback, int(getattr(model, "lookback", 0)))


def _matrix(X: Any) -> np.ndarray:
    return np.asarray(X, np.float64)
