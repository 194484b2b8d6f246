"""Joining predictions that are already there: pure functions on arrays, which never see a model.

Throughout, ``proba`` is (n_members, n, n_classes), ``weights`` (n_members,) and ``base`` (n_classes,), the class
frequencies that hold when nothing is known.
"""

import numpy as np

FLOOR = 1e-6  # the least probability that a vote gives or counts: one certain mistake does not decide everything
CLIP = 1e-3  # a member that says 0 or 1 would outvote all others whatever its weight; 0.1 % is as sure as it may be


def soft_vote(proba: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted mean of the members' probabilities, (n, n_classes), each at least ``FLOOR``.

    So the log loss of a row is at most 13.8 nats, also where all members give the class that came a probability of 0.

    >>> soft_vote(np.array([[[0.2, 0.8]], [[0.6, 0.4]]]), np.array([1.0, 1.0]))
    array([[0.4, 0.6]])
    """
    mixed = np.tensordot(weights / weights.sum(), proba, axes=1)
    if mixed.min(initial=1.0) >= FLOOR:
        return mixed
    mixed = np.maximum(mixed, FLOOR)
    bounded: np.ndarray = mixed / mixed.sum(axis=1, keepdims=True)
    return bounded


def hard_vote(proba: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of the weight that votes for each class, (n, n_classes); a member's ties go to the lower class.

    >>> hard_vote(np.array([[[0.2, 0.8]], [[0.6, 0.4]], [[0.7, 0.3]]]), np.ones(3)).round(3)
    array([[0.667, 0.333]])
    """
    votes = proba.argmax(axis=2)[:, :, None] == np.arange(proba.shape[2])
    return np.tensordot(weights / weights.sum(), votes.astype(np.float64), axes=1)


def evidence(proba: np.ndarray, base: np.ndarray) -> np.ndarray:
    """How far each member moves the log-odds away from the base rate, (n_members, n, n_classes).

    Zero where a member says exactly the base rate; probabilities are first kept inside [0.001, 0.999].

    >>> evidence(np.array([[[0.7, 0.3]]]), np.array([0.7, 0.3]))
    array([[[0., 0.]]])
    """
    clipped: np.ndarray = np.log(np.clip(proba, CLIP, 1.0 - CLIP)) - np.log(base)
    return clipped


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities from logits along the last axis, without overflow."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    total: np.ndarray = shifted / shifted.sum(axis=-1, keepdims=True)
    return total


def agreement(proba: np.ndarray, combined: np.ndarray) -> np.ndarray:
    """Share of the members whose most probable class is that of the combination, (n,)."""
    same: np.ndarray = (proba.argmax(axis=2) == combined.argmax(axis=1)).mean(axis=0)
    return same
