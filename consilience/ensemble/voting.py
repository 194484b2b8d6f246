"""Voting: members joined by fixed weights, without a meta-learner."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from consilience.base import Arrays, ClassifierPredictor, InvalidState, RegressorPredictor, Spec, State, invalid
from consilience.ensemble import combine
from consilience.ensemble.evidence import gather
from consilience.ensemble.failures import Answers, ask, needed, require_quorum, warn_left_out
from consilience.ensemble.members import MembersMixin, NamedMembers, OnMember, check_fitted, out_of_fold_of
from consilience.ensemble.newest import NewestRows
from consilience.ensemble.splitters import restore_splitter, splitter_spec
from consilience.ensemble.weight_search import SEARCHES, searched_weights
from consilience.evaluation.label_intervals import label_intervals
from consilience.evaluation.out_of_fold import OutOfFold

Weights = Sequence[float] | Literal["performance", "simplex", "greedy"] | None
Vote = Callable[[np.ndarray, np.ndarray], np.ndarray]


class _Voting(MembersMixin):
    """What the classifier and the regressor share."""

    folds: Any
    max_correlation: float | None
    redundant_: dict[str, str]
    weights: Weights
    quorum: float | int
    predict_budget: float | None
    vote_weights_: np.ndarray
    failures_: dict[str, str]

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
        named, owner = self._named_members(), type(self).__name__
        required = needed(self.quorum, len(named), owner)
        by_name, reasons = self._vote_weights(X, labels, target, sample_weight, label_end, given)
        self.members_, late = self._refit_all(
            {name: named[name] for name in by_name},
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
            require_quorum(len(self.members_) + len(self.redundant_), required, self.failures_, len(named))
            warn_left_out(owner, self.failures_)
        self.vote_weights_ = _normalised(np.array([by_name[name] for name in self.members_]))

    def _vote_weights(
        self,
        X: Any,
        labels: np.ndarray,
        target: np.ndarray,
        sample_weight: np.ndarray | None,
        label_end: Any,
        given: Mapping[str, OutOfFold] | None,
    ) -> tuple[dict[str, float], dict[str, str]]:
        """Weights by name, and why members are missing."""
        self.redundant_: dict[str, str] = {}
        if not isinstance(self.weights, str):
            if self.max_correlation is not None:
                required = "None unless weights are searched out of fold"
                raise invalid("max_correlation", type(self).__name__, required, self.max_correlation)
            names = list(self._named_members())
            return dict(zip(names, self._given_weights(len(names)).tolist())), {}
        if self.weights not in SEARCHES:
            required = f"None, a list of numbers, or one of {', '.join(SEARCHES)}"
            raise invalid("weights", type(self).__name__, required, self.weights)
        tables, reasons = out_of_fold_of(self, X, labels, label_end, sample_weight, given or {})
        intervals = label_intervals(X, label_end, getattr(self.folds, "label_horizon", None))
        tables, self.redundant_ = self._diverse(tables, target, intervals, sample_weight)
        table = gather(tables, target, intervals, sample_weight, len(getattr(self, "classes_", ())))
        return dict(zip(table.names, searched_weights(table, self.weights).tolist())), reasons

    def _ask(self, X: Any, n: int | None = None) -> Answers:
        """Every member's answer; of the newest n rows only where n is given."""
        check_fitted(self)
        n_classes = len(getattr(self, "classes_", ()))
        method = "predict_proba" if n_classes else "predict"
        X = self._ordered_columns(X)
        newest = None if n is None else NewestRows(X, n)
        return ask(self.members_, method, X, n_classes=n_classes, budget=self.predict_budget, newest=newest)

    def _join(self, answers: Answers, vote: Vote) -> np.ndarray:
        """The vote of the members that answered; the weights of absent ones are spread over the others in
        proportion."""
        if answers.alive is None:
            return vote(answers.outputs, self.vote_weights_)
        owner, n_members = type(self).__name__, len(self.members_)
        warn_left_out(owner, answers.reasons)
        out = np.empty(answers.outputs.shape[1:])
        patterns, which = np.unique(answers.alive, axis=1, return_inverse=True)
        for number, pattern in enumerate(patterns.T):
            present, rows = np.flatnonzero(pattern), np.flatnonzero(which.ravel() == number)
            require_quorum(len(present), needed(self.quorum, n_members, owner), answers.reasons, n_members)
            out[rows] = vote(answers.outputs[np.ix_(present, rows)], _normalised(self.vote_weights_[present]))
        return out

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
        return (
            {"members": list(self.members_), "failures": self.failures_},
            {"weights": self.vote_weights_},
            self._member_states(),
        )

    def _restore_fitted(self, spec: Spec, arrays: Arrays, children: dict[str, Any]) -> None:
        self._restore_members(spec["members"], children)
        self.failures_ = {str(name): str(reason) for name, reason in spec["failures"].items()}
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
    weights : None (equal), one number per member, or searched on out-of-fold predictions and then pulled towards
        equal as far as walking forward says: "performance" (in proportion to each member's skill over the base rate),
        "simplex" (the non-negative weights of least loss) or "greedy" (Caruana's selection with replacement, bagged).
    folds : the splitter for searched weights.
    max_correlation : with searched weights, leave out members that repeat a better one out of fold more closely than
        this (``ensemble.diversity``); they are named in ``redundant_``.
    quorum, fit_budget, predict_budget : of ``StackingClassifier``; an absent member's weight is spread over the others.
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
        max_correlation: float | None = None,
        quorum: float | int = 0.5,
        fit_budget: float | None = None,
        predict_budget: float | None = None,
        validation_fraction: float = 0.15,
        n_jobs: int = 1,
    ):
        self.members = members
        self.voting = voting
        self.weights = weights
        self.folds = folds
        self.max_correlation = max_correlation
        self.quorum = quorum
        self.fit_budget = fit_budget
        self.predict_budget = predict_budget
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
        return self._join(self._ask(X), combine.soft_vote if self.voting == "soft" else combine.hard_vote)

    def predict_newest_proba(self, X: Any, n: int = 1) -> np.ndarray:
        """``predict_proba(X)[-n:]`` for rows of one asset, each member getting only the rows that it needs."""
        return self._join(self._ask(X, n), combine.soft_vote if self.voting == "soft" else combine.hard_vote)


class VotingRegressor(_Voting, RegressorPredictor):
    """The weighted mean of the members' values; parameters as for ``VotingClassifier``, without ``voting``."""

    def __init__(
        self,
        members: NamedMembers,
        *,
        weights: Weights = None,
        folds: Any = None,
        max_correlation: float | None = None,
        quorum: float | int = 0.5,
        fit_budget: float | None = None,
        predict_budget: float | None = None,
        validation_fraction: float = 0.15,
        n_jobs: int = 1,
    ):
        self.members = members
        self.weights = weights
        self.folds = folds
        self.max_correlation = max_correlation
        self.quorum = quorum
        self.fit_budget = fit_budget
        self.predict_budget = predict_budget
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
        return self._join(self._ask(X), _mean)

    def predict_newest(self, X: Any, n: int = 1) -> np.ndarray:
        """``predict(X)[-n:]`` for rows of one asset, each member getting only the rows that it needs."""
        return self._join(self._ask(X, n), _mean)


def _normalised(weights: np.ndarray) -> np.ndarray:
    """Weights summing to 1; equal where nobody with a weight is left."""
    total = float(weights.sum())
    return weights / total if total > 0.0 else np.full(len(weights), 1.0 / len(weights))


def _mean(outputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.asarray(weights @ outputs)
