"""One model per market regime, each trusted as far as its regime's rows go."""

from typing import Any

import numpy as np
import pandas as pd

from consilience.base import ClassifierPredictor, RegressorPredictor
from consilience.ensemble.specialists_base import Said, SpecialistsBase, mixed_classes, mixed_values


class RegimeSpecialistClassifier(SpecialistsBase, ClassifierPredictor):
    """A clone of a model for every regime of the market, next to one for all rows.

    Each specialist is fitted on all rows, weighted by the filtered probability of its regime (or on the rows whose most
    probable regime it is). Its log-odds are averaged with the global model's: its share is n / (n + ``shrinkage``)
    for n effective rows, 0 below ``min_rows``, and with ``folds`` that share times a strength found by walking
    forward, so that specialists are used where they have predicted better than the global model.

    Parameters
    ----------
    model : any classifier; ``fit`` must take ``sample_weight``.
    regimes : a regime model such as ``RegimeFeatures(n_components=3)``. Only filtered probabilities are used.
    folds : a splitter; None trusts the row counts alone. With it, every model is fitted once per fold more.
    hard : answer by the most probable regime's specialist, instead of mixing all by their probabilities.
    min_rows, shrinkage : in effective rows, (Σ weight)² / Σ weight².
    validation_fraction : share of the newest rows that a model with early stopping watches.

    Attributes
    ----------
    global_, specialists_ (None where a regime has too few rows or lacks a class), regime_model_ : fitted models.
    trust_ : (n_regimes,) each specialist's share. strength_ : what walking forward made of it, 1 without folds.
    effective_rows_ : (n_regimes,).

    References
    ----------
    Hamilton, *A new approach to the economic analysis of nonstationary time series and the business cycle* (1989), for
    parameters per filtered regime.

    Examples
    --------
    >>> import numpy as np
    >>> from consilience.boosting import LogisticClassifier
    >>> from consilience.kernels import RegimeFeatures
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(np.repeat([0.0, 4.0], 150)[:, None], 1.0, (300, 2))
    >>> y = (rng.standard_normal(300) < np.where(X[:, 0] > 2, X[:, 1] - 4, -X[:, 1])).astype(int)
    >>> model = RegimeSpecialistClassifier(LogisticClassifier(), RegimeFeatures(n_components=2, random_state=0))
    >>> model.fit(X, y).trust_.round(1)
    array([0.4, 0.4])
    """

    def __init__(
        self,
        model: Any,
        regimes: Any,
        folds: Any = None,
        *,
        hard: bool = False,
        min_rows: int = 100,
        shrinkage: float = 200.0,
        validation_fraction: float = 0.15,
    ):
        self.model = model
        self.regimes = regimes
        self.folds = folds
        self.hard = hard
        self.min_rows = min_rows
        self.shrinkage = shrinkage
        self.validation_fraction = validation_fraction

    def fit(
        self, X: Any, y: Any, *, sample_weight: Any = None, validation: Any = None, label_end: Any = None
    ) -> "RegimeSpecialistClassifier":
        """Fit the regimes, the global model and the specialists.

        Parameters
        ----------
        X : (n, d) in time order. y : (n,) labels.
        label_end : (n,) when each label becomes known; needed with ``folds`` that have no ``label_horizon``.
        validation : (X, y) for models that stop early; by default a purged tail where label ends are known.

        Raises
        ------
        InvalidInput : a parameter that cannot be used.
        """
        values, labels, sample_weight = self._read_fit(X, y, sample_weight, allow_nan=True)
        codes = self._read_labels(labels)
        X = X if isinstance(X, pd.DataFrame) else values
        self._fit_specialists(X, labels, codes, sample_weight, validation, label_end)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities (n, n_classes); a row needs the ``lookback`` rows before it."""
        return self._answer(X)

    def _mix(self, said: Said, trust: np.ndarray) -> np.ndarray:
        return mixed_classes(said, trust)

    def _ask(self, model: Any, X: Any) -> np.ndarray:
        out = np.zeros((len(X), len(self.classes_)))
        out[:, np.searchsorted(self.classes_, model.classes_)] = model.predict_proba(X)
        return out


class RegimeSpecialistRegressor(SpecialistsBase, RegressorPredictor):
    """``RegimeSpecialistClassifier`` for values; parameters and attributes are the same.

    Examples
    --------
    >>> import numpy as np
    >>> from consilience.boosting import RidgeRegressor
    >>> from consilience.kernels import RegimeFeatures
    >>> X = np.random.default_rng(0).normal(np.repeat([0.0, 4.0], 150)[:, None], 1.0, (300, 2))
    >>> model = RegimeSpecialistRegressor(RidgeRegressor(), RegimeFeatures(n_components=2, random_state=0))
    >>> model.fit(X, X[:, 1]).predict(X[:3]).shape
    (3,)
    """

    def __init__(
        self,
        model: Any,
        regimes: Any,
        folds: Any = None,
        *,
        hard: bool = False,
        min_rows: int = 100,
        shrinkage: float = 200.0,
        validation_fraction: float = 0.15,
    ):
        self.model = model
        self.regimes = regimes
        self.folds = folds
        self.hard = hard
        self.min_rows = min_rows
        self.shrinkage = shrinkage
        self.validation_fraction = validation_fraction

    def fit(
        self, X: Any, y: Any, *, sample_weight: Any = None, validation: Any = None, label_end: Any = None
    ) -> "RegimeSpecialistRegressor":
        """As ``RegimeSpecialistClassifier.fit``, with y (n,) values."""
        matrix, values, sample_weight = self._read_fit(X, y, sample_weight, allow_nan=True)
        X = X if isinstance(X, pd.DataFrame) else matrix
        self._fit_specialists(X, values, values, sample_weight, validation, label_end)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Values (n,)."""
        return self._answer(X)

    def _mix(self, said: Said, trust: np.ndarray) -> np.ndarray:
        return mixed_values(said, trust)

    def _ask(self, model: Any, X: Any) -> np.ndarray:
        return np.asarray(model.predict(X), np.float64)
