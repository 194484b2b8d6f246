"""One training on several devices of one host: each holds the weights, and its share of every batch."""

from functools import lru_cache
from typing import Any

import keras


class Shares:
    """Where weights and batches go when ``keras.distribution.DataParallel`` trains over devices such as "gpu:all".

    Parameters
    ----------
    kind : "gpu" or "cpu".

    Attributes
    ----------
    n_devices : how many shares a batch has.
    whole : the placement of weights, optimizer and scalars: a copy on every device.
    """

    def __init__(self, kind: str) -> None:
        from jax.sharding import NamedSharding, PartitionSpec

        self._distribution = keras.distribution.DataParallel(devices=keras.distribution.list_devices(kind))
        mesh = self._distribution.device_mesh.backend_mesh
        self.n_devices = mesh.size
        self.whole = NamedSharding(mesh, PartitionSpec())
        self._batches = NamedSharding(mesh, PartitionSpec(None, self._distribution.batch_dim_name))

    def spread(self, data: tuple[Any, ...]) -> tuple[Any, ...]:
        """The parts of a chunk (steps, batch, …), cut along the batch; per-step numbers (steps,) go to every device."""
        import jax

        return tuple(jax.device_put(part, self._batches if part.ndim > 1 else self.whole) for part in data)


@lru_cache(maxsize=2)
def shares(device: str) -> Shares | None:
    """The placement for a device such as "gpu:all", None for a single one."""
    kind, _, which = device.partition(":")
    return Shares(kind) if which == "all" else None
