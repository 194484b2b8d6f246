"""Stacking over purged walk-forward folds."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd

from consilience.base import ClassifierPredictor, RegressorPredictor
from consilience.ensemble.abstention import check_threshold
from consilience.ensemble.explaining import PositionsMixin
from consilience.ensemble.fits import FitData, FittedMember
from consilience.ensemble.members import NamedMembers, OnMember
from consilience.ensemble.stack_base import StackBase
from consilience.evaluation.out_of_fold import OutOfFold


class StackingClassifier(PositionsMixin, StackBase, ClassifierPredictor):
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
        answer is calibrated, and pulled to the base rate as far as walking forward says. It must predict each row from
        that row alone. The pool answers rows in which a member is missing or to which it has no answer.
    passthrough : give it the columns of X too.
    selection : "weights", or "specialist": in every regime only the member that was best there out of fold speaks, or
        nobody where none beats the base rate; a regime of few rows keeps the member that is best overall.
    max_correlation : leave out members that repeat a better one out of fold more closely than this
        (``ensemble.diversity``).
    confidence_threshold : rows whose most probable class has less get no position (``positions``, ``explain``).
    quorum : of the configured members, how many must be there, as a number or as a share; below it the stack refuses
        to answer, at ``fit`` and ever after. A redundant member is there while the one that it follows is.
    fit_budget, predict_budget : seconds that one member may take for its folds, for its refit, and for one
        prediction; a slower member is left out like one that fails. None waits. With a budget each member runs in a
        thread.
    validation_fraction : share of the newest rows that a member with early stopping watches.
    n_jobs : folds of a member fitted at once.

    Attributes
    ----------
    out_of_fold_ : member name to OutOfFold. evidence_ : the same as one table.
    oof_ : the stack's own OutOfFold: in every fold the meta-learner knows the rows of earlier folds whose labels were
        known when the fold began, and with ``max_correlation`` the members that led by then. The first fold has
        nothing to learn from and stays NaN.
    pool_ : the meta-learner. weights_ : member name to weight. members_ : member name to predictor fitted on all rows.
    fitted_members_ : the same for another ensemble's ``fit(fitted=...)``.
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
        fitted: Mapping[str, FittedMember] | None = None,
        on_member: OnMember | None = None,
    ) -> "StackingClassifier":
        """Fit the meta-learner on out-of-fold predictions and every member on all rows.

        Parameters
        ----------
        X : (n, d) in time order. y : (n,) labels.
        label_end : (n,) when each label becomes known; not needed where ``folds`` has a ``label_horizon``.
        validation : (X, y) for members that stop early; by default a purged tail of X.
        out_of_fold : member name to an OutOfFold made before with the same folds; such a member's folds are not fitted
            again.
        fitted : member name to what another ensemble's ``fitted_members_`` holds for it. With both, adding or removing
            a member fits nobody else again; a member with other parameters, or from other rows, is refused.
        on_member : called as (name, step, n_steps, seconds) after each member's refit.

        Raises
        ------
        InvalidInput : a parameter that cannot be used. QuorumNotMet : too few members could be fitted.
        """
        check_threshold(self.confidence_threshold, type(self).__name__)
        values, labels, sample_weight = self._read_fit(X, y, sample_weight, allow_nan=True)
        codes = self._read_labels(labels)
        X, made = X if isinstance(X, pd.DataFrame) else values, (out_of_fold or {}, fitted or {})
        self._fit_stack(FitData(X, labels, codes, sample_weight, validation, label_end, None, *made, on_member))
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities (n, n_classes), in the order of ``classes_``.

        Raises
        ------
        QuorumNotMet : too few members answered. A ``DegradedWarning`` tells when some did not.
        """
        return self._join(X)

    def predict_newest_proba(self, X: Any, n: int = 1) -> np.ndarray:
        """Probabilities (n, n_classes) of the last n rows of one asset, as ``predict_proba(X)[-n:]`` but faster.

        X : rows of one asset, with ``lookback`` rows before the last n; each member gets only as many as it needs.
        """
        return self._join(X, n)


class StackingRegressor(StackBase, RegressorPredictor):
    """``StackingClassifier`` for values: the target's mean plus a weighted sum of the members' centred
    values.

    Parameters, attributes and the choice of shrinkage are those of ``StackingClassifier``.

    Examples
    --------
    >>> import numpy as np
    >>> from consilience.boosting import RidgeRegressor
    >>> from consilience.evaluation import PurgedWalkForward
    >>> X = np.random.default_rng(0).standard_normal((300, 3))
    >>> folds = PurgedWalkForward(n_splits=4, label_horizon=1)
    >>> stack = StackingRegressor([("ridge", RidgeRegressor())], folds).fit(X, X[:, 0])
    >>> stack.explain(X[:2]).conformal.shape
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
        fitted: Mapping[str, FittedMember] | None = None,
        on_member: OnMember | None = None,
    ) -> "StackingRegressor":
        """As ``StackingClassifier.fit``, with y (n,) values."""
        matrix, values, sample_weight = self._read_fit(X, y, sample_weight, allow_nan=True)
        X, made = X if isinstance(X, pd.DataFrame) else matrix, (out_of_fold or {}, fitted or {})
        self._fit_stack(FitData(X, values, values, sample_weight, validation, label_end, None, *made, on_member))
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Values (n,); raises and warns as ``StackingClassifier.predict_proba`` does."""
        return self._join(X)

    def predict_newest(self, X: Any, n: int = 1) -> np.ndarray:
        """Values (n,) of the last n rows of one asset; see ``StackingClassifier.predict_newest_proba``."""
        return self._join(X, n)
