"""Inference in a Gaussian hidden Markov model: filtering, smoothing, the best path, expected statistics.

Rabiner (1989), *A tutorial on hidden Markov models*. K is the number of states, D of features, n of rows.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from consilience.base import InvalidInput, invalid
from consilience.kernels import _hmm_log
from consilience.kernels.hmm_parameters import HMMParameters
from consilience.kernels.hmm_scaled import FILTER, GATHER, SMOOTH, ScaledPass
from consilience.kernels.hmm_viterbi import best_path
from consilience.kernels.inputs import matrix, require_finite


@dataclass(frozen=True)
class Statistics:
    """What one expectation step gathers; sums over all rows of all sequences.

    Attributes
    ----------
    log_likelihood : of all rows, in nats.
    start : (K,) expected first states.
    transitions : (K, K) expected transitions.
    occupancy : (K,) expected rows in each state.
    moment1 : (K, D) Σ γ·(x − mean), mean being the mean the step was made with.
    moment2 : (K, D) Σ γ·(x − mean)² for diagonal types, else (K, D, D).
    """

    log_likelihood: float
    start: np.ndarray
    transitions: np.ndarray
    occupancy: np.ndarray
    moment1: np.ndarray
    moment2: np.ndarray


def sequence_starts(n_rows: int, lengths: Any) -> np.ndarray:
    """First row of each sequence and the end, (m + 1,) int64; one sequence when ``lengths`` is None.

    Raises
    ------
    InvalidInput : lengths that are not positive whole numbers adding up to n_rows.
    """
    if lengths is None:
        return np.array([0, n_rows], np.int64)
    try:
        array = np.asarray(lengths)
    except ValueError:  # ragged
        array = np.empty(0)
    if array.ndim != 1 or array.dtype.kind not in "iu" or len(array) == 0 or (array < 1).any():
        raise invalid("lengths", "GaussianHMM", "a list of whole numbers >= 1", lengths)
    # Each one and their number first: sums of absurd numbers wrap round.
    if len(array) > n_rows or array.max() > n_rows or int(array.sum()) != n_rows:
        raise invalid("lengths", "GaussianHMM", f"lengths that add up to the {n_rows} rows of X", lengths)
    return np.concatenate([[0], np.cumsum(array)]).astype(np.int64)


def log_density(X: np.ndarray, parameters: HMMParameters) -> np.ndarray:
    """log N(x; state) of every row, (n, K)."""
    X = _rows(X, parameters)
    require_finite(X, "X", "GaussianHMM")
    out = np.empty((len(X), parameters.n_states))
    kernel = _hmm_log.log_density if parameters.whitening.ndim == 2 else _hmm_log.log_density_full
    kernel(X, parameters.means, parameters.whitening, parameters.log_normalizer, out)
    return out


def forward_filter(X: np.ndarray, parameters: HMMParameters, lengths: Any = None) -> tuple[np.ndarray, float]:
    """P(state of row t | rows up to t) as (n, K), and the log-likelihood (nats) of all rows.

    Parameters
    ----------
    X : (n, D) finite numbers. parameters : of the model. lengths : rows of each sequence; None for one sequence.

    Raises
    ------
    InvalidInput : X not finite or of another width, lengths that do not add up to n, rows that the model excludes.

    Examples
    --------
    >>> import numpy as np
    >>> p = HMMParameters.checked([0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], [[0.0], [2.0]], [1.0, 1.0], "spherical")
    >>> proba, log_likelihood = forward_filter(np.array([[0.0], [2.0], [2.0]]), p)
    >>> proba.round(3).tolist()
    [[0.881, 0.119], [0.358, 0.642], [0.079, 0.921]]
    """
    X = _rows(X, parameters)
    starts = sequence_starts(len(X), lengths)
    scaled = ScaledPass(X, starts).run(parameters, FILTER)
    if scaled is not None:
        return scaled[1], scaled[0]
    log_b = log_density(X, parameters)
    alpha = np.empty_like(log_b)
    log_likelihood = _hmm_log.forward(log_b, starts, *_logs(parameters), alpha)
    _require_possible(log_likelihood)
    return np.exp(alpha), log_likelihood


def forward_backward(X: np.ndarray, parameters: HMMParameters, lengths: Any = None) -> tuple[np.ndarray, float]:
    """P(state of row t | all rows of its sequence) as (n, K), and the log-likelihood. It looks ahead: for the past.

    Parameters and errors are those of ``forward_filter``.

    Examples
    --------
    >>> import numpy as np
    >>> p = HMMParameters.checked([0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], [[0.0], [2.0]], [1.0, 1.0], "spherical")
    >>> proba, log_likelihood = forward_backward(np.array([[0.0], [2.0], [2.0]]), p)
    >>> proba.round(3).tolist(), round(log_likelihood, 3)
    ([[0.515, 0.485], [0.119, 0.881], [0.079, 0.921]], -4.919)
    """
    X = _rows(X, parameters)
    starts = sequence_starts(len(X), lengths)
    scaled = ScaledPass(X, starts).run(parameters, SMOOTH)
    if scaled is not None:
        return scaled[1], scaled[0]
    gamma, _, log_likelihood = _smoothed(X, parameters, starts)
    return gamma, log_likelihood


def viterbi(X: np.ndarray, parameters: HMMParameters, lengths: Any = None) -> tuple[float, np.ndarray]:
    """The most probable path: its joint log-probability with the rows, and the states (n,) int64. It looks ahead.

    Parameters and errors are those of ``forward_filter``. Viterbi (1967), *Error bounds for convolutional codes*.

    Examples
    --------
    >>> import numpy as np
    >>> p = HMMParameters.checked([0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], [[0.0], [2.0]], [1.0, 1.0], "spherical")
    >>> log_probability, states = viterbi(np.array([[0.0], [0.5], [2.0], [2.0]]), p)
    >>> round(log_probability, 3), states.tolist()
    (-7.007, [0, 0, 1, 1])
    """
    X = _rows(X, parameters)
    starts = sequence_starts(len(X), lengths)
    fast = best_path(X, starts, parameters)
    if fast is not None:
        return fast
    log_b = log_density(X, parameters)
    path = np.empty(len(log_b), np.int64)
    log_probability = _hmm_log.viterbi(log_b, starts, *_logs(parameters), path)
    _require_possible(log_probability)
    return log_probability, path


class Expectation:
    """The expectation steps of Baum–Welch on one data set.

    Parameters
    ----------
    X : (n, D) finite numbers. starts : (m + 1,) first rows of its sequences and n, as from ``sequence_starts``.
    """

    def __init__(self, X: Any, starts: np.ndarray) -> None:
        self._X = matrix(X, "X", "GaussianHMM", finite=False)
        self._starts = sequence_starts(len(self._X), np.diff(starts))
        self._pass = ScaledPass(self._X, self._starts)

    def step(self, parameters: HMMParameters) -> Statistics:
        """Expected statistics under the parameters.

        Raises
        ------
        InvalidInput : parameters for another number of features than X has, X not finite, rows the model excludes.
        """
        if parameters.n_features != self._X.shape[1]:
            raise invalid("parameters", "Expectation", f"for X's {self._X.shape[1]} features", parameters.n_features)
        scaled = self._pass.run(parameters, GATHER)
        if scaled is None:
            return self._in_log_space(parameters)
        log_likelihood, _, sums = scaled
        k, d = parameters.means.shape
        diagonal = parameters.whitening.ndim == 2
        sizes = [k * k, k, k * d, k * d if diagonal else k * d * (d + 1) // 2, k]
        transitions, occupancy, first, second, start = np.split(sums, np.cumsum(sizes)[:-1])
        return Statistics(
            log_likelihood,
            start,
            transitions.reshape(k, k) * parameters.transmat,
            occupancy,
            first.reshape(k, d),
            second.reshape(k, d) if diagonal else _symmetric(second.reshape(k, -1), d),
        )

    def _in_log_space(self, parameters: HMMParameters) -> Statistics:
        X = self._X
        gamma, transitions, log_likelihood = _smoothed(X, parameters, self._starts)
        moment1 = np.empty_like(parameters.means)
        diagonal = parameters.whitening.ndim == 2
        moment2 = np.empty((*parameters.means.shape, *(() if diagonal else (parameters.n_features,))))
        for state in range(parameters.n_states):
            centred = X - parameters.means[state]
            weighted = gamma[:, state, None] * centred
            moment1[state] = weighted.sum(axis=0)
            moment2[state] = (weighted * centred).sum(axis=0) if diagonal else weighted.T @ centred
        start = gamma[self._starts[:-1]].sum(axis=0)
        return Statistics(log_likelihood, start, transitions, gamma.sum(axis=0), moment1, moment2)


def expected_statistics(X: Any, parameters: HMMParameters, lengths: Any = None) -> Statistics:
    """The expectation step of Baum–Welch: what each state is expected to have seen and done in the rows of X.

    Parameters and errors are those of ``forward_filter``. For several steps on the same rows see ``Expectation``.
    Baum et al. (1970), *A maximization technique occurring in the statistical analysis of probabilistic functions of
    Markov chains*.

    Examples
    --------
    >>> import numpy as np
    >>> p = HMMParameters.checked([0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], [[0.0], [2.0]], [1.0, 1.0], "spherical")
    >>> statistics = expected_statistics(np.array([[0.0], [2.0], [2.0]]), p)
    >>> statistics.occupancy.round(3).tolist(), round(float(statistics.transitions.sum()), 3)
    ([0.712, 2.288], 2.0)
    """
    X = _rows(X, parameters)
    return Expectation(X, sequence_starts(len(X), lengths)).step(parameters)


def _symmetric(triangles: np.ndarray, d: int) -> np.ndarray:
    """(K, D, D) from rows of lower triangles (K, D(D+1)/2)."""
    row, column = np.tril_indices(d)
    out = np.empty((len(triangles), d, d))
    out[:, row, column] = triangles
    out[:, column, row] = triangles
    return out


def windowed_filter(
    X: np.ndarray, parameters: HMMParameters, start: np.ndarray, window: int, lengths: Any = None
) -> np.ndarray:
    """P(state of row t | the newest ``window`` rows up to t), the oldest of them having the prior ``start`` (K,)."""
    log_b = log_density(X, parameters)
    out = np.empty_like(log_b)
    _hmm_log.windowed_filter(log_b, sequence_starts(len(log_b), lengths), start, parameters.transmat, window, out)
    return out


def _smoothed(X: np.ndarray, parameters: HMMParameters, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    log_b = log_density(X, parameters)
    log_start, log_trans = _logs(parameters)
    alpha = np.empty_like(log_b)
    log_likelihood = _hmm_log.forward(log_b, starts, log_start, log_trans, alpha)
    _require_possible(log_likelihood)
    gamma = np.empty_like(log_b)
    transitions = np.zeros_like(log_trans)
    _hmm_log.backward(log_b, starts, log_trans, alpha, gamma, transitions)
    return gamma, transitions, log_likelihood


def _rows(X: Any, parameters: HMMParameters) -> np.ndarray:
    """X for the kernels. They find no finite likelihood where a row is not finite; what comes after them looks why."""
    return matrix(X, "X", "GaussianHMM", parameters.n_features, finite=False)


def _logs(parameters: HMMParameters) -> tuple[np.ndarray, np.ndarray]:
    with np.errstate(divide="ignore"):
        return np.log(parameters.startprob), np.log(parameters.transmat)


def _require_possible(log_likelihood: float) -> None:
    if not np.isfinite(log_likelihood):
        raise InvalidInput(
            "X has probability 0 under this model: no path of states with non-zero transitions explains its rows."
        )
