"""How easily the stack's answers are moved: by noise in its input, and by the loss of one feature."""

from typing import Any

import numpy as np
import pandas as pd

from consilience.base import take
from consilience.evaluation.classification import classification_metrics
from consilience.evaluation.sensitivity import noise_sensitivity
from consilience.evaluation.stress import missing_features
from consilience.training.problem import Problem

_ROWS = 500  # newest development rows: enough to see how far answers move, and a second's work
_METRICS = ("log_loss", "auc", "accuracy")


def fragility_tables(problem: Problem, stack: Any) -> dict[str, pd.DataFrame]:
    """Tables for the report.

    Noise needs no labels and is tried on the newest development rows. Losing a feature is scored, so it is tried on the
    hold-out, after the verdict and as part of the same look: nothing is chosen by it.
    """
    recent = take(problem.X, problem.development[-_ROWS:])
    unseen, y = take(problem.X, problem.holdout), problem.y[problem.holdout]

    def score(proba: np.ndarray) -> dict[str, float]:
        found = classification_metrics(y, proba, stack.classes_)
        return {name: found[name] for name in _METRICS if name in found}

    return {
        "Sensitivity to input noise (in standard deviations of each feature)": noise_sensitivity(
            stack.predict_proba, recent
        ),
        "Losing one feature (frozen at its median), on the hold-out": missing_features(
            stack.predict_proba, unseen, score
        ),
    }


def training_metrics(problem: Problem, stack: Any) -> dict[str, float]:
    """The stack's scores on the rows that its members were fitted on, for the over-fitting gap."""
    X, y, _ = problem.part(problem.development)
    return classification_metrics(y, stack.predict_proba(X), stack.classes_)
