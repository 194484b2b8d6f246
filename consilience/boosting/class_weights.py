"""Weights of rows: rows that weigh nothing, and class imbalance."""

from typing import Any

import numpy as np

from consilience.base import InvalidInput


def weighing_rows(X: np.ndarray, y: np.ndarray, weight: Any, owner: str) -> tuple[np.ndarray, np.ndarray, Any]:
    """The rows whose weight is not zero: a row without weight must not count in a leaf's size or a class either."""
    if weight is not None and not weight.all():
        keep = weight > 0
        X, y, weight = X[keep], y[keep], weight[keep]
    if len(X) < 2:
        raise InvalidInput(f"{owner} needs at least two rows with weight; got n_samples={len(X)}.")
    return X, y, weight


def row_weights(class_weight: Any, codes: np.ndarray, classes: np.ndarray, sample_weight: np.ndarray | None) -> Any:
    """(n,) weights, or None where nothing weighs.

    ``"balanced"`` gives each class the same total weight, n / n_classes; a dictionary gives a factor per class, 1 to
    those that it leaves out.
    """
    if class_weight is None:
        return sample_weight
    own = np.ones(len(codes)) if sample_weight is None else sample_weight
    if isinstance(class_weight, dict):
        unknown = [key for key in class_weight if key not in set(classes.tolist())]
        if unknown:
            raise InvalidInput(
                f"class_weight names the class {unknown[0]!r}, which y does not have: {classes.tolist()}."
            )
        factor = np.array([float(class_weight.get(label, 1.0)) for label in classes.tolist()])
        if not np.isfinite(factor).all() or (factor < 0).any():
            raise InvalidInput(f"class_weight must hold finite weights >= 0; got {class_weight}.")
    else:
        mass = np.bincount(codes, own, minlength=len(classes))
        factor = own.sum() / (len(classes) * np.where(mass > 0, mass, np.inf))
    return own * factor[codes]
