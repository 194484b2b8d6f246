"""What both stacks do: fit members and meta-learner, ask, join, explain, store."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from consilience.base import Arrays, InvalidInput, InvalidState, Spec, State, invalid
from consilience.ensemble import conformal
from consilience.ensemble.combination import Combination
from consilience.ensemble.evidence import Evidence, gather
from consilience.ensemble.failures import Answers, ask, needed, require_quorum, warn_left_out
from consilience.ensemble.final_estimator import FinalEstimator, fit_final
from consilience.ensemble.members import MembersMixin, OnMember, check_fitted, out_of_fold_of
from consilience.ensemble.newest import NewestRows
from consilience.ensemble.own_record import own_record, said_by_pools
from consilience.ensemble.pool import Pool
from consilience.ensemble.regimes import filtered, regimes_out_of_fold
from consilience.ensemble.selection import fit_specialists, said_by_specialists
from consilience.ensemble.shrinkage import fit_pool, walk_forward
from consilience.ensemble.splitters import restore_splitter, splitter_spec
from consilience.ensemble.stored import evidence_arrays, pool_arrays, read_evidence, read_pool, read_scores
from consilience.evaluation.label_intervals import LabelIntervals, label_intervals
from consilience.evaluation.out_of_fold import OutOfFold

_REGIMES, _FINAL = "_regimes", "_final"  # names of children of a state that are no members; no member may have them
_AS_CHILDREN = ("members", "folds", "regimes", "final_estimator")


class StackBase(MembersMixin):
    """What ``StackingClassifier`` and ``StackingRegressor`` share: fitting, asking, joining, storing."""

    folds: Any
    regimes: Any
    final_estimator: Any
    passthrough: bool
    selection: str
    max_correlation: float | None
    redundant_: dict[str, str]
    final_: FinalEstimator | None
    n_jobs: int
    quorum: float | int
    predict_budget: float | None
    out_of_fold_: dict[str, OutOfFold]
    oof_: OutOfFold
    evidence_: Evidence
    combination_: Combination
    regime_model_: Any
    regime_order_: np.ndarray
    conformal_scores_: np.ndarray
    failures_: dict[str, str]

    # -- fitting -----------------------------------------------------------------------------------------------

    def _fit_stack(
        self,
        X: Any,
        labels: np.ndarray,
        target: np.ndarray,
        *,
        sample_weight: np.ndarray | None,
        validation: Any,
        label_end: Any,
        given: Mapping[str, OutOfFold] | None,
        on_member: OnMember | None,
    ) -> None:
        """Out-of-fold predictions of every member, the members on all rows, then the meta-learner for those that made
        it."""
        if len(X) < 2:
            raise InvalidInput(f"{type(self).__name__} cannot be fitted on 1 sample; folds need a past and a future.")
        named, owner = self._named_members(), type(self).__name__
        if self.selection not in ("weights", "specialist"):
            raise invalid("selection", owner, "'weights' or 'specialist'", self.selection)
        if self.selection == "specialist" and self.final_estimator is not None:
            raise invalid("selection", owner, "'weights' where there is a final_estimator", self.selection)
        required = needed(self.quorum, len(named), owner)
        intervals = self._intervals(X, label_end)
        tables, reasons = out_of_fold_of(self, X, labels, label_end, sample_weight, given or {})
        tables, self.redundant_ = self._diverse(tables, target, intervals, sample_weight)
        members, late = self._refit_all(
            {name: named[name] for name in tables},
            X,
            labels,
            label_end=label_end,
            intervals=intervals,
            sample_weight=sample_weight,
            validation=validation,
            on_member=on_member,
        )
        self.failures_ = reasons | late
        if self.failures_:
            require_quorum(len(members) + len(self.redundant_), required, self.failures_, len(named))
            warn_left_out(owner, self.failures_)
        self.members_, self.out_of_fold_ = members, {name: tables[name] for name in members}
        regimes = self._fit_regimes(X, labels, label_end)
        self.evidence_ = gather(self.out_of_fold_, target, intervals, sample_weight, self._n_classes(), regimes)
        if self.selection == "specialist":
            pool, said = fit_specialists(self.evidence_), said_by_specialists(self.evidence_)
        else:
            walk = walk_forward(self.evidence_)
            pool, said = fit_pool(self.evidence_, walk), said_by_pools(self.evidence_, walk)
        self.combination_ = self._combination(pool)
        self.final_ = None
        if self.final_estimator is not None:
            passed = _matrix(X)[self.evidence_.rows] if self.passthrough else None
            self.final_, said = fit_final(self.final_estimator, self.evidence_, passed)
        classes = getattr(self, "classes_", np.empty(0))
        self.oof_ = own_record(self.evidence_, said, len(target), classes, list(self.out_of_fold_.values()))
        self.conformal_scores_ = self._scores_of(self.oof_)

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
        """
        check_fitted(self)
        classes = getattr(self, "classes_", None)
        values, labels, sample_weight = self._read_fit(X, y, sample_weight, allow_nan=True)
        X = X if isinstance(X, pd.DataFrame) else values
        if classes is not None and not np.array_equal(np.unique(labels), classes):
            raise invalid("y", type(self).__name__, f"labels with the classes {classes.tolist()}", np.unique(labels))
        fitted, reasons = self._refit_all(
            {name: member for name, member in self._named_members().items() if name in self.members_},
            X,
            labels,
            label_end=label_end,
            intervals=self._intervals(X, label_end),
            sample_weight=sample_weight,
            validation=None,
            on_member=on_member,
        )
        if reasons:
            warn_left_out(f"{type(self).__name__}.refit_members", reasons)
        self.members_ = {**self.members_, **fitted}
        return self

    def _combination(self, pool: Pool) -> Combination:
        fit = fit_specialists if self.selection == "specialist" else fit_pool
        return Combination(self.evidence_, pool, self.quorum, type(self).__name__, fit)

    def _intervals(self, X: Any, label_end: Any) -> LabelIntervals:
        return label_intervals(X, label_end, getattr(self.folds, "label_horizon", None))

    def _fit_regimes(self, X: Any, labels: np.ndarray, label_end: Any) -> np.ndarray | None:
        if self.regimes is None:
            self.regime_model_ = None
            return None
        proba, self.regime_model_, self.regime_order_ = regimes_out_of_fold(
            self.regimes, X, labels, self.folds, label_end
        )
        return proba

    # -- joining -----------------------------------------------------------------------------------------------

    def _join(self, answers: Answers, regimes: np.ndarray | None, X: Any) -> np.ndarray:
        """One answer from all; where a member is missing, from the pool of the remaining ones."""
        if self.final_ is None or answers.alive is not None:
            return self.combination_.combine(answers, regimes)
        return self.final_.combine(answers.outputs, regimes, self._passed(answers, X))

    def _shares(self, answers: Answers, regimes: np.ndarray | None, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Every member's contribution, and the base."""
        if self.final_ is None or answers.alive is not None:
            return self.combination_.contributions(answers, regimes)
        return self.final_.contributions(answers.outputs, regimes, self._passed(answers, X))

    def _passed(self, answers: Answers, X: Any) -> np.ndarray | None:
        return _matrix(self._ordered_columns(X))[-answers.outputs.shape[1] :] if self.passthrough else None

    # -- predicting --------------------------------------------------------------------------------------------

    def _ask(self, X: Any, n: int | None = None) -> tuple[Answers, np.ndarray | None]:
        """Every member's answer, and the filtered regimes; of the newest n rows only where n is given."""
        check_fitted(self)
        X = self._ordered_columns(X)
        n_classes = self._n_classes()
        newest = None if n is None else NewestRows(X, n)
        method = "predict_proba" if n_classes else "predict"
        answers = ask(self.members_, method, X, n_classes=n_classes, budget=self.predict_budget, newest=newest)
        if self.regime_model_ is None:
            return answers, None
        rows = X if newest is None else newest.of(self.regime_model_)
        return answers, filtered(self.regime_model_, rows)[-answers.outputs.shape[1] :, self.regime_order_]

    def _n_classes(self) -> int:
        return len(getattr(self, "classes_", ()))

    @property
    def pool_(self) -> Pool:
        """The meta-learner of all members."""
        return self.combination_.pool

    @property
    def weights_(self) -> dict[str, float]:
        """Each member's weight in the pool, by name, averaged over regimes by how much they prevailed out of fold.

        All zero says that the base rate is the best forecast.
        """
        share = np.average(self.evidence_.regimes, axis=0, weights=self.evidence_.weight)
        return dict(zip(self.evidence_.names, (share @ self.pool_.weights).tolist()))

    @property
    def lookback(self) -> int:
        """The longest lookback among the members and the regime model."""
        model = getattr(self, "regime_model_", self.regimes)
        return max(super().lookback, int(getattr(model, "lookback", 0)))

    def conformal_drift(self, coverage: float = 0.9, n_blocks: int = 5) -> pd.DataFrame:
        """How well conformal sets of this stack would have kept their promise over time; see ``coverage_over_time``."""
        table = self.evidence_
        rows = slice(table.n_rows - len(self.conformal_scores_), None)
        return conformal.coverage_over_time(
            self.conformal_scores_, table.begin[rows], table.end[rows], coverage, n_blocks
        )

    def _scores_of(self, oof: OutOfFold) -> np.ndarray:
        """Conformal scores of the rows that the stack itself predicted out of fold, in time order."""
        table = self.evidence_
        rows = oof.fold[table.rows] >= 0
        score = conformal.class_scores if self._n_classes() else conformal.value_scores
        return score(oof.output[table.rows[rows]], table.target[rows])

    def _parts_of(self, X: Any, coverage: float) -> tuple[Answers, np.ndarray, dict[str, Any]]:
        """What explanations of classes and of values have in common."""
        if not 0.0 < coverage < 1.0:
            raise invalid("coverage", f"{type(self).__name__}.explain", "a share in (0, 1)", coverage)
        answers, regimes = self._ask(X)
        output = self._join(answers, regimes, X)
        contributions, base = self._shares(answers, regimes, X)
        lost = np.zeros(len(output), bool) if answers.alive is None else ~answers.alive.all(axis=0)
        common = {
            "coverage": coverage,
            "contributions": contributions,
            "base": base,
            "regime": regimes,
            "members": tuple(self.members_),
            "degraded": lost | bool(getattr(self, "failures_", {})),
            "left_out": {**getattr(self, "failures_", {}), **answers.reasons},
        }
        return answers, output, common

    # -- state -------------------------------------------------------------------------------------------------

    def _params_spec(self) -> Spec:
        params = self.get_params(deep=False)
        spec = {name: params[name] for name in params if name not in _AS_CHILDREN}
        return {
            **spec,
            "members": [name for name, _ in self.members if name in self.members_],
            "folds": splitter_spec(self.folds),
            "regimes": self.regimes is not None,
            "final_estimator": self.final_estimator is not None,
        }

    @classmethod
    def _from_params_spec(cls, spec: Spec, children: dict[str, Any]) -> Any:
        members = [(name, children[name]) for name in spec["members"]]
        regimes = children[_REGIMES] if spec["regimes"] else None
        final = children[_FINAL] if spec["final_estimator"] else None
        params = {**spec, "members": members, "folds": restore_splitter(spec["folds"])}
        params |= {"regimes": regimes, "final_estimator": final}
        return super()._from_params_spec(params, children)

    def _fitted_state(self) -> tuple[Spec, Arrays, dict[str, State]]:
        arrays = {**pool_arrays(self.pool_), **evidence_arrays(self.evidence_)}
        arrays["conformal_scores"] = self.conformal_scores_
        children = self._member_states()
        if self.regime_model_ is not None:
            arrays["regime_order"] = np.asarray(self.regime_order_, np.int64)
            children[_REGIMES] = self.regime_model_.get_state()
        if self.final_ is not None:
            if not hasattr(self.final_.model, "get_state"):
                raise InvalidState("The final_estimator is no predictor of this framework and cannot be stored.")
            children[_FINAL] = self.final_.model.get_state()
            arrays |= pool_arrays(self.final_.pool, "final")
        return {"members": list(self.members_), "failures": dict(self.failures_)}, arrays, children

    def _restore_fitted(self, spec: Spec, arrays: Arrays, children: dict[str, Any]) -> None:
        self._restore_members(spec["members"], children)
        n_classes, names = self._n_classes(), tuple(spec["members"])
        self.failures_ = {str(name): str(reason) for name, reason in spec["failures"].items()}
        self.evidence_ = read_evidence(arrays, names, n_classes)
        self.conformal_scores_ = read_scores(arrays, self.evidence_.n_rows)
        self.regime_model_ = children.get(_REGIMES)
        n_regimes = self.evidence_.regimes.shape[1]
        if self.regime_model_ is None and n_regimes != 1:
            raise InvalidState(f"The stored {type(self).__name__} has weights for regimes, but no regime model.")
        if self.regime_model_ is not None:
            self.regime_order_ = arrays["regime_order"]
            if sorted(self.regime_order_.tolist()) != list(range(n_regimes)):
                raise InvalidState(f"The stored {type(self).__name__} numbers its regimes {self.regime_order_!r}.")
        self.final_ = None
        if self.final_estimator is not None:
            final_pool = read_pool(arrays, 1, n_classes, prefix="final")
            self.final_ = FinalEstimator(children[_FINAL], final_pool, self.evidence_.outputs.mean(axis=1))
        pool = read_pool(arrays, len(names), n_classes, n_regimes, hard=self.selection == "specialist")
        self.combination_ = self._combination(pool)


def _matrix(X: Any) -> np.ndarray:
    return np.asarray(X, np.float64)
