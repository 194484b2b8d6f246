"""Voting: members joined by fixed weights, without a meta-learner."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from consilience.base import Arrays, ClassifierPredictor, InvalidState, RegressorPredictor, Spec, State, invalid
from consilience.ensemble import combine
from consilience.ensemble.evidence import gather
from consilience.ensemble.members import MembersMixin, NamedMembers, OnMember, ask, check_fitted, out_of_fold_of
from consilience.ensemble.splitters import restore_splitter, splitter_spec
from consilience.ensemble.weights import base_rate_loss, log_losses, performance_weights
from consilience.evaluation.label_intervals import label_intervals
from consilience.evaluation.out_of_fold import OutOfFold

Weights = Sequence[float] | Literal["performance"] | None


class _Voting(MembersMixin):
    """What the classifier and the regressor share."""

    folds: Any
    weights: Weights
    vote_weights_: np.ndarray

    def _fit_vote(
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
        horizon = getattr(self.folds, "label_horizon", None)
        known = label_end is not None or horizon is not None
        intervals = label_intervals(X, label_end, horizon) if known else None
        named = self._named_members()
        if isinstance(self.weights, str):
            if self.weights != "performance":
                raise invalid("weights", type(self).__name__, "None, a list of numbers or 'performance'", self.weights)
            tables = out_of_fold_of(self, X, labels, label_end, sample_weight, given or {})
            classes = getattr(self, "classes_", ())
            table = gather(tables, target, label_intervals(X, label_end, horizon), sample_weight, len(classes))
            self.vote_weights_ = _from_performance(table.outputs, table.target, table.weight, len(classes))
        else:
            self.vote_weights_ = self._given_weights(len(named))
        self.members_ = self._refit_all(
            X,
            labels,
            intervals=intervals,
            sample_weight=sample_weight,
            validation=validation,
            on_member=on_member,
        )

    def _given_weights(self, n_members: int) -> np.ndarray:
        if self.weights is None:
            return np.full(n_members, 1.0 / n_members)
        weights = np.asarray(self.weights, np.float64)
        if weights.shape != (n_members,) or not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
            required = f"{n_members} non-negative numbers, not all zero, one per member"
            raise invalid("weights", type(self).__name__, required, self.weights)
        return weights / weights.sum()

    @property
    def weights_(self) -> dict[str, float]:
        """Each member's weight, by name; they sum to 1."""
        return dict(zip(self.members_, self.vote_weights_.tolist()))

    # -- state -------------------------------------------------------------------------------------------------

    def _params_spec(self) -> Spec:
        spec = {name: value for name, value in self.get_params(deep=False).items() if name not in ("members", "folds")}
        if not isinstance(self.weights, str | None):
            spec["weights"] = [float(value) for value in self.weights]
        return {**spec, "members": [name for name, _ in self.members], "folds": splitter_spec(self.folds)}

    @classmethod
    def _from_params_spec(cls, spec: Spec, children: dict[str, Any]) -> Any:
        members = [(name, children[name]) for name in spec["members"]]
        params = {**spec, "members": members, "folds": restore_splitter(spec["folds"])}
        return super()._from_params_spec(params, children)

    def _fitted_state(self) -> tuple[Spec, Arrays, dict[str, State]]:
        return {"members": list(self.members_)}, {"weights": self.vote_weights_}, self._member_states()

    def _restore_fitted(self, spec: Spec, arrays: Arrays, children: dict[str, Any]) -> None:
        self._restore_members(spec["members"], children)
        weights = arrays["weights"]
        if weights.shape != (len(self.members_),) or weights.dtype.kind != "f" or not np.isfinite(weights).all():
            raise InvalidState(f"The stored {type(self).__name__} must have one finite weight per member.")
        if (weights < 0).any() or not weights.any():
            raise InvalidState(f"The stored {type(self).__name__} has weights that cannot be averaged with.")
        self.vote_weights_ = weights


class VotingClassifier(_Voting, ClassifierPredictor):
    """The weighted mean of the members' probabilities (soft), or the weighted share of their votes (hard).

    Parameters
    ----------
    members : list of (name, classifier).
    voting : "soft" or "hard". With "hard", ``predict_proba`` gives the share of the weight behind each class.
    weights : None (equal), one number per member, or "performance": in proportion to each member's out-of-fold skill
        over the base rate's log loss.
    folds : the splitter for "performance".
    validation_fraction : share of the newest rows that a member with early stopping watches, where label ends are
        known.
    n_jobs : folds of a member fitted at once.

    Examples
    --------
    >>> import numpy as np
    >>> from consilience.boosting import LogisticClassifier
    >>> X = np.random.default_rng(0).standard_normal((60, 2))
    >>> vote = VotingClassifier([("a", LogisticClassifier()), ("b", LogisticClassifier(C=0.1))], weights=[2, 1])
    >>> vote.fit(X, X[:, 0] > 0).predict(X[:3]).shape
    (3,)
    """

    def __init__(
        self,
        members: NamedMembers,
        *,
        voting: Literal["soft", "hard"] = "soft",
        weights: Weights = None,
        folds: Any = None,
        validation_fraction: float = 0.15,
        n_jobs: int = 1,
    ):
        self.members = members
        self.voting = voting
        self.weights = weights
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
    ) -> "VotingClassifier":
        """Fit every member on all rows; ``label_end`` and ``out_of_fold`` as for ``StackingClassifier.fit``."""
        if self.voting not in ("soft", "hard"):
            raise invalid("voting", "VotingClassifier", "'soft' or 'hard'", self.voting)
        values, labels, sample_weight = self._read_fit(X, y, sample_weight, allow_nan=True)
        codes = self._read_labels(labels)
        self._fit_vote(
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
        """Probabilities (soft) or shares of the vote (hard), (n, n_classes)."""
        check_fitted(self)
        answers = ask(self.members_, "predict_proba", self._ordered_columns(X))
        vote = combine.soft_vote if self.voting == "soft" else combine.hard_vote
        return vote(answers, self.vote_weights_)


class VotingRegressor(_Voting, RegressorPredictor):
    """The weighted mean of the members' values; parameters as for ``VotingClassifier``, without ``voting``."""

    def __init__(
        self,
        members: NamedMembers,
        *,
        weights: Weights = None,
        folds: Any = None,
        validation_fraction: float = 0.15,
        n_jobs: int = 1,
    ):
        self.members = members
        self.weights = weights
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
    ) -> "VotingRegressor":
        """As ``VotingClassifier.fit``, with y (n,) values."""
        matrix, values, sample_weight = self._read_fit(X, y, sample_weight, allow_nan=True)
        self._fit_vote(
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
        check_fitted(self)
        return self.vote_weights_ @ ask(self.members_, "predict", self._ordered_columns(X))


def _from_performance(outputs: np.ndarray, target: np.ndarray, weight: np.ndarray, n_classes: int) -> np.ndarray:
    if n_classes:
        return performance_weights(log_losses(outputs, target, weight), base_rate_loss(target, n_classes, weight))
    error = np.average((outputs - target) ** 2, axis=1, weights=weight)
    mean = np.average(target, weights=weight)
    return performance_weights(error, float(np.average((target - mean) ** 2, weights=weight)))
