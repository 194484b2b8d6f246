"""Where the networks run: the processor or a GPU, as the caller or the machine decides."""

from functools import cache

import keras


@cache
def accelerated() -> bool:
    """Whether the running backend has a GPU, so that cuDNN's and flash attention's paths are worth taking."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return bool(jax.default_backend() == "gpu")
    if backend == "tensorflow":
        import tensorflow as tf

        return bool(tf.config.list_physical_devices("GPU"))
    import torch

    return bool(torch.cuda.is_available())
