"""Stacking over purged walk-forward folds."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from consilience.base import Arrays, ClassifierPredictor, InvalidInput, RegressorPredictor, Spec, State, invalid
from consilience.ensemble import combine
from consilience.ensemble.evidence import Evidence, gather
from consilience.ensemble.explanation import Explanation
from consilience.ensemble.members import MembersMixin, NamedMembers, OnMember, ask, check_fitted, out_of_fold_of
from consilience.ensemble.pool import LinearPool, LogOddsPool
from consilience.ensemble.shrinkage import fit_pool, fit_pool_before, walk_forward
from consilience.ensemble.splitters import restore_splitter, splitter_spec
from consilience.ensemble.stored import evidence_arrays, pool_arrays, read_evidence, read_pool
from consilience.evaluation.label_intervals import label_intervals
from consilience.evaluation.out_of_fold import OutOfFold


class _Stacking(MembersMixin):
    """What the classifier and the regressor share."""

    folds: Any
    n_jobs: int
    out_of_fold_: dict[str, OutOfFold]
    oof_: OutOfFold
    pool_: LogOddsPool | LinearPool
    evidence_: Evidence

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
        """Out-of-fold predictions of every member, the meta-learner on them, then the members on all rows."""
        if len(X) < 2:
            raise InvalidInput(f"{type(self).__name__} cannot be fitted on 1 sample; folds need a past and a future.")
        intervals = label_intervals(X, label_end, getattr(self.folds, "label_horizon", None))
        classes = getattr(self, "classes_", np.empty(0))
        self.out_of_fold_ = out_of_fold_of(self, X, labels, label_end, sample_weight, given or {})
        self.evidence_ = gather(self.out_of_fold_, target, intervals, sample_weight, len(classes))
        walk = walk_forward(self.evidence_)
        self.pool_ = fit_pool(self.evidence_, walk)
        self.oof_ = _own_out_of_fold(self, walk, len(target), classes)
        self.members_ = self._refit_all(
            X,
            labels,
            intervals=intervals,
            sample_weight=sample_weight,
            validation=validation,
            on_member=on_member,
        )

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

        Parameters are those of ``fit``; ``on_member(name, step, n_steps, seconds)`` is called after each.
        """
        classes = getattr(self, "classes_", None)
        values, labels, sample_weight = self._read_fit(X, y, sample_weight, allow_nan=True)
        X = X if isinstance(X, pd.DataFrame) else values
        if classes is not None and not np.array_equal(np.unique(labels), classes):
            raise invalid("y", type(self).__name__, f"labels with the classes {classes.tolist()}", np.unique(labels))
        intervals = label_intervals(X, label_end, getattr(self.folds, "label_horizon", None))
        self.members_ = self._refit_all(
            X, labels, intervals=intervals, sample_weight=sample_weight, validation=None, on_member=on_member
        )
        return self

    @property
    def weights_(self) -> dict[str, float]:
        """Each member's weight in the pool, by name; all zero says that the base rate is the best forecast."""
        return dict(zip(self.evidence_.names, self.pool_.weights.mean(axis=0).tolist()))

    # -- state -------------------------------------------------------------------------------------------------

    def _params_spec(self) -> Spec:
        spec = {name: value for name, value in self.get_params(deep=False).items() if name not in ("members", "folds")}
        return {**spec, "members": [name for name, _ in self.members], "folds": splitter_spec(self.folds)}

    @classmethod
    def _from_params_spec(cls, spec: Spec, children: dict[str, Any]) -> Any:
        members = [(name, children[name]) for name in spec["members"]]
        params = {**spec, "members": members, "folds": restore_splitter(spec["folds"])}
        return super()._from_params_spec(params, children)

    def _fitted_state(self) -> tuple[Spec, Arrays, dict[str, State]]:
        arrays = {**pool_arrays(self.pool_), **evidence_arrays(self.evidence_)}
        return {"members": list(self.members_)}, arrays, self._member_states()

    def _restore_fitted(self, spec: Spec, arrays: Arrays, children: dict[str, Any]) -> None:
        self._restore_members(spec["members"], children)
        n_classes = len(getattr(self, "classes_", ()))
        self.evidence_ = read_evidence(arrays, tuple(spec["members"]), n_classes)
        self.pool_ = read_pool(arrays, len(self.members_), n_classes)


class StackingClassifier(_Stacking, ClassifierPredictor):
    """Members joined by a meta-learner that was fitted on their out-of-fold predictions.

    The meta-learner is a log-linear pool: the base rate's log-odds plus a non-negative weighted sum of how far each
    member moves them. How far the weights may leave "base rate only" and "all equal" is decided by walking forward
    over the out-of-fold rows (``ensemble.shrinkage``), so that a stack of members that know nothing says the base rate.

    Parameters
    ----------
    members : list of (name, classifier).
    folds : a splitter of ``consilience.evaluation``, usually ``PurgedWalkForward``.
    validation_fraction : share of the newest rows that a member with early stopping watches.
    n_jobs : folds of a member fitted at once.

    Attributes
    ----------
    out_of_fold_ : member name to OutOfFold. evidence_ : the same as one table.
    oof_ : the stack's own OutOfFold: in every fold the meta-learner knows the rows of earlier folds whose labels were
        known when the fold began. The first fold has nothing to learn from and stays NaN.
    pool_ : the meta-learner. weights_ : member name to weight. members_ : member name to predictor fitted on all rows.

    References
    ----------
    Wolpert, *Stacked generalization* (1992); Satopää et al., *Combining multiple probability predictions using a simple
    logit model* (2014) for the pool.

    Examples
    --------
    >>> import numpy as np
    >>> from consilience.boosting import LogisticClassifier
    >>> from consilience.evaluation import PurgedWalkForward
    >>> X = np.random.default_rng(0).standard_normal((300, 3))
    >>> y = (X[:, 0] + np.random.default_rng(1).standard_normal(300) > 0).astype(int)
    >>> folds = PurgedWalkForward(n_splits=4, label_horizon=1)
    >>> stack = StackingClassifier([("weak", LogisticClassifier(C=0.01)), ("free", LogisticClassifier())], folds)
    >>> stack.fit(X, y).predict_proba(X[:2]).shape
    (2, 2)
    """

    def __init__(self, members: NamedMembers, folds: Any = None, *, validation_fraction: float = 0.15, n_jobs: int = 1):
        self.members = members
        self.folds = folds
        self.validation_fraction = validation_fraction
        self.n_jobs = n_jobs

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        validation: Any = None,
        label_end: Any = None,
        out_of_fold: Mapping[str, OutOfFold] | None = None,
        on_member: OnMember | None = None,
    ) -> "StackingClassifier":
        """Fit the meta-learner on out-of-fold predictions and every member on all rows.

        Parameters
        ----------
        X : (n, d) in time order. y : (n,) labels.
        label_end : (n,) when each label becomes known; not needed where ``folds`` has a ``label_horizon``.
        validation : (X, y) for members that stop early; by default a purged tail of X.
        out_of_fold : member name to an OutOfFold made before with the same folds; such a member's folds are not fitted
            again, so adding or removing a member costs nothing for the others.
        on_member : called as (name, step, n_steps, seconds) after each member's refit.
        """
        values, labels, sample_weight = self._read_fit(X, y, sample_weight, allow_nan=True)
        codes = self._read_labels(labels)
        self._fit_stack(
            X if isinstance(X, pd.DataFrame) else values,
            labels,
            codes,
            sample_weight=sample_weight,
            validation=validation,
            label_end=label_end,
            given=out_of_fold,
            on_member=on_member,
        )
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities (n, n_classes), in the order of ``classes_``."""
        answers = self._answers(X)
        return self.pool_.combine(answers)

    def _answers(self, X: Any) -> np.ndarray:
        check_fitted(self)
        return ask(self.members_, "predict_proba", self._ordered_columns(X))

    def explain(self, X: Any) -> Explanation:
        """The prediction of each row with every member's contribution on the log-odds scale; see ``Explanation``."""
        answers = self._answers(X)
        assert isinstance(self.pool_, LogOddsPool)
        proba = self.pool_.combine(answers)
        contributions, base = self.pool_.contributions(answers)
        return Explanation(
            prediction=self.classes_[proba.argmax(axis=1)],
            proba=proba,
            confidence=proba.max(axis=1),
            contributions=contributions,
            base=base,
            agreement=combine.agreement(answers, proba),
            members=tuple(self.members_),
        )


class StackingRegressor(_Stacking, RegressorPredictor):
    """``StackingClassifier`` for values: the target's mean plus a non-negative weighted sum of the members' centred
    values.

    Parameters, attributes and the choice of shrinkage are those of ``StackingClassifier``.
    """

    def __init__(self, members: NamedMembers, folds: Any = None, *, validation_fraction: float = 0.15, n_jobs: int = 1):
        self.members = members
        self.folds = folds
        self.validation_fraction = validation_fraction
        self.n_jobs = n_jobs

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        validation: Any = None,
        label_end: Any = None,
        out_of_fold: Mapping[str, OutOfFold] | None = None,
        on_member: OnMember | None = None,
    ) -> "StackingRegressor":
        """As ``StackingClassifier.fit``, with y (n,) values."""
        matrix, values, sample_weight = self._read_fit(X, y, sample_weight, allow_nan=True)
        self._fit_stack(
            X if isinstance(X, pd.DataFrame) else matrix,
            values,
            values,
            sample_weight=sample_weight,
            validation=validation,
            label_end=label_end,
            given=out_of_fold,
            on_member=on_member,
        )
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Values (n,)."""
        answers = self._answers(X)
        return self.pool_.combine(answers)

    def _answers(self, X: Any) -> np.ndarray:
        check_fitted(self)
        return ask(self.members_, "predict", self._ordered_columns(X))

    def explain(self, X: Any) -> Explanation:
        """The prediction of each row with every member's contribution; see ``Explanation``."""
        answers = self._answers(X)
        contributions, base = self.pool_.contributions(answers)
        return Explanation(
            prediction=self.pool_.combine(answers),
            proba=None,
            confidence=None,
            contributions=contributions,
            base=base,
            agreement=None,
            members=tuple(self.members_),
        )


def _own_out_of_fold(stack: _Stacking, walk: Any, n_rows: int, classes: np.ndarray) -> OutOfFold:
    """What the stack itself said about rows that neither its members nor its meta-learner had seen."""
    table = stack.evidence_
    output = np.full((n_rows, *table.outputs.shape[2:]), np.nan)
    fold = np.full(n_rows, -1, np.int64)
    for number in np.unique(table.fold):
        pool = fit_pool_before(table, walk, int(number))
        if pool is None:
            continue
        inside = table.fold == number
        output[table.rows[inside]] = pool.combine(table.outputs[:, inside])
        fold[table.rows[inside]] = number
    members = list(stack.out_of_fold_.values())
    for array in (output, fold):
        array.flags.writeable = False
    return OutOfFold(
        name="stack",
        proba=output if len(classes) else None,
        values=None if len(classes) else output,
        rows=np.flatnonzero(fold >= 0),
        fold=fold,
        classes=classes,
        fit_seconds=np.sum([member.fit_seconds for member in members], axis=0),
        predict_seconds=np.sum([member.predict_seconds for member in members], axis=0),
    )
