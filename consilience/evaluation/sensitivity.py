"""How much predictions move when their input is a little wrong."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from consilience.base import InvalidInput


def noise_sensitivity(
    predict: Callable[[Any], np.ndarray],
    X: pd.DataFrame | np.ndarray,
    *,
    scales: Sequence[float] = (0.01, 0.05, 0.1, 0.25),
    n_repeats: int = 3,
    random_state: int = 0,
) -> pd.DataFrame:
    """Add Gaussian noise to every feature and see how far the predictions move.

    Parameters
    ----------
    predict : ``predict_proba`` (or ``predict`` of a regressor) of a fitted predictor.
    X : (n, d) rows in time order.
    scales : noise in standard deviations of each feature.

    Returns
    -------
    DataFrame indexed by scale: ``mean_change`` and ``largest_change`` of a predicted number, and ``flipped``, the share
    of rows whose most probable class (or sign) changed.

    >>> X = np.random.default_rng(0).standard_normal((200, 2))
    >>> noise_sensitivity(lambda X: X[:, 0], X, scales=[0.1])["mean_change"].round(2).tolist()
    [0.08]
    """
    values = np.asarray(X, np.float64)
    if values.ndim != 2 or len(values) < 2:
        raise InvalidInput(f"X must be (n, d) with at least two rows; its shape is {values.shape}.")
    rng = np.random.default_rng(random_state)
    width, base = np.nanstd(values, axis=0), np.asarray(predict(X), np.float64)
    lines = []
    for scale in scales:
        moved = []
        for _ in range(n_repeats):
            noisy = values + scale * width * rng.standard_normal(values.shape)
            moved.append(np.asarray(predict(_like(X, noisy)), np.float64))
        change = np.abs(np.stack(moved) - base)
        flipped = np.mean([_decision(one) != _decision(base) for one in moved])
        lines.append({"mean_change": change.mean(), "largest_change": change.max(), "flipped": flipped})
    return pd.DataFrame(lines, index=pd.Index(scales, name="noise"))


def _like(X: Any, values: np.ndarray) -> Any:
    return pd.DataFrame(values, index=X.index, columns=X.columns) if isinstance(X, pd.DataFrame) else values


def _decision(output: np.ndarray) -> np.ndarray:
    return output.argmax(axis=1) if output.ndim == 2 else np.sign(output)
