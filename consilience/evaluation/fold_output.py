"""What one fold gives."""

from dataclasses import dataclass

import numpy as np

LearningCurves = dict[str, list[float]]


@dataclass(frozen=True)
class FoldOutput:
    """What one fold gave.

    Attributes
    ----------
    rows : (m,) int64, the test rows.
    output : (m, n_classes) probabilities, or (m,) values of a regressor.
    fit_seconds, predict_seconds : wall-clock time.
    history : learning curves of the fitted model, name to one number per epoch, where it has any.
    base_rate : (n_classes,) share of each class among the training labels; (1,) their mean for a regressor.
    """

    rows: np.ndarray
    output: np.ndarray
    fit_seconds: float
    predict_seconds: float
    history: LearningCurves | None = None
    base_rate: np.ndarray | None = None
