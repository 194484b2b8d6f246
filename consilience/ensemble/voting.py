"""Voting: members joined by weights that are given, equal or searched, without a meta-learner."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd

from consilience.base import ClassifierPredictor, RegressorPredictor, invalid
from consilience.ensemble.abstention import check_threshold
from consilience.ensemble.explaining import PositionsMixin
from consilience.ensemble.fits import FitData, FittedMember
from consilience.ensemble.members import NamedMembers, OnMember
from consilience.ensemble.vote_pools import HardVote, MeanVote, SoftVote
from consilience.ensemble.voting_base import VotingBase, Weights
from consilience.ensemble.weight_search import MakeVote
from consilience.evaluation.out_of_fold import OutOfFold


class VotingClassifier(PositionsMixin, VotingBase, ClassifierPredictor):
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
    confidence_threshold : rows whose most probable class has less get no position (``positions``, ``explain``).
    quorum, fit_budget, predict_budget : of ``StackingClassifier``. Where a member is absent, searched weights are those
        searched for the members that remain, from the stored out-of-fold predictions; given or equal ones are spread
        over the others in proportion.
    validation_fraction : share of the newest rows that a member with early stopping watches, where label ends are
        known.
    n_jobs : folds of a member fitted at once.

    Attributes
    ----------
    members_ : fitted on all rows. weights_ : by name. failures_, redundant_ : why members were left out.
    evidence_, out_of_fold_, oof_ : with searched weights, the members' out-of-fold predictions and what the vote itself
        said, as for ``StackingClassifier``; without a search the first and the last are None. Of a stored vote
        ``evidence_`` comes back, the records do not.

    References
    ----------
    Caruana, Niculescu-Mizil, Crew & Ksikes, *Ensemble selection from libraries of models* (2004), for "greedy".
    Stone, *The opinion pool* (1961), for the weighted mean of probabilities.

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
        confidence_threshold: float | None = None,
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
        self.confidence_threshold = confidence_threshold
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
        fitted: Mapping[str, FittedMember] | None = None,
        on_member: OnMember | None = None,
    ) -> "VotingClassifier":
        """Fit every member on all rows; parameters are those of ``StackingClassifier.fit``.

        Raises
        ------
        InvalidInput : a parameter that cannot be used. QuorumNotMet : too few members could be fitted.
        """
        check_threshold(self.confidence_threshold, type(self).__name__)
        if self.voting not in ("soft", "hard"):
            raise invalid("voting", type(self).__name__, "'soft' or 'hard'", self.voting)
        values, labels, sample_weight = self._read_fit(X, y, sample_weight, allow_nan=True)
        codes = self._read_labels(labels)
        X, made = X if isinstance(X, pd.DataFrame) else values, (out_of_fold or {}, fitted or {})
        self._fit_vote(FitData(X, labels, codes, sample_weight, validation, label_end, None, *made, on_member))
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities (soft) or shares of the vote (hard), (n, n_classes).

        Raises
        ------
        QuorumNotMet : too few members answered. A ``DegradedWarning`` tells when some did not.
        """
        return self._join(X)

    def predict_newest_proba(self, X: Any, n: int = 1) -> np.ndarray:
        """``predict_proba(X)[-n:]`` for rows of one asset, each member getting only the rows that it needs."""
        return self._join(X, n)

    def _vote_of(self, base: np.ndarray) -> MakeVote:
        return partial(SoftVote if self.voting == "soft" else HardVote, base)


class VotingRegressor(VotingBase, RegressorPredictor):
    """The weighted mean of the members' values; parameters as for ``VotingClassifier``, without ``voting``.

    Examples
    --------
    >>> import numpy as np
    >>> from consilience.boosting import RidgeRegressor
    >>> X = np.random.default_rng(0).standard_normal((60, 2))
    >>> vote = VotingRegressor([("a", RidgeRegressor()), ("b", RidgeRegressor(alpha=9.0))]).fit(X, X[:, 0])
    >>> vote.weights_
    {'a': 0.5, 'b': 0.5}
    """

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
        fitted: Mapping[str, FittedMember] | None = None,
        on_member: OnMember | None = None,
    ) -> "VotingRegressor":
        """As ``VotingClassifier.fit``, with y (n,) values."""
        matrix, values, sample_weight = self._read_fit(X, y, sample_weight, allow_nan=True)
        X, made = X if isinstance(X, pd.DataFrame) else matrix, (out_of_fold or {}, fitted or {})
        self._fit_vote(FitData(X, values, values, sample_weight, validation, label_end, None, *made, on_member))
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Values (n,); raises and warns as ``VotingClassifier.predict_proba`` does."""
        return self._join(X)

    def predict_newest(self, X: Any, n: int = 1) -> np.ndarray:
        """``predict(X)[-n:]`` for rows of one asset, each member getting only the rows that it needs."""
        return self._join(X, n)

    def _vote_of(self, base: np.ndarray) -> MakeVote:
        return partial(MeanVote, base)
