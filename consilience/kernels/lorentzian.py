"""Nearest-neighbour models under the Lorentzian distance, for features with outliers and a market with a memory."""

from typing import Any, Self

import numpy as np

from consilience.base import (
    Arrays,
    ClassifierPredictor,
    InvalidInput,
    InvalidState,
    RegressorPredictor,
    Spec,
    State,
    TimeAxis,
    invalid,
    time_axis,
)
from consilience.kernels.inputs import count
from consilience.kernels.lorentzian_calibration import apply_calibration, check_calibration, fit_calibration
from consilience.kernels.lorentzian_memory import LorentzianMemory

_CALIBRATION_SHARE = 0.3
_LEAST = 1e-6  # without smoothing a share of votes may be 0, whose logarithm no slope can help


class LorentzianClassifier(LorentzianMemory, ClassifierPredictor):
    """Class probabilities from the most similar past rows.

    The label to learn is the future move of each row, as ``data`` makes it, never the past one. A row's neighbours are
    rows given to ``fit`` only.

    Parameters
    ----------
    n_neighbors : neighbours per row.
    weights : "uniform", or "distance" (1/d; a row met before decides alone).
    scaling : "robust" (median, interquartile range), "standard" (mean, standard deviation) or "none".
    clip : scaled features are cut to ±clip; None leaves them.
    min_spacing : accepted neighbours of one asset are at least this many rows apart, so that one episode, whose rows
        resemble each other and share their outcome, does not vote several times. 1 accepts all.
    max_window : remember only the newest rows of each asset; None for all.
    smoothing : pseudo-neighbours that vote with the class frequencies of the remembered rows; it keeps every
        probability inside (0, 1) and shrinks a small sample's noise. 0 for the plain share of votes.
    calibrate : learn a slope and offsets that make the probabilities mean what they say (Platt scaling), from the
        newest 30 % of the time given to ``fit``, answered from the rows before. All rows are remembered all the same.
    label_horizon : with ``calibrate``, the times that a label looks ahead: so many are left out between the two parts.
    n_jobs : threads at most; None or -1 for all. Results do not depend on it.

    Attributes
    ----------
    calibration_ : (1 + n_classes,) slope and offsets, or None.
    classes_, n_features_in_, feature_names_in_ : as in scikit-learn.
    rows_ : (n,) which rows of X are remembered (not those of weight 0, nor those older than the window).

    References
    ----------
    The distance and the spacing follow the TradingView indicator "Machine Learning: Lorentzian Classification"
    (jdehorty, 2023); smoothing is the m-estimate of B. Cestnik, "Estimating probabilities", ECAI 1990.

    Examples
    --------
    >>> X = [[0.0], [0.1], [0.2], [5.0], [5.1], [5.2]]
    >>> model = LorentzianClassifier(n_neighbors=3, smoothing=1.0).fit(X, ["down"] * 3 + ["up"] * 3)
    >>> model.predict_proba([[5.05]]).round(3).tolist()
    [[0.125, 0.875]]
    """

    def __init__(
        self,
        n_neighbors: int = 8,
        *,
        weights: str = "uniform",
        scaling: str = "robust",
        clip: float | None = 5.0,
        min_spacing: int = 1,
        max_window: int | None = None,
        smoothing: float = 8.0,
        calibrate: bool = False,
        label_horizon: int = 1,
        n_jobs: int | None = None,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.weights = weights
        self.scaling = scaling
        self.clip = clip
        self.min_spacing = min_spacing
        self.max_window = max_window
        self.smoothing = smoothing
        self.calibrate = calibrate
        self.label_horizon = label_horizon
        self.n_jobs = n_jobs

    calibration_: np.ndarray | None
    _prior: np.ndarray

    def fit(self, X: Any, y: Any, *, sample_weight: Any = None, validation: Any = None) -> Self:
        """Remember the rows of X (n, d) in time order and their labels y (n,); ``validation`` is not used."""
        self._check_params()
        if not isinstance(self.calibrate, bool | np.bool_):
            raise invalid("calibrate", "LorentzianClassifier", "True or False", self.calibrate)
        count(self.label_horizon, "label_horizon", "LorentzianClassifier")
        values, target, weight = self._read_fit(X, y, sample_weight)
        codes = self._read_labels(target)
        if weight is not None and len(np.unique(codes[weight > 0])) < 2:
            raise InvalidInput("The 'sample_weight' parameter leaves rows of one class only; two classes are needed.")
        axis = time_axis(X)
        self.calibration_ = self._learn_calibration(axis, values, codes, weight) if self.calibrate else None
        self._remember(axis, values, codes, weight)
        self._prior = self._frequencies()
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities (m, n_classes), each row from its own neighbours alone."""
        proba = self._votes(self._read_queries(X))
        return proba if self.calibration_ is None else apply_calibration(self.calibration_, np.maximum(proba, _LEAST))

    def _votes(self, queries: np.ndarray) -> np.ndarray:
        """Probabilities (m, n_classes) of scaled queries, before calibration."""
        distances, places = self._search(queries, self.n_neighbors)
        shares = self._neighbor_weights(distances, places)
        codes = np.where(places >= 0, self._target[places], 0)
        votes = np.empty((len(queries), len(self.classes_)))
        for code in range(votes.shape[1]):
            votes[:, code] = np.where(codes == code, shares, 0.0).sum(axis=1)
        votes += self.smoothing * self._prior
        return votes / votes.sum(axis=1, keepdims=True)

    def _learn_calibration(
        self, axis: TimeAxis, values: np.ndarray, codes: np.ndarray, weight: np.ndarray | None
    ) -> np.ndarray:
        """Answer the newest rows from the older ones, and fit what came to what was said."""
        moments, when = np.unique(axis.times, return_inverse=True)
        cut = int((1.0 - _CALIBRATION_SHARE) * len(moments))
        old, new = np.flatnonzero(when < cut - self.label_horizon), np.flatnonzero(when >= cut)
        if len(old) < self.n_neighbors or len(new) < 2 * len(self.classes_):
            raise InvalidInput(
                f"The 'calibrate' parameter of LorentzianClassifier needs at least n_neighbors = {self.n_neighbors} "
                f"rows in the first 70 % of time; there are {len(old)}. Give more rows or set calibrate=False."
            )
        earlier = type(self)(**{**self.get_params(deep=False), "calibrate": False})
        earlier.classes_, earlier.n_features_in_ = self.classes_, self.n_features_in_
        past = TimeAxis(axis.times[old], axis.assets[old], axis.asset_names)
        earlier._remember(past, values[old], codes[old], None if weight is None else weight[old])
        earlier._prior = earlier._frequencies()
        proba = np.maximum(earlier._votes(earlier.scaling_(values[new])), _LEAST)
        return fit_calibration(proba, codes[new], None if weight is None else weight[new])

    def _frequencies(self) -> np.ndarray:
        """Class frequencies (n_classes,) of the remembered rows; one pseudo-row is shared among all classes.

        Without it, a class that the window has lost would get probability 0 and an infinite log loss.
        """
        n_classes = len(self.classes_)
        counts = np.bincount(self._target, self._row_weights, n_classes) + 1.0 / n_classes
        return counts / counts.sum()

    def _fitted_state(self) -> tuple[Spec, Arrays, dict[str, State]]:
        arrays = self._memory_arrays()
        if self.calibration_ is not None:
            arrays["calibration"] = self.calibration_
        return {"n_samples_fit": self.n_samples_fit_}, arrays, {}

    def _restore_fitted(self, spec: Spec, arrays: Arrays, children: dict[str, Any]) -> None:
        self._restore_memory(spec, arrays)
        self.calibration_ = arrays["calibration"] if self.calibrate else None
        if self.calibration_ is not None:
            check_calibration(self.calibration_, len(self.classes_))
        codes = arrays["target"]
        if codes.dtype != np.int64 or int(codes.min()) < 0 or int(codes.max()) >= len(self.classes_):
            raise InvalidState("The stored labels must be int64 codes of the stored classes.")
        self._target = codes
        self._prior = self._frequencies()


class LorentzianRegressor(LorentzianMemory, RegressorPredictor):
    """The mean outcome of the most similar past rows.

    Parameters are those of ``LorentzianClassifier``; ``smoothing`` pseudo-neighbours carry the mean of the remembered
    rows' outcomes, and there are none by default.

    Examples
    --------
    >>> model = LorentzianRegressor(n_neighbors=2).fit([[0.0], [1.0], [8.0]], [1.0, 3.0, 50.0])
    >>> model.predict([[0.4]]).tolist()
    [2.0]
    """

    def __init__(
        self,
        n_neighbors: int = 8,
        *,
        weights: str = "uniform",
        scaling: str = "robust",
        clip: float | None = 5.0,
        min_spacing: int = 1,
        max_window: int | None = None,
        smoothing: float = 0.0,
        n_jobs: int | None = None,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.weights = weights
        self.scaling = scaling
        self.clip = clip
        self.min_spacing = min_spacing
        self.max_window = max_window
        self.smoothing = smoothing
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any, *, sample_weight: Any = None, validation: Any = None) -> Self:
        """Remember the rows of X (n, d) in time order and their outcomes y (n,); ``validation`` is not used."""
        self._check_params()
        values, target, weight = self._read_fit(X, y, sample_weight)
        self._remember(time_axis(X), values, target, weight)
        self._mean = float(np.average(self._target, weights=self._row_weights))
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Outcomes (m,), in the unit of y."""
        distances, places = self._search(self._read_queries(X), self.n_neighbors)
        shares = self._neighbor_weights(distances, places)
        total = (shares * np.where(places >= 0, self._target[places], 0.0)).sum(axis=1)
        return (total + self.smoothing * self._mean) / (shares.sum(axis=1) + self.smoothing)

    def _fitted_state(self) -> tuple[Spec, Arrays, dict[str, State]]:
        return {"n_samples_fit": self.n_samples_fit_}, self._memory_arrays(), {}

    def _restore_fitted(self, spec: Spec, arrays: Arrays, children: dict[str, Any]) -> None:
        self._restore_memory(spec, arrays)
        if arrays["target"].dtype != np.float64 or not np.isfinite(arrays["target"]).all():
            raise InvalidState("The stored outcomes must be finite float64 numbers.")
        self._target = arrays["target"]
        self._mean = float(np.average(self._target, weights=self._row_weights))
