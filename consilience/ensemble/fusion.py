"""Fusion: a boosted model that reads tabular columns together with what sequence networks make of the rows before."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from consilience.base import ClassifierPredictor, RegressorPredictor
from consilience.ensemble.embeddings import Embedded
from consilience.ensemble.fusion_base import Fusion, FusionBase
from consilience.ensemble.members import NamedMembers


class FusionClassifier(FusionBase, ClassifierPredictor):
    """A booster fitted on the columns of X joined with out-of-fold embeddings of sequence networks.

    A network says more about rows that it was trained on than about new ones; a booster that were fitted on such
    embeddings would trust them too much. Here each row's embedding comes from a network of its fold's training rows.
    Such networks do not share coordinates: each is rotated onto the one before it by the rows that both learnt from
    (``ensemble.alignment``), the network of all rows at last.

    Parameters
    ----------
    encoders : list of (name, network); a network has ``fit`` and ``embed(X)`` (LSTM, CNN, Transformer).
    booster : the model on top, such as ``LightGBMClassifier()``.
    folds : a splitter of ``consilience.evaluation``, usually ``PurgedWalkForward``. The booster learns from the rows
        that it tests; with walk-forward folds the first block of rows trains networks only.
    fusion : "concatenate"; "gated": each embedding column times a gate in (0, 2) read from the whole row; "attention":
        the columns, and per group of columns its linear evidence times its attention weight. Gates are fitted
        walking forward too.
    groups : group name to columns of X, for the attention; by default all of X is one group. Each encoder is a group.
    n_components : principal components kept of each embedding; None passes the embedding on as it is.
    align : False for networks whose coordinates do not depend on the fit, such as a frozen one.
    validation_fraction : share of the newest rows that a model with early stopping watches.
    n_jobs : folds of an encoder fitted at once.

    Attributes
    ----------
    encoders_, booster_ : fitted on all rows, and on all covered rows. embedded_ : encoder name to ``Embedded``, its
        out-of-fold embeddings; not stored. fused_names_, fused_importances_ : what the booster reads, and how much.

    References
    ----------
    Wolpert, *Stacked generalization* (1992), for fitting on what unseen rows gave. Schönemann, *A generalized solution
    of the orthogonal Procrustes problem* (1966). Arevalo et al., *Gated multimodal units for information fusion*
    (2017).

    Examples
    --------
    >>> import numpy as np
    >>> from consilience.boosting import LogisticClassifier
    >>> from consilience.evaluation import PurgedWalkForward
    >>> class Moved(LogisticClassifier):
    ...     def embed(self, X):
    ...         return np.asarray(X, float) * 2.0
    >>> X = np.random.default_rng(0).standard_normal((200, 2))
    >>> folds = PurgedWalkForward(n_splits=3, label_horizon=1)
    >>> fusion = FusionClassifier([("net", Moved())], LogisticClassifier(), folds).fit(X, X[:, 0] > 0)
    >>> fusion.predict_proba(X[:4]).shape, fusion.fused_names_
    ((4, 2), ['x0', 'x1', 'net_0', 'net_1'])
    """

    def __init__(
        self,
        encoders: NamedMembers,
        booster: Any,
        folds: Any = None,
        *,
        fusion: Fusion = "concatenate",
        groups: Mapping[str, Sequence[str]] | None = None,
        n_components: int | None = 16,
        align: bool = True,
        validation_fraction: float = 0.15,
        n_jobs: int = 1,
    ):
        self.encoders = encoders
        self.booster = booster
        self.folds = folds
        self.fusion = fusion
        self.groups = groups
        self.n_components = n_components
        self.align = align
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
        embedded: Mapping[str, Embedded] | None = None,
    ) -> "FusionClassifier":
        """Fit networks per fold and on all rows, then the booster on the rows that the folds cover.

        Parameters
        ----------
        X : (n, d) in time order. y : (n,) labels.
        label_end : (n,) when each label becomes known; not needed where ``folds`` has a ``label_horizon``.
        validation : (X, y) later than the rows, for early stopping; by default each model that stops early watches a
            purged tail of the rows that it is fitted on.
        embedded : encoder name to what another fusion's ``embedded_`` holds for it, made on the same rows with the same
            folds; that encoder is not fitted again, so other boosters and other ways to join cost little.

        Raises
        ------
        InvalidInput : a parameter that cannot be used, embeddings of other encoders, rows or folds, or aligned folds
            that learn from no rows in common.
        """
        values, labels, sample_weight = self._read_fit(X, y, sample_weight, allow_nan=True)
        codes = self._read_labels(labels)
        self._fit_fusion(
            X if isinstance(X, pd.DataFrame) else values,
            labels,
            codes,
            sample_weight=sample_weight,
            validation=validation,
            label_end=label_end,
            given=embedded,
        )
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities (n, n_classes); a row needs the ``lookback`` rows before it."""
        proba = self._answer(X, "predict_proba")
        if len(self.booster_.classes_) == len(self.classes_):
            return proba
        # A class that only rows of the first block have is unknown to the booster.
        out = np.zeros((len(proba), len(self.classes_)))
        out[:, np.searchsorted(self.classes_, self.booster_.classes_)] = proba
        return out


class FusionRegressor(FusionBase, RegressorPredictor):
    """``FusionClassifier`` for values; parameters and attributes are the same.

    Examples
    --------
    >>> import numpy as np
    >>> from consilience.boosting import RidgeRegressor
    >>> from consilience.evaluation import PurgedWalkForward
    >>> class Moved(RidgeRegressor):
    ...     def embed(self, X):
    ...         return np.asarray(X, float) * 2.0
    >>> X = np.random.default_rng(0).standard_normal((200, 2))
    >>> folds = PurgedWalkForward(n_splits=3, label_horizon=1)
    >>> FusionRegressor([("net", Moved())], RidgeRegressor(), folds).fit(X, X[:, 0]).predict(X[:4]).shape
    (4,)
    """

    def __init__(
        self,
        encoders: NamedMembers,
        booster: Any,
        folds: Any = None,
        *,
        fusion: Fusion = "concatenate",
        groups: Mapping[str, Sequence[str]] | None = None,
        n_components: int | None = 16,
        align: bool = True,
        validation_fraction: float = 0.15,
        n_jobs: int = 1,
    ):
        self.encoders = encoders
        self.booster = booster
        self.folds = folds
        self.fusion = fusion
        self.groups = groups
        self.n_components = n_components
        self.align = align
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
        embedded: Mapping[str, Embedded] | None = None,
    ) -> "FusionRegressor":
        """As ``FusionClassifier.fit``, with y (n,) values."""
        matrix, values, sample_weight = self._read_fit(X, y, sample_weight, allow_nan=True)
        self._fit_fusion(
            X if isinstance(X, pd.DataFrame) else matrix,
            values,
            values,
            sample_weight=sample_weight,
            validation=validation,
            label_end=label_end,
            given=embedded,
        )
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Values (n,)."""
        return self._answer(X, "predict")
