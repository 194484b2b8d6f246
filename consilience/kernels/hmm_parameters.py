"""The parameters of a Gaussian hidden Markov model, checked once, and what the kernels derive from them."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from consilience.base import invalid
from consilience.kernels.inputs import numbers

MAX_STATES = 255  # the Viterbi kernels keep each step's best predecessors in bytes
COVARIANCE_TYPES = ("spherical", "diag", "full", "tied")
_SUM_TOLERANCE = 1e-6
_TINY_TRANSITION = 1e-100


@dataclass(frozen=True)
class HMMParameters:
    """One set of parameters; every array is float64, C-ordered and finite. Build it with ``checked``.

    Attributes
    ----------
    startprob : (K,) probabilities of the first state.
    transmat : (K, K), row i the probabilities of the state after state i.
    means : (K, D).
    covars : (K,) for ``spherical``, (K, D) for ``diag``, (K, D, D) for ``full``, (D, D) for ``tied``.
    covariance_type : one of ``COVARIANCE_TYPES``.
    """

    startprob: np.ndarray
    transmat: np.ndarray
    means: np.ndarray
    covars: np.ndarray
    covariance_type: str

    @classmethod
    def checked(
        cls,
        startprob: Any,
        transmat: Any,
        means: Any,
        covars: Any,
        covariance_type: str = "diag",
        *,
        n_states: int | None = None,
        n_features: int | None = None,
    ) -> "HMMParameters":
        """Validate shapes and values.

        Parameters
        ----------
        n_states, n_features : what the shapes must agree with; None takes them from ``means``.

        Raises
        ------
        InvalidInput : an argument of the wrong shape, not finite, not a distribution, or a covariance that is not
            positive definite; the message names it.
        """
        if covariance_type not in COVARIANCE_TYPES:
            raise invalid("covariance_type", "GaussianHMM", f"one of {COVARIANCE_TYPES}", covariance_type)
        means = _matrix("means_", means, (n_states, n_features))
        n_states, n_features = means.shape
        if n_states > MAX_STATES:
            raise invalid("means_", "GaussianHMM", f"of at most {MAX_STATES} states", f"{n_states} states")
        startprob = _distribution("startprob_", _matrix("startprob_", startprob, (n_states,)))
        transmat = _distribution("transmat_", _matrix("transmat_", transmat, (n_states, n_states)))
        shape = covariance_shape(covariance_type, n_states, n_features)
        covars = _matrix("covars_", covars, shape)
        parameters = cls(startprob, transmat, means, covars, covariance_type)
        parameters.check_covariances()
        return parameters

    @property
    def n_states(self) -> int:
        return len(self.startprob)

    @property
    def n_features(self) -> int:
        return int(self.means.shape[1])

    def check_covariances(self) -> None:
        """Raise InvalidInput unless every covariance is positive definite."""
        if self.covariance_type in ("spherical", "diag"):
            if not (self.covars > 0).all():
                raise invalid("covars_", "GaussianHMM", "variances > 0", self.covars)
            return
        if not np.allclose(self.covars, np.swapaxes(self.covars, -1, -2), rtol=1e-8, atol=1e-300):
            raise invalid("covars_", "GaussianHMM", "symmetric matrices", self.covars)
        try:
            np.linalg.cholesky(self.covars)
        except np.linalg.LinAlgError:
            raise invalid("covars_", "GaussianHMM", "positive definite matrices", self.covars) from None

    @cached_property
    def full_covars(self) -> np.ndarray:
        """(K, D, D): the covariance of each state, whatever the type."""
        k, d = self.means.shape
        if self.covariance_type == "spherical":
            return self.covars[:, None, None] * np.eye(d)
        if self.covariance_type == "diag":
            return self.covars[:, :, None] * np.eye(d)
        if self.covariance_type == "tied":
            return np.broadcast_to(self.covars, (k, d, d)).copy()
        return self.covars

    @cached_property
    def whitening(self) -> np.ndarray:
        """W with squared distance |W (x - mean)|²: (K, D) for diagonal types, else lower triangular (K, D, D)."""
        if self.covariance_type == "spherical":
            return np.ascontiguousarray(np.broadcast_to(1 / np.sqrt(self.covars)[:, None], self.means.shape))
        if self.covariance_type == "diag":
            return 1 / np.sqrt(self.covars)
        factor = np.linalg.cholesky(self.full_covars)
        return np.ascontiguousarray(np.tril(np.linalg.inv(factor)))

    @cached_property
    def packed_whitening(self) -> np.ndarray:
        """``whitening`` as one row of numbers, without the zeros above the diagonals."""
        white = self.whitening
        if white.ndim == 2:
            return white.ravel()
        row, column = np.tril_indices(self.n_features)
        return np.ascontiguousarray(white[:, row, column]).ravel()

    @cached_property
    def log_normalizer(self) -> np.ndarray:
        """(K,): the log density of each state at its mean."""
        white = self.whitening
        diagonal = white if white.ndim == 2 else np.diagonal(white, axis1=1, axis2=2)
        return np.log(diagonal).sum(axis=1) - 0.5 * self.n_features * math.log(2 * math.pi)

    @cached_property
    def has_tiny_transitions(self) -> bool:
        """Whether a state may live on mass that scaling cannot hold: then every step is to be watched."""
        return bool((self.transmat < _TINY_TRANSITION).any())

    def permuted(self, order: np.ndarray) -> "HMMParameters":
        """The same model with its states renumbered: new state i is old state ``order[i]``."""
        covars = self.covars if self.covariance_type == "tied" else self.covars[order]
        return HMMParameters(
            self.startprob[order],
            np.ascontiguousarray(self.transmat[np.ix_(order, order)]),
            np.ascontiguousarray(self.means[order]),
            np.ascontiguousarray(covars),
            self.covariance_type,
        )


def covariance_shape(covariance_type: str, n_states: int, n_features: int) -> tuple[int, ...]:
    """The shape of ``covars_``, which is the shape that hmmlearn's setter takes."""
    return {
        "spherical": (n_states,),
        "diag": (n_states, n_features),
        "full": (n_states, n_features, n_features),
        "tied": (n_features, n_features),
    }[covariance_type]


def stationary_distribution(transmat: np.ndarray) -> np.ndarray:
    """The distribution (K,) that ``transmat`` leaves unchanged; of several, one reached from the uniform."""
    k = len(transmat)
    lazy = 0.5 * (transmat + np.eye(k))  # the same fixed points, and no period to oscillate with
    for _ in range(60):
        lazy = lazy @ lazy
        lazy /= lazy.sum(axis=1, keepdims=True)
    stationary = np.full(k, 1 / k) @ lazy
    return stationary / stationary.sum()


def forgetting_length(transmat: np.ndarray, tolerance: float = 1e-7) -> int:
    """After how many rows the filter has forgotten where it began, whatever the observations are.

    Birkhoff's contraction: each step shrinks the Hilbert distance of two filters by (1 − √φ)/(1 + √φ) with
    φ = min A_ik·A_jl / (A_jk·A_il); total variation is at most 2/log 3 of that distance (Atar and Zeitouni 1997).
    A matrix with a zero has no such bound; the answer is then 2**31 - 1.
    """
    never = 2**31 - 1
    if len(transmat) == 1:
        return 0
    with np.errstate(divide="ignore"):
        log = np.log(transmat)
    if not np.isfinite(log).all():
        return never
    ratio = log[:, None, :] - log[None, :, :]  # log A_ik - log A_jk
    diameter = float((ratio.max(axis=2) - ratio.min(axis=2)).max())  # -log φ
    if diameter == 0:
        return 1
    contraction = math.tanh(diameter / 4)
    if contraction >= 1:
        return never
    steps = math.log(tolerance * math.log(3) / (2 * diameter)) / math.log(contraction)
    return int(min(never, max(0, math.ceil(steps)) + 1))


def _matrix(name: str, value: Any, shape: tuple[int | None, ...]) -> np.ndarray:
    array = numbers(value, name, "GaussianHMM", "an array of numbers")
    if array.ndim != len(shape) or any(want not in (None, got) for want, got in zip(shape, array.shape)):
        wanted = ", ".join("any" if side is None else str(side) for side in shape)
        raise invalid(name, "GaussianHMM", f"of shape ({wanted})", f"shape {array.shape}")
    if array.size == 0:
        raise invalid(name, "GaussianHMM", "not empty", array)
    if not np.isfinite(array).all():
        raise invalid(name, "GaussianHMM", "finite", array)
    return array


def _distribution(name: str, array: np.ndarray) -> np.ndarray:
    sums = array.sum(axis=-1, keepdims=True)
    if (array < 0).any() or np.abs(sums - 1).max() > _SUM_TOLERANCE:
        raise invalid(name, "GaussianHMM", "probabilities that sum to 1", array)
    return array
