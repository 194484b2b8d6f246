"""Where the networks run: the processor or a GPU, as the caller or the machine decides."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

import keras

from consilience.base import invalid
from consilience.base.errors import ConsilienceError

_active: ContextVar[str | None] = ContextVar("consilience_device", default=None)


def resolve_device(policy: str, owner: str, strict: bool = True) -> str:
    """Give "cpu", "gpu:N", "gpu:all" or "cpu:all" for a policy "auto", "cpu", "gpu", "gpu:N", "gpu:all" or "cpu:all".

    "gpu:all" trains on every GPU of this host together. "cpu:all" does so on the devices that jax was told to make of
    the processor (``XLA_FLAGS=--xla_force_host_platform_device_count=N``). Of one device, "all" is that one.

    Raises
    ------
    InvalidInput : an unknown policy, or, where ``strict``, devices that the running backend does not have. Without
        ``strict`` the processor takes their place, so that a model trained on a GPU predicts anywhere.
    """
    if not isinstance(policy, str) or not re.fullmatch(r"auto|cpu(:all)?|gpu(:\d{1,3}|:all)?", policy):
        raise invalid("device", owner, "'auto', 'cpu', 'gpu', 'gpu:' and a number, or 'gpu:all'", policy)
    if policy == "cpu":
        return "cpu"
    backend = keras.backend.backend()
    if policy.endswith(":all") and backend != "jax" and strict:
        raise invalid("device", owner, f"one device on {backend}", policy, "KERAS_BACKEND=jax trains on several.")
    if policy == "cpu:all":
        return policy if backend == "jax" and _cpu_count() > 1 else "cpu"
    n_gpus = _gpu_count()
    if policy == "auto":
        return "gpu:0" if n_gpus else "cpu"
    which = policy.partition(":")[2] or "0"
    if which == "all" and n_gpus:
        return policy if backend == "jax" and n_gpus > 1 else "gpu:0"
    if which != "all" and int(which) < n_gpus:
        return f"gpu:{which}"
    if not strict:
        return "gpu:0" if n_gpus else "cpu"
    raise invalid("device", owner, f"a device that {backend} has here ({n_gpus} GPUs)", policy, "Use 'auto' or 'cpu'.")


def single(device: str) -> str:
    """The device that predicts for a model that was trained on this one, or on all of its kind."""
    return {"gpu:all": "gpu:0", "cpu:all": "cpu"}.get(device, device)


def precise(precision: str, device: str) -> str:
    """Keras's dtype policy for "float32", "bfloat16" or "auto" (bfloat16 where every card computes in it).

    Variables are float32 in all of them. Cards of compute capability 8.0 and newer have bfloat16 units; older ones
    would imitate it more slowly than they compute in float32.
    """
    reduced = precision == "bfloat16" or (precision == "auto" and device.startswith("gpu") and _has_bfloat16(device))
    return "mixed_bfloat16" if reduced else "float32"


@contextmanager
def running_on(device: str) -> Iterator[None]:
    """What is built, compiled and placed inside goes to that device, as ``resolve_device`` gives it."""
    token = _active.set(device)
    try:
        if _gpu_count():
            with keras.device(single(device)):
                yield
        else:
            yield
    finally:
        _active.reset(token)


def accelerated() -> bool:
    """Whether the code being built runs on a GPU, so that cuDNN's and flash attention's paths are worth taking."""
    active = _active.get()
    return _gpu_count() > 0 if active is None else active.startswith("gpu")


class OutOfMemory(ConsilienceError, MemoryError):
    """The device's memory is full even with the smallest batches."""


def out_of_memory(error: BaseException) -> bool:
    """Whether a backend's error says that the device's memory is full."""
    if isinstance(error, ConsilienceError):
        return False
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


def _has_bfloat16(device: str) -> bool:
    which = device.partition(":")[2]
    numbers = range(_gpu_count()) if which == "all" else [int(which)]
    return all(_capability(number) >= (8, 0) for number in numbers)


@cache
def _capability(number: int) -> tuple[int, ...]:
    """The compute capability of a GPU as its maker counts them, such as (8, 0); (0,) where it has none to tell."""
    backend: Any = keras.backend.backend()
    if backend == "jax":
        import jax

        cards = [device for device in jax.local_devices() if device.platform == "gpu"]
        told = str(getattr(cards[number], "compute_capability", ""))
        return tuple(int(part) for part in told.split(".")) if re.fullmatch(r"\d+(\.\d+)*", told) else (0,)
    if backend == "tensorflow":
        import tensorflow as tf

        card = tf.config.list_physical_devices("GPU")[number]
        return tuple(tf.config.experimental.get_device_details(card).get("compute_capability", (0,)))
    import torch

    return tuple(torch.cuda.get_device_capability(number))


@cache
def _cpu_count() -> int:
    import jax

    return len(jax.local_devices(backend="cpu"))
