"""The members of an ensemble: reading the list, fitting each, asking each, and storing them as children of the
state."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import signature
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.metaestimators import _BaseComposition

from consilience.base import InvalidState, State, invalid, take
from consilience.ensemble.deadline import within
from consilience.ensemble.diversity import leaders
from consilience.ensemble.evidence import gather
from consilience.ensemble.importance import weighted_importances
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
    fit_budget: float | None
    max_correlation: float | None
    n_features_in_: int
    weights_: Any

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

    @property
    def feature_importances_(self) -> pd.Series:
        """The members' own importances by feature name, averaged by weight (see ``permutation_importance`` too)."""
        check_fitted(self)
        names = getattr(self, "feature_names_in_", [f"x{i}" for i in range(self.n_features_in_)])
        return weighted_importances(self.members_, self.weights_, [str(name) for name in names])

    def _named_members(self) -> dict[str, Any]:
        owner = type(self).__name__
        try:
            named = dict(self.members)
            wrong = len(named) != len(self.members) or not named
        except (TypeError, ValueError):
            wrong = True
        if wrong:
            raise invalid("members", owner, "a non-empty list of (name, predictor) with distinct names", self.members)
        if any(str(name).startswith("_") for name in named):
            raise invalid("members", owner, "named without a leading underscore", list(named))
        self._validate_names(list(named))
        return named

    def _refit_all(
        self,
        named: Mapping[str, Any],
        X: Any,
        y: np.ndarray,
        *,
        label_end: Any,
        intervals: LabelIntervals | None,
        sample_weight: np.ndarray | None,
        validation: Any,
        on_member: OnMember | None,
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """Fit a clone of every member on all rows; those that stop early get a purged tail to watch.

        Returns the fitted members, and why the others are missing. If every member raises, so does this.
        """
        fitted: dict[str, Any] = {}
        reasons: dict[str, str] = {}
        errors: list[Exception] = []
        for step, (name, member) in enumerate(named.items(), 1):
            started = time.perf_counter()
            job = Refit(member, X, y, label_end, intervals, sample_weight, validation, self.validation_fraction)
            try:
                fitted[name] = within(self.fit_budget, job, member)
            except Exception as error:
                reasons[name] = f"{type(error).__name__}: {error}"
                errors.append(error)
            if on_member is not None:
                on_member(name, step, len(named), time.perf_counter() - started)
        if errors and not fitted:
            raise errors[0]
        return fitted, reasons

    def _diverse(
        self,
        tables: dict[str, OutOfFold],
        target: np.ndarray,
        intervals: LabelIntervals,
        weight: np.ndarray | None,
    ) -> tuple[dict[str, OutOfFold], dict[str, str]]:
        """The members to keep by ``max_correlation``, and whom each of the others follows."""
        limit = self.max_correlation
        if limit is None:
            return tables, {}
        if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0.0 < limit <= 1.0:
            raise invalid("max_correlation", type(self).__name__, "a correlation in (0, 1], or None", limit)
        table = gather(tables, target, intervals, weight, len(getattr(self, "classes_", ())))
        leader = leaders(table, limit)
        names = table.names
        redundant = {names[i]: names[int(j)] for i, j in enumerate(leader) if i != j}
        return {name: found for name, found in tables.items() if name not in redundant}, redundant

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


@dataclass(frozen=True)
class Refit:
    """Fitting a clone of one member on all rows of X, or on all but a purged tail where it stops early."""

    member: Any
    X: Any
    y: np.ndarray
    label_end: Any
    intervals: LabelIntervals | None
    sample_weight: np.ndarray | None
    validation: Any
    fraction: float

    def __call__(self) -> Any:
        model = clone(self.member)
        stops_early = getattr(model, "uses_validation", False)
        if stops_early and self.validation is not None:
            return model.fit(self.X, self.y, validation=self.validation, **self._options(model, None))
        if not stops_early or self.intervals is None or self.fraction <= 0:
            return model.fit(self.X, self.y, **self._options(model, None))
        rows, tail = tail_of(self.intervals, np.arange(len(self.X)), self.fraction)
        watched = (take(self.X, tail), self.y[tail])
        return model.fit(take(self.X, rows), self.y[rows], validation=watched, **self._options(model, rows))

    def _options(self, model: Any, rows: np.ndarray | None) -> dict[str, Any]:
        """Weights, and label ends for a member that is an ensemble with folds of its own."""
        given = {"sample_weight": self.sample_weight}
        if "label_end" in signature(model.fit).parameters:
            given["label_end"] = self.label_end
        return {
            name: values if rows is None else take(values, rows) for name, values in given.items() if values is not None
        }


def out_of_fold_of(
    ensemble: Any, X: Any, labels: np.ndarray, label_end: Any, weight: np.ndarray | None, given: Mapping[str, OutOfFold]
) -> tuple[dict[str, OutOfFold], dict[str, str]]:
    """Every member's out-of-fold predictions: those given, and the rest made now on the ensemble's folds.

    Returns them by name, and why others are missing. If every member raises, so does this.
    """
    named, owner = ensemble._named_members(), type(ensemble).__name__
    unknown = sorted(set(given) - set(named))
    if unknown:
        raise invalid("out_of_fold", owner, f"keyed by the members ({', '.join(named)})", unknown[0])
    missing = [name for name in named if name not in given]
    if missing and ensemble.folds is None:
        required = "a splitter, such as PurgedWalkForward(n_splits=5)"
        raise invalid("folds", owner, required, None, f"{missing[0]!r} has no out-of-fold predictions yet.")
    tables: dict[str, OutOfFold] = {}
    reasons: dict[str, str] = {}
    errors: list[Exception] = []
    for name, member in named.items():
        job = partial(
            out_of_fold,
            member,
            X,
            labels,
            ensemble.folds,
            label_end=label_end,
            sample_weight=weight,
            n_jobs=ensemble.n_jobs,
            validation_fraction=ensemble.validation_fraction,
            name=name,
        )
        try:
            tables[name] = given[name] if name in given else within(ensemble.fit_budget, job, member)
        except Exception as error:
            reasons[name] = f"{type(error).__name__}: {error}"
            errors.append(error)
    if errors and not tables:
        raise errors[0]
    return tables, reasons


def check_fitted(ensemble: Any) -> None:
    """Refuse to predict before ``fit``; only a look-up of one attribute, because a row's latency counts."""
    if "members_" not in vars(ensemble):
        raise NotFittedError(f"This {type(ensemble).__name__} is not fitted yet; call fit first.")
