"""Evaluation that cannot fool its user: purged folds, out-of-fold predictions, metrics, significance, gates, report."""

from consilience.evaluation.audit import audit, audit_pipeline
from consilience.evaluation.bootstrap import bootstrap_interval, stationary_bootstrap
from consilience.evaluation.drift import feature_drift
from consilience.evaluation.fold_plot import plot_folds
from consilience.evaluation.folds import (
    CombinatorialPurged,
    MonteCarloPurged,
    PurgedKFold,
    PurgedWalkForward,
    purged_tail,
)
from consilience.evaluation.leaderboard import LeaderboardRow, leaderboard
from consilience.evaluation.learning import learning_curve, validation_curve
from consilience.evaluation.ledger import Ledger, data_identity
from consilience.evaluation.metrics import classification_metrics, regression_metrics, trading_metrics
from consilience.evaluation.out_of_fold import OutOfFold, out_of_fold
from consilience.evaluation.overfitting import probability_of_backtest_overfitting
from consilience.evaluation.robustness import assess_robustness
from consilience.evaluation.sensitivity import noise_sensitivity
from consilience.evaluation.sharpe import deflated_sharpe_ratio, probabilistic_sharpe_ratio
from consilience.evaluation.significance import diebold_mariano, false_discovery, mcnemar
from consilience.evaluation.stress import stress_strategy
from consilience.evaluation.superiority import superior_predictive_ability

__all__ = [
    "CombinatorialPurged",
    "LeaderboardRow",
    "Ledger",
    "MonteCarloPurged",
    "OutOfFold",
    "PurgedKFold",
    "PurgedWalkForward",
    "assess_robustness",
    "audit",
    "audit_pipeline",
    "bootstrap_interval",
    "classification_metrics",
    "data_identity",
    "deflated_sharpe_ratio",
    "diebold_mariano",
    "false_discovery",
    "feature_drift",
    "leaderboard",
    "learning_curve",
    "mcnemar",
    "noise_sensitivity",
    "out_of_fold",
    "plot_folds",
    "probabilistic_sharpe_ratio",
    "probability_of_backtest_overfitting",
    "purged_tail",
    "regression_metrics",
    "stationary_bootstrap",
    "stress_strategy",
    "superior_predictive_ability",
    "trading_metrics",
    "validation_curve",
]
