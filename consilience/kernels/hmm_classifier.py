"""Direction from the regime: each class's frequency in each filtered state of a Gaussian hidden Markov model."""

from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from consilience.base import Arrays, ClassifierPredictor, InvalidState, Spec, invalid
from consilience.kernels.gaussian_hmm import GaussianHMM
from consilience.kernels.hmm_sequences import Sequences
from consilience.kernels.inputs import number
from consilience.kernels.regime_filter import RegimeFilter, chosen_columns


class HMMClassifier(ClassifierPredictor):
    """Classify each row by its filtered regime.

    A Gaussian HMM is fitted to the standardised columns without looking at y. Each row's class probabilities are then
    Σₖ P(regime k | rows so far) · P(class | regime k); the second factor is the likeliest table for the training rows'
    filtered probabilities, smoothed towards the class frequencies. As it is learnt for the label itself, which lies in
    the future, it contains the chance that the regime changes before the label is known.

    Parameters
    ----------
    n_components, covariance_type, n_iter, tol, n_init, covars_prior, random_state : of ``GaussianHMM``.
    columns : names or positions of the columns that the HMM sees; None takes ``ret_1`` and ``vol_20`` where X has both,
        otherwise every column.
    window : a regime is filtered from at most so many rows; ``lookback`` is one less, or shorter where the transition
        matrix forgets sooner.
    smoothing : rows of the overall class frequencies that are added to every regime.

    Attributes
    ----------
    class_proba_ : (K, n_classes), P(class | regime).
    startprob_, transmat_, means_, covars_ : of the HMM, in standardised units. history_ : log-likelihoods of the fit.
    regime_names_ : bull, bear, accumulation, distribution: one per regime, from the first column (``regime_names``).

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> regime = np.repeat([0, 1, 0, 1], 100)
    >>> X = rng.normal(regime[:, None] * 3.0, 1.0, (400, 2))
    >>> model = HMMClassifier(n_components=2, random_state=0).fit(X, regime)
    >>> float(model.score(X, regime)) > 0.98
    True
    """

    def __init__(
        self,
        n_components: int = 3,
        covariance_type: str = "diag",
        *,
        columns: Any = None,
        window: int = 250,
        smoothing: float = 10.0,
        n_iter: int = 100,
        tol: float = 1e-2,
        n_init: int = 3,
        covars_prior: float = 1e-2,
        random_state: Any = None,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.columns = columns
        self.window = window
        self.smoothing = smoothing
        self.n_iter = n_iter
        self.tol = tol
        self.n_init = n_init
        self.covars_prior = covars_prior
        self.random_state = random_state

    def fit(self, X: Any, y: Any, *, sample_weight: Any = None, validation: Any = None) -> Self:
        """Fit the HMM to X, then the table of classes to y. ``sample_weight`` weighs rows in the table only."""
        values, target, weight = self._read_fit(X, y, sample_weight)
        codes = self._read_labels(target)
        check_window(self.window, "HMMClassifier")
        number(self.smoothing, "smoothing", "HMMClassifier", above=0.0)
        names = getattr(self, "feature_names_in_", None)
        columns = chosen_columns(self.columns, names, values.shape[1], "HMMClassifier")
        sequences = Sequences(X)
        model = GaussianHMM(
            self.n_components,
            self.covariance_type,
            n_iter=self.n_iter,
            tol=self.tol,
            n_init=self.n_init,
            covars_prior=self.covars_prior,
            random_state=self.random_state,
        )
        self._filter = RegimeFilter.fitted(values, sequences, columns, model, int(self.window))
        self.history_, self.converged_ = model.history_, model.converged_
        self._publish()
        proba = self._filter.filtered(values, sequences)
        self.class_proba_ = class_table(proba, codes, len(self.classes_), weight, float(self.smoothing))
        return self

    def _publish(self) -> None:
        p = self._filter.parameters
        self.startprob_, self.transmat_, self.means_, self.covars_ = p.startprob, p.transmat, p.means, p.covars
        self.regime_names_ = self._filter.names()

    @property
    def lookback(self) -> int:
        check_is_fitted(self)
        return self._filter.window - 1

    def regime_proba(self, X: Any) -> np.ndarray:
        """Filtered regime probabilities (n, K)."""
        values = self._read_X(X)
        return self._filter.filtered(values, Sequences(X))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Class probabilities (n, n_classes)."""
        proba = self.regime_proba(X) @ self.class_proba_
        return proba / proba.sum(axis=1, keepdims=True)

    def _fitted_state(self) -> tuple[Spec, Arrays, dict[str, Any]]:
        fitted = {
            "window": self._filter.window,
            "history": {name: list(values) for name, values in self.history_.items()},
            "converged": bool(self.converged_),
        }
        return fitted, {**self._filter.arrays(), "class_proba": self.class_proba_}, {}

    def _restore_fitted(self, spec: Spec, arrays: Arrays, children: dict[str, Any]) -> None:
        self._filter = RegimeFilter.restored(arrays, self.covariance_type, spec["window"], self.n_features_in_)
        table = arrays["class_proba"]
        shape = (self._filter.parameters.n_states, len(self.classes_))
        if table.dtype != np.float64 or table.shape != shape or not (np.isfinite(table) & (table > 0)).all():
            raise InvalidState(f"The stored HMMClassifier needs a table of class probabilities > 0 of shape {shape}.")
        self.class_proba_ = table
        self.history_ = {str(name): [float(value) for value in values] for name, values in spec["history"].items()}
        self.converged_ = bool(spec["converged"])
        self._publish()


def check_window(window: Any, owner: str) -> None:
    if not isinstance(window, int | np.integer) or isinstance(window, bool) or not 1 <= window < 2**31:
        raise invalid("window", owner, "a whole number of rows >= 1", window)


def class_table(
    proba: np.ndarray, codes: np.ndarray, n_classes: int, weight: np.ndarray | None, smoothing: float
) -> np.ndarray:
    """P(class | regime), (K, n_classes): the likeliest table for Σₖ proba·table, plus ``smoothing`` prior rows.

    Expectation–maximisation of a mixture with known weights; the objective is concave, so the start does not matter.
    """
    weight = np.ones(len(codes)) if weight is None else weight
    prior = np.bincount(codes, weight, n_classes) / weight.sum()
    prior = (prior + 1e-6) / (1 + 1e-6 * n_classes)
    table = np.tile(prior, (proba.shape[1], 1))
    onehot = np.eye(n_classes)[codes] * weight[:, None]
    for _ in range(200):
        share = proba * table[:, codes].T
        share /= share.sum(axis=1, keepdims=True)
        counts = share.T @ onehot + smoothing * prior
        new = counts / counts.sum(axis=1, keepdims=True)
        moved = np.abs(new - table).max()
        table = new
        if moved < 1e-8:
            break
    return table
