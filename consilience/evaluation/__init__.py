"""Evaluation that cannot fool its user: purged folds, out-of-fold predictions, metrics, significance, gates, report."""

from consilience.evaluation.folds import (
    CombinatorialPurged,
    MonteCarloPurged,
    PurgedKFold,
    PurgedWalkForward,
    purged_tail,
)
from consilience.evaluation.out_of_fold import OutOfFold, out_of_fold

__all__ = [
    "CombinatorialPurged",
    "MonteCarloPurged",
    "OutOfFold",
    "PurgedKFold",
    "PurgedWalkForward",
    "out_of_fold",
    "purged_tail",
]
