"""Baum–Welch for Gaussian hidden Markov models: where it starts, its maximisation step, and its loop.

The priors and their defaults are hmmlearn's (Huang, Acero and Hon, *Spoken Language Processing*, p. 443), except that
``covars_prior`` is added to the diagonal of ``full`` and ``tied`` covariances, not to every element.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.cluster import kmeans_plusplus

from consilience.kernels import hmm
from consilience.kernels.hmm_parameters import HMMParameters

_STICKINESS = 0.9  # initial probability of staying, so that a first guess is a regime and not a coin
_VARIANCE_FLOOR = 1e-10  # of a column's own variance: a state that sits on one row keeps a finite density


@dataclass(frozen=True)
class Priors:
    """Pseudo-observations of the maximisation step; hmmlearn's names and defaults."""

    startprob_prior: float = 1.0
    transmat_prior: float = 1.0
    means_prior: float = 0.0
    means_weight: float = 0.0
    covars_prior: float = 1e-2
    covars_weight: float = 1.0


@dataclass(frozen=True)
class Trained:
    """One start's final parameters, the log-likelihood that each iteration began with, and whether they settled.

    The final parameters' own log-likelihood is not in the history, as in hmmlearn: it takes one more pass.
    """

    parameters: HMMParameters
    history: tuple[float, ...]
    converged: bool


def initial_parameters(
    X: np.ndarray, starts: np.ndarray, n_states: int, covariance_type: str, min_covar: float, rng: np.random.RandomState
) -> HMMParameters:
    """A first guess: means by k-means++ and a few Lloyd steps, the covariance of all rows, sticky transitions."""
    scale = _spread(X)
    points = X / scale
    centres, _ = kmeans_plusplus(points, n_states, random_state=rng)
    for _ in range(10):
        nearest = ((points[:, None, :] - centres) ** 2).sum(axis=2).argmin(axis=1)
        for state in range(n_states):
            own = points[nearest == state]
            if len(own):
                centres[state] = own.mean(axis=0)
    covariance = np.atleast_2d(np.cov(X.T, bias=True)) + min_covar * np.eye(X.shape[1])
    return HMMParameters.checked(
        *_sticky(n_states), centres * scale, _shaped(covariance, n_states, covariance_type), covariance_type
    )


def volatility_parameters(
    X: np.ndarray, starts: np.ndarray, n_states: int, covariance_type: str, min_covar: float
) -> HMMParameters:
    """A first guess from calm and wild stretches: rows are grouped by their squared size, averaged over 21 rows."""
    scale = _spread(X)
    size = (((X - X.mean(axis=0)) / scale) ** 2).mean(axis=1)
    smooth = np.empty(len(X))
    for first, stop in zip(starts[:-1].tolist(), starts[1:].tolist()):
        width = min(21, stop - first)
        counts = np.convolve(np.ones(stop - first), np.ones(width), "same")
        smooth[first:stop] = np.convolve(size[first:stop], np.ones(width), "same") / counts
    groups = np.array_split(np.argsort(smooth, kind="stable"), n_states)
    means = np.array([X[rows].mean(axis=0) for rows in groups])
    eye = min_covar * np.eye(X.shape[1])
    covars = np.array([np.atleast_2d(np.cov(X[rows].T, bias=True)) + eye for rows in groups])
    covars += 0.01 * np.diag(scale**2)
    return HMMParameters.checked(*_sticky(n_states), means, _shaped(covars, n_states, covariance_type), covariance_type)


def _sticky(n_states: int) -> tuple[np.ndarray, np.ndarray]:
    if n_states == 1:
        return np.ones(1), np.ones((1, 1))
    transmat = np.full((n_states, n_states), (1 - _STICKINESS) / (n_states - 1))
    np.fill_diagonal(transmat, _STICKINESS)
    return np.full(n_states, 1 / n_states), transmat


def _spread(X: np.ndarray) -> np.ndarray:
    spread = X.std(axis=0)
    return np.where(spread > 0, spread, 1.0)


def _rough_variance(X: np.ndarray) -> np.ndarray:
    """Of each column, from some thousand rows if they vary there: all would cost as much as an iteration."""
    some = X[:: max(1, len(X) // 4096)].var(axis=0)
    return some if (some > 0).all() else _spread(X) ** 2


def _shaped(covariance: np.ndarray, n_states: int, covariance_type: str) -> np.ndarray:
    """A covariance (D, D), or one per state (K, D, D), in the shape of ``covars_``."""
    each = np.broadcast_to(covariance, (n_states, *covariance.shape[-2:]))
    diagonal = np.diagonal(each, axis1=1, axis2=2)
    if covariance_type == "spherical":
        return diagonal.mean(axis=1)
    if covariance_type == "diag":
        return diagonal.copy()
    return each.mean(axis=0) if covariance_type == "tied" else each.copy()


def maximize(
    statistics: hmm.Statistics, old: HMMParameters, priors: Priors, update: str, floor: np.ndarray
) -> HMMParameters:
    """The maximisation step; only the parameters named in ``update`` (of "stmc") move.

    Parameters
    ----------
    floor : (D,) the smallest variance allowed in each column.
    """
    startprob, transmat, means, covars = old.startprob, old.transmat, old.means, old.covars
    if "s" in update:
        startprob = _normalized(np.maximum(priors.startprob_prior - 1 + statistics.start, 0), startprob)
    if "t" in update:
        transmat = _normalized(np.maximum(priors.transmat_prior - 1 + statistics.transitions, 0), transmat)
    if "m" in update:
        # Σγ·x = Σγ·(x - old mean) + old mean · Σγ: the small first sum keeps its digits
        weight = (priors.means_weight + statistics.occupancy)[:, None]
        pull = priors.means_weight * (priors.means_prior - old.means)
        means = old.means + np.divide(statistics.moment1 + pull, weight, out=np.zeros_like(means), where=weight > 0)
    if "c" in update:
        covars = _covariances(statistics, old, means, priors, floor)
    return HMMParameters(startprob, transmat, means, covars, old.covariance_type)


def _normalized(counts: np.ndarray, fallback: np.ndarray) -> np.ndarray:
    """Rows that sum to 1; a row without any count (a state never left) keeps its old probabilities."""
    sums = counts.sum(axis=-1, keepdims=True)
    return np.where(sums > 0, counts / np.where(sums > 0, sums, 1), fallback)


def _covariances(
    statistics: hmm.Statistics, old: HMMParameters, means: np.ndarray, priors: Priors, floor: np.ndarray
) -> np.ndarray:
    d = old.n_features
    moved = means - old.means
    from_prior = means - priors.means_prior
    occupancy = statistics.occupancy
    if old.whitening.ndim == 2:
        scatter = (
            statistics.moment2
            - 2 * moved * statistics.moment1
            + moved**2 * occupancy[:, None]
            + priors.means_weight * from_prior**2
        )
        weight = max(priors.covars_weight - 1, 0.0) + occupancy[:, None]
        variances = np.maximum((priors.covars_prior + scatter) / np.maximum(weight, 1e-5), floor)
        return variances.mean(axis=1) if old.covariance_type == "spherical" else variances
    cross = moved[:, :, None] * statistics.moment1[:, None, :]
    scatter = (
        statistics.moment2
        - cross
        - np.swapaxes(cross, 1, 2)
        + moved[:, :, None] * moved[:, None, :] * occupancy[:, None, None]
        + priors.means_weight * from_prior[:, :, None] * from_prior[:, None, :]
    )
    prior_rows = max(priors.covars_weight - d, 0.0)
    prior = priors.covars_prior * np.eye(d)
    if old.covariance_type == "tied":
        covariance = (prior + scatter.sum(axis=0)) / (prior_rows + occupancy.sum())
    else:
        covariance = (prior + scatter) / np.maximum(prior_rows + occupancy, 1e-5)[:, None, None]
    return _positive_definite(0.5 * (covariance + np.swapaxes(covariance, -1, -2)), floor)


def _positive_definite(covariance: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """Raise eigenvalues (in units of the columns' floors) that rounding or a collapsed state has left below 1."""
    unit = np.outer(np.sqrt(floor), np.sqrt(floor))  # one factor per element: the result stays exactly symmetric
    scaled = covariance / unit
    values, vectors = np.linalg.eigh(scaled)
    if (values >= 1).all():
        return covariance
    repaired = (vectors * np.maximum(values, 1)[..., None, :]) @ np.swapaxes(vectors, -1, -2)
    return 0.5 * (repaired + np.swapaxes(repaired, -1, -2)) * unit


def train(
    X: np.ndarray,
    starts: np.ndarray,
    first: HMMParameters,
    *,
    priors: Priors,
    n_iter: int,
    tol: float,
    update: str = "stmc",
    min_covar: float = 0.0,
) -> Trained:
    """Iterate from ``first`` until the log-likelihood gains less than ``tol`` nats, or ``n_iter`` times."""
    floor = np.maximum(_VARIANCE_FLOOR * np.maximum(_rough_variance(X), 1e-200), min_covar)
    parameters = first
    history: list[float] = []
    expectation = hmm.Expectation(X, starts)
    for _ in range(n_iter):
        statistics = expectation.step(parameters)
        history.append(statistics.log_likelihood)
        parameters = maximize(statistics, parameters, priors, update, floor)
        if len(history) > 1 and history[-1] - history[-2] < tol:
            return Trained(parameters, tuple(history), True)
    return Trained(parameters, tuple(history), False)


def best_of(X: np.ndarray, starts: np.ndarray, candidates: list[Trained]) -> Trained:
    """The candidate whose final parameters make X likeliest; the first of equals.

    The histories cannot tell: they lack the last iteration's gain, which may be large where ``n_iter`` ended it.
    """
    if len(candidates) == 1:
        return candidates[0]
    return max(candidates, key=lambda each: hmm.forward_filter(X, each.parameters, np.diff(starts))[1])


def state_order(means: np.ndarray, covars: np.ndarray, feature: int) -> np.ndarray:
    """States by the mean of one feature, then by its variance.

    Means closer than 1 % of the feature's typical standard deviation count as equal, so that noise in nearly equal
    means does not exchange a calm regime with a wild one.

    Parameters
    ----------
    means : (K, D).
    covars : (K, D, D).
    """
    variance = covars[:, feature, feature]
    unit = 0.01 * np.sqrt(np.median(variance))
    order = np.argsort(means[:, feature], kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.concatenate([[0], np.cumsum(np.diff(means[order, feature]) > unit)])
    return np.lexsort((variance, rank))
