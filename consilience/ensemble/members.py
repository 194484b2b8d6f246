"""The members of an ensemble: reading the list, fitting each, asking each, and storing them as children of the
state."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.metaestimators import _BaseComposition

from consilience.base import InvalidInput, InvalidState, State, invalid, take
from consilience.evaluation.folds import tail_of
from consilience.evaluation.label_intervals import LabelIntervals
from consilience.evaluation.out_of_fold import OutOfFold, out_of_fold

OnMember = Callable[[str, int, int, float], None]
NamedMembers = Sequence[tuple[str, Any]]


class MembersMixin(_BaseComposition):
    """Parameters, refits and state of ``members=[(name, predictor), …]``, shared by voting and stacking."""

    members: NamedMembers
    members_: dict[str, Any]
    validation_fraction: float

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters; deep ones include ``<member>__<parameter>``."""
        params: dict[str, Any] = self._get_params("members", deep=deep)
        return params

    def set_params(self, **params: Any) -> Any:
        """Set parameters of the ensemble, of a member (``<member>__<parameter>``), or replace a member by its name."""
        return self._set_params("members", **params)

    @property
    def lookback(self) -> int:
        """The longest lookback among the members."""
        fitted = getattr(self, "members_", None)
        models = fitted.values() if fitted else [model for _, model in self.members]
        return max(int(getattr(model, "lookback", 0)) for model in models)

    def _named_members(self) -> dict[str, Any]:
        owner = type(self).__name__
        try:
            named = dict(self.members)
            wrong = len(named) != len(self.members) or not named
        except (TypeError, ValueError):
            wrong = True
        if wrong:
            raise invalid("members", owner, "a non-empty list of (name, predictor) with distinct names", self.members)
        self._validate_names(list(named))
        return named

    def _refit_all(
        self,
        X: Any,
        y: np.ndarray,
        *,
        intervals: LabelIntervals | None,
        sample_weight: np.ndarray | None,
        validation: Any,
        on_member: OnMember | None,
    ) -> dict[str, Any]:
        """Fit a clone of every member on all rows; those that stop early get a purged tail to watch."""
        named, fitted = self._named_members(), {}
        for step, (name, member) in enumerate(named.items(), 1):
            started = time.perf_counter()
            fitted[name] = refit(
                member,
                X,
                y,
                intervals=intervals,
                sample_weight=sample_weight,
                validation=validation,
                fraction=self.validation_fraction,
            )
            if on_member is not None:
                on_member(name, step, len(named), time.perf_counter() - started)
        return fitted

    # -- state -------------------------------------------------------------------------------------------------

    def _member_states(self) -> dict[str, State]:
        foreign = [name for name, member in self.members_.items() if not hasattr(member, "get_state")]
        if foreign:
            raise InvalidState(f"The member {foreign[0]!r} is no predictor of this framework and cannot be stored.")
        return {name: member.get_state() for name, member in self.members_.items()}

    def _restore_members(self, names: Any, children: Mapping[str, Any]) -> None:
        if not isinstance(names, list) or not names or any(name not in children for name in names):
            raise InvalidState(f"The stored {type(self).__name__} must name its members among its children.")
        self.members_ = {name: children[name] for name in names}


def refit(
    member: Any,
    X: Any,
    y: np.ndarray,
    *,
    intervals: LabelIntervals | None,
    sample_weight: np.ndarray | None,
    validation: Any,
    fraction: float,
) -> Any:
    """A clone of the member fitted on all rows of X, or on all but a purged tail where it stops early."""
    model = clone(member)
    options: dict[str, Any] = {} if sample_weight is None else {"sample_weight": sample_weight}
    if validation is not None and getattr(model, "uses_validation", False):
        return model.fit(X, y, validation=validation, **options)
    if not getattr(model, "uses_validation", False) or intervals is None or fraction <= 0:
        return model.fit(X, y, **options)
    rows, tail = tail_of(intervals, np.arange(len(X)), fraction)
    if sample_weight is not None:
        options["sample_weight"] = sample_weight[rows]
    return model.fit(take(X, rows), y[rows], validation=(take(X, tail), y[tail]), **options)


def ask(members: Mapping[str, Any], method: str, X: Any) -> np.ndarray:
    """Every member's answer to the same X, (n_members, n, …)."""
    answers = [np.asarray(getattr(member, method)(X)) for member in members.values()]
    shape = answers[0].shape
    for name, answer in zip(members, answers):
        if answer.shape != shape:
            raise InvalidInput(f"The member {name!r} answers with the shape {answer.shape}, the others with {shape}.")
    return np.array(answers, dtype=np.float64)


def out_of_fold_of(
    ensemble: Any, X: Any, labels: np.ndarray, label_end: Any, weight: np.ndarray | None, given: Mapping[str, OutOfFold]
) -> dict[str, OutOfFold]:
    """Every member's out-of-fold predictions: those given, and the rest made now on the ensemble's folds."""
    named, owner = ensemble._named_members(), type(ensemble).__name__
    unknown = sorted(set(given) - set(named))
    if unknown:
        raise invalid("out_of_fold", owner, f"keyed by the members ({', '.join(named)})", unknown[0])
    missing = [name for name in named if name not in given]
    if missing and ensemble.folds is None:
        required = "a splitter, such as PurgedWalkForward(n_splits=5)"
        raise invalid("folds", owner, required, None, f"{missing[0]!r} has no out-of-fold predictions yet.")
    return {
        name: given[name]
        if name in given
        else out_of_fold(
            named[name],
            X,
            labels,
            ensemble.folds,
            label_end=label_end,
            sample_weight=weight,
            n_jobs=ensemble.n_jobs,
            validation_fraction=ensemble.validation_fraction,
            name=name,
        )
        for name in named
    }


def check_fitted(ensemble: Any) -> None:
    """Refuse to predict before ``fit``; only a look-up of one attribute, because a row's latency counts."""
    if "members_" not in vars(ensemble):
        raise NotFittedError(f"This {type(ensemble).__name__} is not fitted yet; call fit first.")
