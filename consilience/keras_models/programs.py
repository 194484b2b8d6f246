"""Compiled programs, one per architecture and batch shape in a process: a fold brings new weights, not new code."""

import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from consilience.keras_models.architecture import Architecture, network
from consilience.keras_models.backend import program_module

STEPS_PER_CHUNK = 16
_CHUNK_BYTES = 4 << 20  # of windows; several chunks are alive at once, on the host and on the device
BATCH_SIZES = (1, 8, 64, 512)  # prediction batches are padded up to one of these, so that a new size compiles nothing


@dataclass(frozen=True)
class Recipe:
    """What a compiled training step depends on. The learning rate is an argument of the step, not part of it."""

    architecture: Architecture
    loss: str
    batch_size: int
    optimizer: str
    weight_decay: float
    clip_norm: float | None
    accumulation: int


@dataclass(frozen=True)
class Chunk:
    """Some training batches (see ``steps_per_chunk``), on the host; the rows of unused places have weight 0.

    x (steps, batch, window, features) float32, lengths (steps, batch) int32, y (steps, batch[, targets]),
    weight (steps, batch) float32, rates (steps,) float32 learning rates, n_steps how many steps are real.
    """

    x: np.ndarray
    lengths: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    rates: np.ndarray
    n_steps: int


def steps_per_chunk(batch_size: int, window: int, n_features: int) -> int:
    """How many batches go into one call of the program: enough to hide the call, few enough to stay small."""
    return max(1, min(STEPS_PER_CHUNK, _CHUNK_BYTES // (4 * batch_size * window * n_features)))


_lock = threading.RLock()


def trainer(recipe: Recipe) -> Any:
    """The training program of that recipe: ``start`` or ``load`` a state, ``run`` it, ``weights`` or ``dump`` it,
    ``release`` it (see the ``_*_program`` modules).
    """
    with _lock:
        return _trainer(recipe)


def forward(architecture: Architecture) -> Any:
    """The prediction program of that architecture: ``place(weights)``, then (weights, windows, lengths) -> outputs."""
    with _lock:
        return _forward(architecture)


@lru_cache(maxsize=8)
def _trainer(recipe: Recipe) -> Any:
    return program_module().Trainer(network(recipe.architecture), recipe)


@lru_cache(maxsize=16)
def _forward(architecture: Architecture) -> Any:
    return program_module().Forward(network(architecture))


def batch_size_for(n_rows: int) -> int:
    """The smallest prediction batch that holds so many rows, or the largest there is."""
    return next((size for size in BATCH_SIZES if size >= n_rows), BATCH_SIZES[-1])
