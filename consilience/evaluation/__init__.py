"""Evaluation that cannot fool its user: purged folds, out-of-fold predictions, metrics, significance, gates, report."""

from consilience.evaluation.audit import audit, audit_pipeline
from consilience.evaluation.bootstrap import bootstrap_interval, stationary_bootstrap
from consilience.evaluation.folds import (
    CombinatorialPurged,
    MonteCarloPurged,
    PurgedKFold,
    PurgedWalkForward,
    purged_tail,
)
from consilience.evaluation.leaderboard import LeaderboardRow, leaderboard
from consilience.evaluation.ledger import Ledger, data_identity
from consilience.evaluation.metrics import classification_metrics, regression_metrics, trading_metrics
from consilience.evaluation.out_of_fold import OutOfFold, out_of_fold
from consilience.evaluation.overfitting import probability_of_backtest_overfitting
from consilience.evaluation.sharpe import deflated_sharpe_ratio, probabilistic_sharpe_ratio
from consilience.evaluation.significance import diebold_mariano, false_discovery, mcnemar

__all__ = [
    "CombinatorialPurged",
    "LeaderboardRow",
    "Ledger",
    "MonteCarloPurged",
    "OutOfFold",
    "PurgedKFold",
    "PurgedWalkForward",
    "audit",
    "audit_pipeline",
    "bootstrap_interval",
    "classification_metrics",
    "data_identity",
    "deflated_sharpe_ratio",
    "diebold_mariano",
    "false_discovery",
    "leaderboard",
    "mcnemar",
    "out_of_fold",
    "probabilistic_sharpe_ratio",
    "probability_of_backtest_overfitting",
    "purged_tail",
    "regression_metrics",
    "stationary_bootstrap",
    "trading_metrics",
]
