"""Weights of a vote from how the members did out of fold."""

import numpy as np


def log_losses(proba: np.ndarray, codes: np.ndarray, sample_weight: np.ndarray) -> np.ndarray:
    """Mean log loss of each member, (n_members,), from proba (n_members, n, n_classes) and codes (n,)."""
    picked = np.clip(proba[:, np.arange(len(codes)), codes], 1e-12, None)
    return -np.average(np.log(picked), axis=1, weights=sample_weight)


def performance_weights(losses: np.ndarray, baseline: float) -> np.ndarray:
    """Weights (n_members,) summing to 1, in proportion to each member's skill over a baseline's loss.

    Members no better than the baseline get nothing; if none is better, all are equal.

    >>> performance_weights(np.array([0.68, 0.67, 0.70]), baseline=0.69).round(3)
    array([0.333, 0.667, 0.   ])
    """
    skill = np.maximum(baseline - losses, 0.0)
    if skill.sum() == 0.0:
        return np.full(len(losses), 1.0 / len(losses))
    return skill / skill.sum()


def base_rate_loss(codes: np.ndarray, n_classes: int, sample_weight: np.ndarray) -> float:
    """Log loss of always saying the class frequencies: their entropy, in nats."""
    share = np.bincount(codes, sample_weight, n_classes) / sample_weight.sum()
    share = share[share > 0]
    return float(-(share * np.log(share)).sum())
