"""Where the networks run: the processor or a GPU, as the caller or the machine decides."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

import keras

from consilience.base import invalid

_active: ContextVar[str | None] = ContextVar("consilience_device", default=None)


def resolve_device(policy: str, owner: str, strict: bool = True) -> str:
    """Give "cpu" or "gpu:N" for a policy "auto", "cpu", "gpu" or "gpu:N".

    Raises
    ------
    InvalidInput : an unknown policy, or, where ``strict``, a GPU that the running backend does not have. Without
        ``strict`` the processor takes its place, so that a model trained on a GPU predicts anywhere.
    """
    if not isinstance(policy, str) or not re.fullmatch(r"auto|cpu|gpu(:\d{1,3})?", policy):
        raise invalid("device", owner, "'auto', 'cpu', 'gpu' or 'gpu:' and a number", policy)
    if policy == "cpu":
        return "cpu"
    n_gpus = _gpu_count()
    if policy == "auto":
        return "gpu:0" if n_gpus else "cpu"
    number = int(policy.partition(":")[2] or 0)
    if number < n_gpus:
        return f"gpu:{number}"
    if not strict:
        return "gpu:0" if n_gpus else "cpu"
    backend = keras.backend.backend()
    raise invalid("device", owner, f"a device that {backend} has here ({n_gpus} GPUs)", policy, "Use 'auto' or 'cpu'.")


def precise(precision: str, device: str) -> str:
    """Keras's dtype policy for "float32", "bfloat16" or "auto" (bfloat16 on a GPU); variables are float32 in both."""
    reduced = precision == "bfloat16" or (precision == "auto" and device.startswith("gpu"))
    return "mixed_bfloat16" if reduced else "float32"


@contextmanager
def running_on(device: str) -> Iterator[None]:
    """What is built, compiled and placed inside goes to that device ("cpu" or "gpu:N")."""
    token = _active.set(device)
    try:
        if _gpu_count():
            with keras.device(device):
                yield
        else:
            yield
    finally:
        _active.reset(token)


def accelerated() -> bool:
    """Whether the code being built runs on a GPU, so that cuDNN's and flash attention's paths are worth taking."""
    active = _active.get()
    return _gpu_count() > 0 if active is None else active.startswith("gpu")


def out_of_memory(error: BaseException) -> bool:
    """Whether a backend's error says that the device's memory is full."""
    text = f"{type(error).__name__}: {error}".lower()
    return any(sign in text for sign in ("resource_exhausted", "resourceexhausted", "out of memory", "outofmemory"))


@cache
def _gpu_count() -> int:
    backend: Any = keras.backend.backend()
    if backend == "jax":
        import jax

        return sum(device.platform == "gpu" for device in jax.local_devices())
    if backend == "tensorflow":
        import tensorflow as tf

        return len(tf.config.list_physical_devices("GPU"))
    import torch

    return int(torch.cuda.device_count())
