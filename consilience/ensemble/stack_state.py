"""A fitted stack as data, and back."""

from typing import Any

import numpy as np

from consilience.base import Arrays, InvalidState, Spec, State
from consilience.ensemble.combination import Combination
from consilience.ensemble.evidence import Evidence
from consilience.ensemble.final_estimator import FinalEstimator, final_of
from consilience.ensemble.members import MembersMixin
from consilience.ensemble.own_record import Said, member_records_of, own_record
from consilience.ensemble.splitters import restore_splitter, splitter_spec
from consilience.ensemble.stored import (
    evidence_arrays,
    own_arrays,
    pool_arrays,
    read_array,
    read_evidence,
    read_own,
    read_pool,
    read_scores,
)
from consilience.evaluation.out_of_fold import OutOfFold

_REGIMES, _FINAL = "_regimes", "_final"  # names of children of a state that are no members; no member may have them
_AS_CHILDREN = ("members", "folds", "regimes", "final_estimator")


class StackState(MembersMixin):
    """Storing and restoring of both stacks.

    What comes back: everything that predicting, explaining and refitting need, ``evidence_``, ``oof_`` and
    ``redundant_``. ``out_of_fold_`` comes back from the table, in float32 precision, without learning curves and single
    folds, and without the records of redundant members. No seconds are stored, so that equal fits have equal digests.
    """

    folds: Any
    regimes: Any
    final_estimator: Any
    selection: str
    final_: FinalEstimator | None
    oof_: OutOfFold
    evidence_: Evidence
    combination_: Combination
    regime_model_: Any
    regime_order_: np.ndarray
    conformal_scores_: np.ndarray
    _said: Said

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
        pool: Any = self.combination_.pool
        arrays = {**pool_arrays(pool), **evidence_arrays(self.evidence_)}
        arrays["conformal_scores"] = self.conformal_scores_
        spec = self._members_spec()
        if hasattr(self, "oof_"):
            spec["n_rows"] = len(self.oof_.fold)
            arrays |= own_arrays(self.evidence_, self.oof_)
        children = self._member_states()
        if self.regime_model_ is not None:
            arrays["regime_order"] = np.asarray(self.regime_order_, np.int64)
            children[_REGIMES] = self.regime_model_.get_state()
        if self.final_ is not None:
            if not hasattr(self.final_.model, "get_state"):
                raise InvalidState("The final_estimator is no predictor of this framework and cannot be stored.")
            children[_FINAL] = self.final_.model.get_state()
            arrays |= {**pool_arrays(self.final_.pool, "final"), "final_slopes": self.final_.weights}
        return spec, arrays, children

    def _restore_fitted(self, spec: Spec, arrays: Arrays, children: dict[str, Any]) -> None:
        self._restore_members(spec, children)
        n_classes, names = len(getattr(self, "classes_", ())), tuple(spec["members"])
        self.evidence_ = read_evidence(arrays, names, n_classes)
        self.conformal_scores_ = read_scores(arrays, self.evidence_.n_rows)
        self._restore_records(spec, arrays)
        self.regime_model_ = children.get(_REGIMES)
        n_regimes = self.evidence_.regimes.shape[1]
        if self.regime_model_ is None and n_regimes != 1:
            raise InvalidState(f"The stored {type(self).__name__} has weights for regimes, but no regime model.")
        if self.regime_model_ is not None:
            self.regime_order_ = arrays["regime_order"]
            if sorted(self.regime_order_.tolist()) != list(range(n_regimes)):
                raise InvalidState(f"The stored {type(self).__name__} numbers its regimes {self.regime_order_!r}.")
        pool = read_pool(arrays, len(names), n_classes, n_regimes, hard=self.selection == "specialist")
        final = None if self.final_estimator is None else self._restored_final(arrays, children[_FINAL], n_classes)
        self._join_by(self._source(), pool, final)

    def _restored_final(self, arrays: Arrays, model: Any, n_classes: int) -> FinalEstimator:
        table, pool = self.evidence_, read_pool(arrays, 1, n_classes, prefix="final")
        if "final_slopes" not in arrays and not self.passthrough:  # of an earlier release
            return final_of(model, pool, table, None)
        n_members = len(table.names)
        slopes = read_array({"final_slopes": np.zeros(n_members)} | arrays, "final_slopes", (n_members,), "f")
        return FinalEstimator(model, pool, table.outputs.mean(axis=1), slopes)

    def _restore_records(self, spec: Spec, arrays: Arrays) -> None:
        """``oof_`` and ``out_of_fold_``; earlier releases stored neither."""
        if "n_rows" not in spec:
            return
        table, n_rows = self.evidence_, spec["n_rows"]
        most = 1000 * (table.n_rows + 1000)  # nothing larger is allocated because a damaged number asks for it
        if not isinstance(n_rows, int) or not int(table.rows.max()) < n_rows <= most or (table.rows < 0).any():
            raise InvalidState(f"The stored {type(self).__name__} says {n_rows!r} rows, which do not fit its table.")
        classes = getattr(self, "classes_", np.empty(0))
        self._said = read_own(arrays, table)
        self.oof_ = own_record("stack", table, self._said, n_rows, classes, (np.empty(0), np.empty(0)))
        self.out_of_fold_ = member_records_of(table, n_rows, classes)
