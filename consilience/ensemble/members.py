"""The members of an ensemble: reading the list, fitting each on all rows, and storing them as children of the state."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.exceptions import NotFittedError
from sklearn.utils.metaestimators import _BaseComposition

from consilience.base import InvalidState, State, invalid
from consilience.ensemble.deadline import within
from consilience.ensemble.failures import warn_left_out
from consilience.ensemble.fits import FitData, FittedMember, Refit, same_parameters
from consilience.ensemble.importance import weighted_importances
from consilience.ensemble.quorum import Quorum, needed
from consilience.evaluation.out_of_fold import OutOfFold

OnMember = Callable[[str, int, int, float], None]
NamedMembers = Sequence[tuple[str, Any]]


class MembersMixin(_BaseComposition):
    """Parameters, refits and state of ``members=[(name, predictor), …]``, shared by voting and stacking."""

    members: NamedMembers
    members_: dict[str, Any]
    fitted_on_: dict[str, str]
    failures_: dict[str, str]
    redundant_: dict[str, str]
    quorum_: Quorum
    out_of_fold_: dict[str, OutOfFold]
    validation_fraction: float
    quorum: float | int
    fit_budget: float | None
    predict_budget: float | None
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
    def fitted_members_(self) -> dict[str, FittedMember]:
        """The members with what each was fitted on, for another ensemble's ``fit(..., fitted=...)``."""
        check_fitted(self)
        return {name: FittedMember(self.members_[name], made) for name, made in self.fitted_on_.items()}

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

    def _checked_quorum(self) -> Quorum:
        """The quorum of the configured members, after every parameter that both kinds of ensemble have was checked."""
        owner = type(self).__name__
        for name in ("fit_budget", "predict_budget"):
            value = getattr(self, name)
            if value is not None and not (_is_number(value) and 0.0 < value < np.inf):
                raise invalid(name, owner, "a number of seconds > 0, or None", value)
        if not _is_number(self.validation_fraction) or not 0.0 <= self.validation_fraction < 1.0:
            raise invalid("validation_fraction", owner, "a share in [0, 1)", self.validation_fraction)
        limit = self.max_correlation
        if limit is not None and not (_is_number(limit) and 0.0 < limit <= 1.0):
            raise invalid("max_correlation", owner, "a correlation in (0, 1], or None", limit)
        n_members = len(self._named_members())
        return Quorum(needed(self.quorum, n_members, owner), n_members)

    def _fit_members(self, names: Sequence[str], data: FitData, quorum: Quorum, reasons: dict[str, str]) -> None:
        """Fit these members on all rows; set ``members_``, ``failures_`` and ``quorum_``.

        Parameters
        ----------
        reasons : why others are missing already.

        Raises
        ------
        QuorumNotMet : too few are left, from the first member's own error.
        """
        named = self._named_members()
        members, late, errors = self._refit_all({name: named[name] for name in names}, data)
        self.failures_, self.quorum_ = reasons | late, quorum
        quorum.check(members, self.failures_, errors[0] if errors else None)
        if self.failures_:
            warn_left_out(type(self).__name__, self.failures_)
        made = data.digest(self.validation_fraction)
        self.members_, self.fitted_on_ = members, dict.fromkeys(members, made)

    def _refit_all(
        self, named: Mapping[str, Any], data: FitData
    ) -> tuple[dict[str, Any], dict[str, str], list[Exception]]:
        """A clone of every member fitted on all rows; those that stop early get a purged tail to watch.

        Returns the fitted members, why the others are missing, and what they raised.
        """
        fitted = self._taken_over(named, data)
        reasons: dict[str, str] = {}
        errors: list[Exception] = []
        for step, (name, member) in enumerate(named.items(), 1):
            started = time.perf_counter()
            job = Refit(
                member,
                data.X,
                data.labels,
                data.label_end,
                data.intervals,
                data.weight,
                data.validation,
                self.validation_fraction,
            )
            try:
                fitted[name] = fitted[name] if name in fitted else within(self.fit_budget, job, member)
            except Exception as error:
                reasons[name] = f"{type(error).__name__}: {error}"
                errors.append(error)
            if data.on_member is not None:
                data.on_member(name, step, len(named), time.perf_counter() - started)
        return {name: fitted[name] for name in named if name in fitted}, reasons, errors

    def _taken_over(self, named: Mapping[str, Any], data: FitData) -> dict[str, Any]:
        """Members that another ensemble has fitted on these rows with these parameters; they are not fitted again."""
        owner, known = type(self).__name__, self._named_members()
        made = data.digest(self.validation_fraction) if data.fitted else ""
        for name, found in data.fitted.items():
            if name not in known:
                raise invalid("fitted", owner, f"keyed by the members ({', '.join(known)})", name)
            if not isinstance(found, FittedMember) or not same_parameters(found.model, known[name]):
                required = f"from members with the same class and parameters; {name!r} has others"
                raise invalid("fitted", owner, required, found, "Leave it out of fitted=, and it is fitted.")
            if found.fitted_on != made:
                required = f"from the same X, y, weights, label ends and validation; {name!r} was fitted on others"
                raise invalid("fitted", owner, required, name, "Leave it out of fitted=, and it is fitted.")
        return {name: found.model for name, found in data.fitted.items() if name in named}

    # -- state -------------------------------------------------------------------------------------------------

    def _member_states(self) -> dict[str, State]:
        foreign = [name for name, member in self.members_.items() if not hasattr(member, "get_state")]
        if foreign:
            raise InvalidState(f"The member {foreign[0]!r} is no predictor of this framework and cannot be stored.")
        return {name: member.get_state() for name, member in self.members_.items()}

    def _members_spec(self) -> dict[str, Any]:
        """What is known about the members besides their own states."""
        return {
            "members": list(self.members_),
            "failures": dict(self.failures_),
            "redundant": dict(self.redundant_),
            "required": [self.quorum_.required, self.quorum_.n_members],
            "fitted_on": dict(self.fitted_on_),
        }

    def _restore_members(self, spec: Mapping[str, Any], children: Mapping[str, Any]) -> None:
        names, owner = spec["members"], type(self).__name__
        if not isinstance(names, list) or not names or any(name not in children for name in names):
            raise InvalidState(f"The stored {owner} must name its members among its children.")
        self.members_ = {name: children[name] for name in names}
        self.failures_, self.redundant_, self.fitted_on_ = (
            {str(name): str(text) for name, text in spec.get(part, {}).items()}
            for part in ("failures", "redundant", "fitted_on")
        )
        if not set(self.fitted_on_) <= set(names):
            raise InvalidState(f"The stored {owner} knows what members were fitted on that it does not have.")
        n_members = len(names)
        required, n_members = spec.get("required") or (
            needed(_within(self.quorum, n_members), n_members, owner),
            n_members,
        )
        if not all(isinstance(n, int) and not isinstance(n, bool) for n in (required, n_members)):
            raise InvalidState(f"The quorum of the stored {owner} must be two numbers of members.")
        if not 1 <= required <= n_members or n_members < len(names):
            raise InvalidState(f"The stored {owner} requires {required} of {n_members} members and has {len(names)}.")
        self.quorum_ = Quorum(required, n_members).speaking_for(self.redundant_)


def check_fitted(ensemble: Any) -> None:
    """Refuse to predict before ``fit``; only a look-up of one attribute, because a row's latency counts."""
    if "members_" not in vars(ensemble):
        raise NotFittedError(f"This {type(ensemble).__name__} is not fitted yet; call fit first.")


def _within(quorum: Any, n_members: int) -> Any:
    """Earlier releases stored no number and took an impossible one for all members."""
    return min(quorum, n_members) if isinstance(quorum, int) and not isinstance(quorum, bool) else quorum


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)
