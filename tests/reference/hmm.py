"""Oracles for hidden Markov models: every path enumerated, and SciPy's densities. Slow, and obvious."""

from itertools import pairwise, product

import numpy as np
from scipy.stats import multivariate_normal


def log_densities(X, means, covariances):
    """(n, K) from (K, D) means and (K, D, D) covariances."""
    return np.column_stack(
        [np.atleast_1d(multivariate_normal(mean, covariance).logpdf(X)) for mean, covariance in zip(means, covariances)]
    )


def enumerate_paths(log_b, startprob, transmat):
    """All K^T paths with their joint log-probabilities: (paths (K^T, T), log_joint (K^T,))."""
    n, k = log_b.shape
    with np.errstate(divide="ignore"):
        log_start, log_trans = np.log(startprob), np.log(transmat)
    paths = np.array(list(product(range(k), repeat=n)))
    joint = log_start[paths[:, 0]] + log_b[0, paths[:, 0]]
    for t in range(1, n):
        joint = joint + log_trans[paths[:, t - 1], paths[:, t]] + log_b[t, paths[:, t]]
    return paths, joint


def log_likelihood(log_b, startprob, transmat):
    return float(np.logaddexp.reduce(enumerate_paths(log_b, startprob, transmat)[1]))


def smoothed(log_b, startprob, transmat):
    """P(state_t | all rows), by summing path probabilities."""
    paths, joint = enumerate_paths(log_b, startprob, transmat)
    weight = np.exp(joint - np.logaddexp.reduce(joint))
    return np.array(
        [[weight[paths[:, t] == state].sum() for state in range(log_b.shape[1])] for t in range(len(log_b))]
    )


def filtered(log_b, startprob, transmat):
    """P(state_t | rows up to t): smoothing with the future cut off, row by row."""
    return np.array([smoothed(log_b[: t + 1], startprob, transmat)[t] for t in range(len(log_b))])


def transitions(log_b, startprob, transmat):
    """Expected number of transitions (K, K)."""
    paths, joint = enumerate_paths(log_b, startprob, transmat)
    weight = np.exp(joint - np.logaddexp.reduce(joint))
    counts = np.zeros_like(transmat)
    for path, w in zip(paths, weight):
        for i, j in pairwise(path):
            counts[i, j] += w
    return counts


def best_path(log_b, startprob, transmat):
    paths, joint = enumerate_paths(log_b, startprob, transmat)
    return float(joint.max()), paths[joint.argmax()]


def recursions(log_b, startprob, transmat, lengths):
    """(log-likelihood, transitions (K, K), filtered (n, K), smoothed (n, K)) where there are too many paths to list.

    Forward and backward in log space, row by row, straight from Rabiner (1989), equations 19-37.
    """
    with np.errstate(divide="ignore"):
        log_start, log_trans = np.log(startprob), np.log(transmat)
    total, counts, filtered, smoothed = 0.0, np.zeros_like(transmat), [], []
    for b in np.split(log_b, np.cumsum(lengths)[:-1]):
        alpha = [log_start + b[0]]
        for row in b[1:]:
            alpha.append(np.logaddexp.reduce(alpha[-1][:, None] + log_trans, axis=0) + row)
        beta = [np.zeros(len(startprob))]
        for row in b[:0:-1]:
            beta.insert(0, np.logaddexp.reduce(log_trans + row + beta[0], axis=1))
        evidence = np.logaddexp.reduce(alpha[-1])
        total += float(evidence)
        filtered += [np.exp(a - np.logaddexp.reduce(a)) for a in alpha]
        smoothed += [np.exp(a + later - evidence) for a, later in zip(alpha, beta)]
        for a, row, later in zip(alpha, b[1:], beta[1:]):
            counts += np.exp(a[:, None] + log_trans + row + later - evidence)
    return total, counts, np.array(filtered), np.array(smoothed)


def windowed(log_b, start, transmat, window):
    """P(state_t | newest ``window`` rows up to t)."""
    rows = [filtered(log_b[max(0, t - window + 1) : t + 1], start, transmat)[-1] for t in range(len(log_b))]
    return np.array(rows)
