"""Changes to training windows that leave their label true enough; never applied to validation or prediction."""

from typing import Any

import numpy as np

from consilience.base import invalid, nearest

AUGMENTATIONS = ("jitter", "scaling", "slicing", "masking")


def augment(
    x: np.ndarray, lengths: np.ndarray, strength: dict[str, float], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Changed copies of left-aligned windows x (n, window, features) and of their lengths (n,).

    ``jitter``: Gaussian noise of that deviation (features are standardised). ``scaling``: each feature of a window
    times one factor of that deviation around 1. ``slicing``: up to that share of a window's oldest rows is cut off.
    ``masking``: each row but the newest is set to the mean (0) with that probability.

    Reference: Um et al. (2017), Data augmentation of wearable sensor data.
    """
    x, lengths = x.copy(), lengths.copy()
    n, window, features = x.shape
    if strength.get("slicing"):
        cut = np.floor(rng.random(n) * strength["slicing"] * lengths).astype(lengths.dtype)
        place = (np.arange(window) + cut[:, None]) % window
        x = np.take_along_axis(x, place[:, :, None], axis=1)
        lengths = lengths - cut
    if strength.get("scaling"):
        x *= (1.0 + strength["scaling"] * rng.standard_normal((n, 1, features))).astype(x.dtype)
    if strength.get("jitter"):
        x += (strength["jitter"] * rng.standard_normal(x.shape)).astype(x.dtype)
    if strength.get("masking"):
        hidden = rng.random((n, window)) < strength["masking"]
        hidden[np.arange(n), lengths - 1] = False
        x[hidden] = 0.0
    x[np.arange(window) >= lengths[:, None]] = 0.0
    return x, lengths


def check_augmentation(value: Any, owner: str) -> None:
    """Raise ``InvalidInput`` for what ``augment`` cannot use."""
    if value is None:
        return
    listed = ", ".join(AUGMENTATIONS)
    if not isinstance(value, dict):
        raise invalid("augmentation", owner, f"None or a dictionary of {listed} to a strength", value)
    for name, strength in value.items():
        if name not in AUGMENTATIONS:
            raise invalid("augmentation", owner, f"made of {listed}", name, nearest(str(name), AUGMENTATIONS).strip())
        if isinstance(strength, bool) or not isinstance(strength, int | float) or not 0 <= strength < 1:
            raise invalid(f"augmentation[{name!r}]", owner, "a number from 0 and below 1", strength)
