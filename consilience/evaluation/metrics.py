"""Every measure in one place; each one's source, units and conventions are in its own docstring."""

from consilience.evaluation.classification import calibration_curve, calibration_error, classification_metrics
from consilience.evaluation.regression import regression_metrics
from consilience.evaluation.trading import positions, sharpe_ratio, strategy_returns, trading_metrics

# A smaller value is better for these; a larger one for all others.
LOWER_IS_BETTER = frozenset({"log_loss", "brier", "calibration_error", "rmse", "mae", "mape", "annual_volatility"})

__all__ = [
    "LOWER_IS_BETTER",
    "calibration_curve",
    "calibration_error",
    "classification_metrics",
    "positions",
    "regression_metrics",
    "sharpe_ratio",
    "strategy_returns",
    "trading_metrics",
]
