"""A Gaussian hidden Markov model with hmmlearn's names, on compiled kernels."""

from numbers import Real
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from consilience.base import Arrays, InvalidInput, InvalidState, Spec, State, invalid
from consilience.base.predictor import _PredictorMixin
from consilience.kernels import hmm, hmm_training
from consilience.kernels.hmm_parameters import (
    COVARIANCE_TYPES,
    MAX_STATES,
    HMMParameters,
    covariance_shape,
    forgetting_length,
)
from consilience.kernels.hmm_sequences import Sequences
from consilience.kernels.hmm_stream import HMMStream
from consilience.kernels.inputs import column, count, for_kernels, number
from consilience.kernels.regime_names import regime_names

_NAMES = ("startprob_", "transmat_", "means_", "covars_")

LARGEST = 1e140  # of a feature; the sum of squares of many rows must stay finite


class GaussianHMM(_PredictorMixin, BaseEstimator):
    """Hidden Markov model whose states emit Gaussian rows (Rabiner 1989), fitted by Baum–Welch.

    ``predict_proba`` is *filtered*: row i's probabilities use rows up to i only. ``smooth_proba`` and ``decode`` look
    ahead and are for the past. States are ordered by the mean of one feature, then by its variance, after every fit, so
    that state 0 of a refit is the same regime.

    Parameters
    ----------
    n_components : number of states K.
    covariance_type : "spherical" (one variance per state), "diag", "full", or "tied" (one full matrix for all).
    n_iter, tol : at most so many iterations; stop when the log-likelihood gains less than ``tol`` nats.
    n_init : starts, of which the one with the likeliest final parameters is kept: the first by k-means++, the second by
        volatility, then k-means++ with new seeds.
    order_feature : column whose means order the states; None leaves them as the iterations did.
    params, init_params : which of startprob, transmat, means, covars ("stmc") are updated, and initialised by ``fit``;
        what is not initialised must be set by hand before.
    min_covar : smallest variance.
    startprob_prior, transmat_prior, means_prior, means_weight, covars_prior, covars_weight : as in hmmlearn.
    random_state : seed of the starts.

    Attributes
    ----------
    startprob_ : (K,). transmat_ : (K, K). means_ : (K, D).
    covars_ : (K,), (K, D), (K, D, D) or (D, D), by covariance type.
    history_ : {"log_likelihood": one per iteration}. converged_ : bool.

    A model whose four parameters are set by hand scores and filters without ``fit``.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(-1, 1, 300), rng.normal(3, 1, 300)])[:, None]
    >>> model = GaussianHMM(n_components=2, random_state=0).fit(X)
    >>> model.means_.round(1).ravel().tolist()
    [-1.0, 3.0]
    >>> model.predict_proba(X).shape
    (600, 2)
    """

    def __init__(
        self,
        n_components: int = 3,
        covariance_type: str = "diag",
        *,
        n_iter: int = 100,
        tol: float = 1e-2,
        n_init: int = 3,
        order_feature: int | None = 0,
        params: str = "stmc",
        init_params: str = "stmc",
        min_covar: float = 1e-10,
        startprob_prior: float = 1.0,
        transmat_prior: float = 1.0,
        means_prior: float = 0.0,
        means_weight: float = 0.0,
        covars_prior: float = 1e-2,
        covars_weight: float = 1.0,
        random_state: Any = None,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.n_iter = n_iter
        self.tol = tol
        self.n_init = n_init
        self.order_feature = order_feature
        self.params = params
        self.init_params = init_params
        self.min_covar = min_covar
        self.startprob_prior = startprob_prior
        self.transmat_prior = transmat_prior
        self.means_prior = means_prior
        self.means_weight = means_weight
        self.covars_prior = covars_prior
        self.covars_weight = covars_weight
        self.random_state = random_state

    # -- fitting -----------------------------------------------------------------------------------------------

    def fit(self, X: Any, lengths: Any = None) -> Self:
        """Fit to one sequence, to each asset of a panel, or to stacked sequences whose row counts are ``lengths``.

        Raises
        ------
        InvalidInput : a parameter out of range, fewer rows than states, NaN or infinity in X.
        """
        self._check_params()
        values = validate_data(self, X, dtype=np.float64, order="C")
        if np.abs(values).max() > LARGEST:
            required = f"of numbers up to {LARGEST:g} in size, because variances are squares"
            raise invalid("X", "GaussianHMM", required, f"{np.abs(values).max():.3g}", "Scale the columns.")
        sequences = Sequences(X, lengths)
        values, starts = for_kernels(sequences.together(values)), sequences.starts
        if len(values) < self.n_components:
            raise InvalidInput(
                f"GaussianHMM needs at least n_components={self.n_components} rows; X has {len(values)} "
                f"(n_samples = {len(values)})."
            )
        if self.order_feature is not None:
            column(self.order_feature, "order_feature", "GaussianHMM", values.shape[1])
        trained = hmm_training.best_of(
            values,
            starts,
            [
                hmm_training.train(
                    values,
                    starts,
                    first,
                    priors=self._priors(),
                    n_iter=self.n_iter,
                    tol=self.tol,
                    update=self.params,
                    min_covar=self.min_covar,
                )
                for first in self._first_guesses(values, starts)
            ],
        )
        self._keep(self._in_order(trained.parameters))
        self.history_ = {"log_likelihood": [float(value) for value in trained.history]}
        self.converged_ = trained.converged
        return self

    def _check_params(self) -> None:
        count(self.n_components, "n_components", "GaussianHMM", MAX_STATES)
        for name in ("n_iter", "n_init"):
            count(getattr(self, name), name, "GaussianHMM")
        if self.covariance_type not in COVARIANCE_TYPES:
            raise invalid("covariance_type", "GaussianHMM", f"one of {COVARIANCE_TYPES}", self.covariance_type)
        for name in ("params", "init_params"):
            value = getattr(self, name)
            if not isinstance(value, str) or set(value) - set("stmc"):
                raise invalid(name, "GaussianHMM", "a string of the letters s, t, m, c", value)
        for name in ("min_covar", "means_weight", "covars_prior", "covars_weight", "startprob_prior", "transmat_prior"):
            number(getattr(self, name), name, "GaussianHMM", at_least=0.0)
        number(self.means_prior, "means_prior", "GaussianHMM")
        if not isinstance(self.tol, Real) or isinstance(self.tol, bool) or np.isnan(self.tol):
            raise invalid("tol", "GaussianHMM", "a number of nats (-inf: never stop early)", self.tol)

    def _priors(self) -> hmm_training.Priors:
        names = hmm_training.Priors.__dataclass_fields__
        return hmm_training.Priors(**{name: float(getattr(self, name)) for name in names})

    def _first_guesses(self, X: np.ndarray, starts: np.ndarray) -> list[HMMParameters]:
        rng = check_random_state(self.random_state)
        shape = (int(self.n_components), self.covariance_type, max(float(self.min_covar), 1e-12))
        guesses = []
        for turn in range(self.n_init):
            if turn == 1:
                guesses.append(hmm_training.volatility_parameters(X, starts, *shape))
            else:
                guesses.append(hmm_training.initial_parameters(X, starts, *shape, rng))
        if set(self.init_params) >= set("stmc"):
            return guesses
        kept = [name for name in _NAMES if name[0] not in self.init_params]
        missing = [name for name in kept if not hasattr(self, name)]
        if missing:
            raise InvalidInput(f"init_params={self.init_params!r} leaves {missing[0]} to be set by hand before fit.")
        if not set(self.init_params) & set("mc"):
            guesses = guesses[:1]
        return [
            self._checked([getattr(self, name) if name in kept else getattr(guess, name[:-1]) for name in _NAMES])
            for guess in guesses
        ]

    def _in_order(self, parameters: HMMParameters) -> HMMParameters:
        if self.order_feature is None:
            return parameters
        order = hmm_training.state_order(parameters.means, parameters.full_covars, self.order_feature)
        return parameters.permuted(order)

    def _keep(self, parameters: HMMParameters) -> None:
        self.startprob_, self.transmat_ = parameters.startprob, parameters.transmat
        self.means_, self.covars_ = parameters.means, parameters.covars

    # -- using -------------------------------------------------------------------------------------------------

    @property
    def parameters(self) -> HMMParameters:
        """The four fitted (or set) arrays, checked."""
        check_is_fitted(self, list(_NAMES))
        return self._checked([getattr(self, name) for name in _NAMES])

    def _checked(self, values: list[Any]) -> HMMParameters:
        """Parameters that fit n_components, and X's columns where there has been an X: compiled code checks nothing."""
        startprob, transmat, means, covars = values
        n_states = count(self.n_components, "n_components", "GaussianHMM", MAX_STATES)
        shape = {"n_states": n_states, "n_features": getattr(self, "n_features_in_", None)}
        return HMMParameters.checked(startprob, transmat, means, covars, self.covariance_type, **shape)

    @property
    def lookback(self) -> int:
        """Rows after which the filter has forgotten its start to 1e-7, whatever they hold (``forgetting_length``)."""
        return forgetting_length(self.parameters.transmat)

    def score(self, X: Any, lengths: Any = None) -> float:
        """Log-likelihood of X in nats."""
        return self._infer(hmm.forward_filter, X, lengths)[1]

    def predict_proba(self, X: Any, lengths: Any = None) -> np.ndarray:
        """Filtered state probabilities (n, K): row i from rows up to i of its sequence."""
        return self._infer(hmm.forward_filter, X, lengths)[0]

    def predict(self, X: Any, lengths: Any = None) -> np.ndarray:
        """The most probable filtered state of each row, (n,). For the best path over the past see ``decode``."""
        return self.predict_proba(X, lengths).argmax(axis=1)

    def smooth_proba(self, X: Any, lengths: Any = None) -> np.ndarray:
        """Smoothed state probabilities (n, K), from all rows of the sequence: later rows included."""
        return self._infer(hmm.forward_backward, X, lengths)[0]

    def decode(self, X: Any, lengths: Any = None) -> tuple[float, np.ndarray]:
        """The Viterbi path, which looks ahead: (joint log-probability, states (n,))."""
        path, log_probability = self._infer(lambda *args: hmm.viterbi(*args)[::-1], X, lengths)
        return log_probability, path

    def _infer(self, infer: Any, X: Any, lengths: Any) -> tuple[np.ndarray, float]:
        values = self._read_X(X)
        sequences = Sequences(X, lengths)
        rows, log_likelihood = infer(sequences.together(values), self.parameters, sequences.lengths)
        return sequences.back(rows), log_likelihood

    def step(self, state: Any, x: Any) -> np.ndarray:
        """Filtered probabilities (K,) after one more row.

        Parameters
        ----------
        state : what ``step`` (or the last row of ``predict_proba``) gave for the row before; None at the first row.
        x : (D,) the new row.

        The first call makes the four parameters read-only, so that they cannot drift from what it prepared.
        """
        return self._stream().step(state, x)

    def _stream(self) -> HMMStream:
        check_is_fitted(self, list(_NAMES))
        prepared, stream = getattr(self, "_prepared", ([], None))
        if stream is None or any(getattr(self, name) is not kept for name, kept in zip(_NAMES, prepared)):
            parameters = self.parameters
            stream = HMMStream(parameters)
            arrays = [np.array(getattr(parameters, name[:-1])) for name in _NAMES]
            for name, array in zip(_NAMES, arrays):
                array.flags.writeable = False
                setattr(self, name, array)
            self._prepared = (arrays, stream)
        return stream

    def regime_names(self, return_feature: int = 0) -> list[str]:
        """bull, bear, accumulation, distribution: one per state, by one column's mean and volatility."""
        p = self.parameters
        column(return_feature, "return_feature", "GaussianHMM.regime_names", p.n_features)
        return regime_names(p.means[:, return_feature], np.sqrt(p.full_covars[:, return_feature, return_feature]))

    @property
    def n_parameters(self) -> int:
        """Free parameters, as the information criteria count them."""
        p = self.parameters
        k, d = p.means.shape
        matrix = d * (d + 1) // 2
        covariances = {"spherical": k, "diag": k * d, "full": k * matrix, "tied": matrix}[p.covariance_type]
        return (k - 1) + k * (k - 1) + k * d + covariances

    def aic(self, X: Any, lengths: Any = None) -> float:
        """Akaike's criterion on X; lower is better."""
        return -2 * self.score(X, lengths) + 2 * self.n_parameters

    def bic(self, X: Any, lengths: Any = None) -> float:
        """Schwarz's criterion on X; lower is better."""
        return -2 * self.score(X, lengths) + self.n_parameters * float(np.log(len(X)))

    def evaluate(self, X: Any, y: Any = None) -> dict[str, float]:
        """The log-likelihood per row, in nats."""
        return {"log_likelihood": self.score(X) / len(X)}

    # -- state -------------------------------------------------------------------------------------------------

    def get_state(self) -> State:
        """The model as data, whether it was fitted or its parameters set by hand."""
        if not hasattr(self, "n_features_in_"):
            self.n_features_in_ = self.parameters.n_features
        return super().get_state()

    def _fitted_state(self) -> tuple[Spec, Arrays, dict[str, Any]]:
        fitted = {
            "history": {name: list(values) for name, values in getattr(self, "history_", {}).items()},
            "converged": bool(getattr(self, "converged_", False)),
        }
        return fitted, {name[:-1]: np.asarray(getattr(self, name), np.float64) for name in _NAMES}, {}

    def _restore_fitted(self, spec: Spec, arrays: Arrays, children: dict[str, Any]) -> None:
        shape = covariance_shape(self.covariance_type, len(arrays["startprob"]), self.n_features_in_)
        if arrays["covars"].shape != shape or arrays["means"].shape[1:] != (self.n_features_in_,):
            raise InvalidState("The stored GaussianHMM has parameters of shapes that do not fit together.")
        try:
            self._keep(self._checked([_stored(arrays[name[:-1]]) for name in _NAMES]))
        except InvalidInput as error:
            raise InvalidState(f"The stored GaussianHMM is damaged: {error}") from error
        self.history_ = {str(name): [float(value) for value in values] for name, values in spec["history"].items()}
        self.converged_ = bool(spec["converged"])


def _stored(array: np.ndarray) -> np.ndarray:
    if array.dtype != np.float64:
        raise InvalidState(f"The stored GaussianHMM has an array of {array.dtype}; it must be float64.")
    return array
