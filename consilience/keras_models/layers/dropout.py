"""Dropout that treats every row of a window alike."""

from typing import Any

import keras


class StepDropout(keras.layers.Dropout):
    """Drops the same channels in all rows of a window while training.

    Args:
        rate: share of channels dropped.

    Call arguments:
        x: (batch, window, channels).

    A recurrent state is disturbed less than by fresh noise in every row, and the random numbers, which are costly on a
    CPU, are needed once per window.

    Example:

    >>> x = keras.ops.ones((2, 5, 3))
    >>> out = keras.ops.convert_to_numpy(StepDropout(0.5, seed=1)(x, training=True))
    >>> bool((out == out[:, :1]).all()), bool((keras.ops.convert_to_numpy(StepDropout(0.5)(x)) == 1.0).all())
    (True, True)

    Reference: Gal & Ghahramani (2016), A theoretically grounded application of dropout in recurrent neural networks.
    """

    def __init__(self, rate: float, **kwargs: Any) -> None:
        super().__init__(rate, noise_shape=(None, 1, None), **kwargs)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("noise_shape", None)
        return config
