"""Stacking over purged walk-forward folds."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd

from consilience.base import ClassifierPredictor, RegressorPredictor
from consilience.ensemble import conformal
from consilience.ensemble.abstention import check_threshold, positions
from consilience.ensemble.explanation import Explanation
from consilience.ensemble.members import NamedMembers, OnMember
from consilience.ensemble.stack_base import StackBase
from consilience.evaluation.out_of_fold import OutOfFold


class StackingClassifier(StackBase, ClassifierPredictor):
    """Members joined by a meta-learner that was fitted on their out-of-fold predictions.

    The meta-learner is a log-linear pool: the base rate's log-odds plus a weighted sum of how far each
    member moves them. How far the weights may leave "base rate only" and "all equal" is decided by walking forward
    over the out-of-fold rows (``ensemble.shrinkage``), so that a stack of members that know nothing says the base rate.

    Parameters
    ----------
    members : list of (name, classifier).
    folds : a splitter of ``consilience.evaluation``, usually ``PurgedWalkForward``.
    regimes : a regime model such as ``RegimeFeatures(n_components=3)``; the members then get weights per filtered
        regime, pulled towards their global weights as far as walking forward says.
    final_estimator : another meta-learner, fitted on the members' log-odds and the filtered regime probabilities; its
        answer is calibrated, and pulled to the base rate as far as walking forward says. When a member is missing,
            the pool answers.
    passthrough : give it the columns of X too.
    selection : "weights", or "specialist": in every regime only the member that was best there out of fold speaks, or
        nobody where none beats the base rate; a regime of few rows keeps the member that is best overall.
    max_correlation : leave out members that repeat a better one out of fold more closely than this
        (``ensemble.diversity``).
    confidence_threshold : rows whose most probable class has less get no position (``positions``, ``explain``).
    quorum : members that must be there, as a number or as a share; below it the stack refuses to answer.
    fit_budget, predict_budget : seconds that one member may take for its folds, for its refit, and for one
        prediction; a slower member is left out like one that fails. None waits. With a budget each member runs in a
        thread.
    validation_fraction : share of the newest rows that a member with early stopping watches.
    n_jobs : folds of a member fitted at once.

    Attributes
    ----------
    out_of_fold_ : member name to OutOfFold. evidence_ : the same as one table.
    oof_ : the stack's own OutOfFold: in every fold the meta-learner knows the rows of earlier folds whose labels were
        known when the fold began. The first fold has nothing to learn from and stays NaN.
    pool_ : the meta-learner. weights_ : member name to weight. members_ : member name to predictor fitted on all rows.
    combination_ : the pools for all members and for any that remain. failures_ : why members were left out at ``fit``.
    redundant_ : members left out by ``max_correlation``, and the better member that each follows.

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

    def __init__(
        self,
        members: NamedMembers,
        folds: Any = None,
        *,
        regimes: Any = None,
        final_estimator: Any = None,
        passthrough: bool = False,
        selection: Literal["weights", "specialist"] = "weights",
        max_correlation: float | None = None,
        confidence_threshold: float | None = None,
        quorum: float | int = 0.5,
        fit_budget: float | None = None,
        predict_budget: float | None = None,
        validation_fraction: float = 0.15,
        n_jobs: int = 1,
    ):
        self.members = members
        self.folds = folds
        self.regimes = regimes
        self.final_estimator = final_estimator
        self.passthrough = passthrough
        self.selection = selection
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
        check_threshold(self.confidence_threshold, type(self).__name__)
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
        """Probabilities (n, n_classes), in the order of ``classes_``.

        Raises
        ------
        QuorumNotMet : too few members answered. A ``DegradedWarning`` tells when some did not.
        """
        answers, regimes = self._ask(X)
        return self._join(answers, regimes, X)

    def predict_newest_proba(self, X: Any, n: int = 1) -> np.ndarray:
        """Probabilities (n, n_classes) of the last n rows of one asset, as ``predict_proba(X)[-n:]`` but faster.

        X : rows of one asset, with ``lookback`` rows before the last n; each member gets only as many as it needs.
        """
        answers, regimes = self._ask(X, n)
        return self._join(answers, regimes, X)

    def positions(self, X: Any) -> np.ndarray:
        """+1, 0 or −1 per row, (n,): 0 where the confidence is below ``confidence_threshold``."""
        return positions(self.predict_proba(X), self.confidence_threshold)

    def explain(self, X: Any, *, coverage: float = 0.9) -> Explanation:
        """The prediction of each row with every member's contribution on the log-odds scale; see ``Explanation``.

        Parameters
        ----------
        coverage : share of rows whose conformal set holds the true class, if the future is exchangeable with the past.
        """
        answers, proba, common = self._parts_of(X, coverage)
        own = answers.outputs.argmax(axis=2) == proba.argmax(axis=1)
        present = np.ones(own.shape, bool) if answers.alive is None else answers.alive
        return Explanation(
            prediction=self.classes_[proba.argmax(axis=1)],
            proba=proba,
            confidence=proba.max(axis=1),
            position=positions(proba, self.confidence_threshold),
            conformal=conformal.class_sets(proba, self.conformal_scores_, coverage),
            agreement=(own & present).sum(axis=0) / present.sum(axis=0),
            **common,
        )


class StackingRegressor(StackBase, RegressorPredictor):
    """``StackingClassifier`` for values: the target's mean plus a weighted sum of the members' centred
    values.

    Parameters, attributes and the choice of shrinkage are those of ``StackingClassifier``.
    """

    def __init__(
        self,
        members: NamedMembers,
        folds: Any = None,
        *,
        regimes: Any = None,
        final_estimator: Any = None,
        passthrough: bool = False,
        selection: Literal["weights", "specialist"] = "weights",
        max_correlation: float | None = None,
        quorum: float | int = 0.5,
        fit_budget: float | None = None,
        predict_budget: float | None = None,
        validation_fraction: float = 0.15,
        n_jobs: int = 1,
    ):
        self.members = members
        self.folds = folds
        self.regimes = regimes
        self.final_estimator = final_estimator
        self.passthrough = passthrough
        self.selection = selection
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
        """Values (n,); raises and warns as ``StackingClassifier.predict_proba`` does."""
        answers, regimes = self._ask(X)
        return self._join(answers, regimes, X)

    def predict_newest(self, X: Any, n: int = 1) -> np.ndarray:
        """Values (n,) of the last n rows of one asset; see ``StackingClassifier.predict_newest_proba``."""
        answers, regimes = self._ask(X, n)
        return self._join(answers, regimes, X)

    def explain(self, X: Any, *, coverage: float = 0.9) -> Explanation:
        """The prediction of each row with every member's contribution and a conformal interval; see ``Explanation``."""
        _, values, common = self._parts_of(X, coverage)
        return Explanation(
            prediction=values,
            proba=None,
            confidence=None,
            position=None,
            conformal=conformal.value_intervals(values, self.conformal_scores_, coverage),
            agreement=None,
            **common,
        )
