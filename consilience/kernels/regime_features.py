"""Market regimes as features for other models: filtered probabilities, what comes next, its age, its end."""

from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from consilience.base import Arrays, Spec
from consilience.base.predictor import _PredictorMixin
from consilience.kernels.gaussian_hmm import GaussianHMM
from consilience.kernels.hmm_classifier import check_window
from consilience.kernels.hmm_sequences import Sequences
from consilience.kernels.regime_filter import RegimeFilter, chosen_columns


class RegimeFeatures(TransformerMixin, _PredictorMixin, BaseEstimator):
    """Turn rows into what a Gaussian HMM knows about the regime at that row, never later (filtered, causal).

    ``transform`` gives one DataFrame row per row of X:

    ============================ ===============================================================================
    ``regime_0`` … ``regime_K-1``  probability of each regime, rows sum to 1
    ``next_0`` … ``next_K-1``      probability of each regime one row later
    ``regime_age``               rows for which the likeliest regime has been the same, at most ``window``
    ``regime_change``            probability that the regime at this row differs from that of the row before
    ``regime_entropy``           doubt about the regime in nats: 0 (sure) to log K
    ============================ ===============================================================================

    Parameters
    ----------
    n_components, covariance_type, n_iter, tol, n_init, covars_prior, random_state : of ``GaussianHMM``.
    columns : names or positions of the columns that the HMM sees; None takes ``ret_1`` and ``vol_20`` where X has both,
        otherwise every column.
    window : a regime is filtered from at most so many rows.

    Attributes
    ----------
    startprob_, transmat_, means_, covars_ : of the HMM, in standardised units. history_ : log-likelihoods of the fit.
    regime_names_ : bull, bear, accumulation, distribution: one per regime (``regime_names``), from the means and
        volatilities of the first column, which is taken for the return.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(np.repeat([0.0, 4.0], 50)[:, None], 1.0, (100, 1))
    >>> features = RegimeFeatures(n_components=2, random_state=0).fit(X).transform(X)
    >>> features.columns.tolist()
    ['regime_0', 'regime_1', 'next_0', 'next_1', 'regime_age', 'regime_change', 'regime_entropy']
    >>> features[["regime_0", "regime_age"]].round(2).iloc[[48, 52]].to_numpy().tolist()
    [[0.98, 46.0], [0.0, 3.0]]
    """

    def __init__(
        self,
        n_components: int = 3,
        covariance_type: str = "diag",
        *,
        columns: Any = None,
        window: int = 250,
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
        self.n_iter = n_iter
        self.tol = tol
        self.n_init = n_init
        self.covars_prior = covars_prior
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the HMM to the standardised columns; y is not looked at."""
        values = validate_data(self, X, dtype=np.float64, order="C")
        check_window(self.window, "RegimeFeatures")
        names = getattr(self, "feature_names_in_", None)
        model = GaussianHMM(
            self.n_components,
            self.covariance_type,
            n_iter=self.n_iter,
            tol=self.tol,
            n_init=self.n_init,
            covars_prior=self.covars_prior,
            random_state=self.random_state,
        )
        columns = chosen_columns(self.columns, names, values.shape[1], "RegimeFeatures")
        self._filter = RegimeFilter.fitted(values, Sequences(X), columns, model, int(self.window))
        self.history_, self.converged_ = model.history_, model.converged_
        self._publish()
        return self

    def _publish(self) -> None:
        p = self._filter.parameters
        self.startprob_, self.transmat_, self.means_, self.covars_ = p.startprob, p.transmat, p.means, p.covars
        self.regime_names_ = self._filter.names()

    def regime_rows(self, X: Any) -> tuple[np.ndarray, Sequences, np.ndarray]:
        """Filtered probabilities (n, K), each sequence's rows together; the sequences; the first column (n,)."""
        values = self._read_X(X)
        sequences = Sequences(X)
        proba = sequences.together(self._filter.filtered(values, sequences))
        return proba, sequences, sequences.together(values[:, self._filter.columns[0]])

    @property
    def lookback(self) -> int:
        """Earlier rows that one output row needs: one window, and as many rows again for the age of the regime."""
        check_is_fitted(self)
        return self._filter.window - 1 + int(self.window)

    def transform(self, X: Any) -> pd.DataFrame:
        """The features (n, 2K + 3), with the index of X."""
        proba, sequences, _ = self.regime_rows(X)
        transmat = self._filter.parameters.transmat
        first = np.zeros(len(proba), bool)
        first[sequences.starts[:-1]] = True
        columns = np.column_stack(
            [
                proba,
                proba @ transmat,
                _age(proba.argmax(axis=1), first, int(self.window)),
                _change(proba, first, transmat),
                -(proba * np.log(np.maximum(proba, 1e-300))).sum(axis=1),
            ]
        )
        index = X.index if isinstance(X, pd.DataFrame) else None
        return pd.DataFrame(sequences.back(columns), index=index, columns=self.get_feature_names_out())

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns of ``transform``."""
        check_is_fitted(self)
        k = self._filter.parameters.n_states
        regimes = [f"regime_{i}" for i in range(k)] + [f"next_{i}" for i in range(k)]
        return np.array([*regimes, "regime_age", "regime_change", "regime_entropy"], dtype=object)

    def _fitted_state(self) -> tuple[Spec, Arrays, dict[str, Any]]:
        fitted = {
            "window": self._filter.window,
            "history": {name: list(values) for name, values in self.history_.items()},
            "converged": bool(self.converged_),
        }
        return fitted, self._filter.arrays(), {}

    def _restore_fitted(self, spec: Spec, arrays: Arrays, children: dict[str, Any]) -> None:
        check_window(self.window, "RegimeFeatures")
        self._filter = RegimeFilter.restored(arrays, self.covariance_type, spec["window"], self.n_features_in_)
        self.history_ = {str(name): [float(value) for value in values] for name, values in spec["history"].items()}
        self.converged_ = bool(spec["converged"])
        self._publish()


def _age(states: np.ndarray, first: np.ndarray, limit: int) -> np.ndarray:
    """Rows since the likeliest state last changed, this row included, at most ``limit``."""
    turned = first.copy()
    turned[1:] |= states[1:] != states[:-1]
    rows = np.arange(len(states))
    return np.minimum(rows - np.maximum.accumulate(np.where(turned, rows, 0)) + 1, limit).astype(np.float64)


def _change(proba: np.ndarray, first: np.ndarray, transmat: np.ndarray) -> np.ndarray:
    """1 - Σₖ P(state_t-1 = state_t = k | rows up to t); 0 in the first row of a sequence.

    Bayes: P(k, k) = P(k at t-1) · A_kk · P(k at t) / (Σⱼ P(j at t-1) · A_jk).
    """
    before = np.vstack([proba[:1], proba[:-1]])
    expected = before @ transmat
    stay = before * np.diagonal(transmat) * np.divide(proba, expected, out=np.zeros_like(proba), where=expected > 0)
    return np.where(first, 0.0, np.clip(1 - stay.sum(axis=1), 0.0, 1.0))
