"""The training loop: shuffled chunks of windows, a learning-rate schedule, early stopping on rows that were kept apart."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from consilience.base.windows import Windows
from consilience.keras_models.programs import STEPS_PER_CHUNK, Chunk


@dataclass
class Examples:
    """Windows with what they are trained towards: y (n,) int32 codes or (n, targets) float32, weight (n,) float32."""

    windows: Windows
    y: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train. Rates in units of the loss; ``warmup`` is a share of all steps."""

    epochs: int
    batch_size: int
    learning_rate: float
    schedule: str
    warmup: float
    patience: int | None
    seed: int


@dataclass
class Progress:
    """What the loop knows after an epoch, apart from the weights."""

    epoch: int = 0
    factor: float = 1.0
    best_loss: float = math.inf
    best_epoch: int = 0
    history: dict[str, list[float]] = field(default_factory=lambda: {"loss": []})


def train(
    trainer: Any,
    weights: list[np.ndarray],
    examples: Examples,
    plan: Plan,
    validate: Callable[[list[np.ndarray]], float] | None = None,
) -> tuple[list[np.ndarray], Progress]:
    """Trained weights and the learning curves.

    Parameters
    ----------
    validate : weights -> loss on rows that were kept apart. With it, training stops after ``plan.patience`` epochs
        without a better loss, and the weights of the best epoch are given; without it all epochs run.
    """
    progress = Progress()
    state = trainer.start(weights, plan.seed)
    best = weights
    while progress.epoch < plan.epochs:
        state, loss = _epoch(trainer, state, examples, plan, progress)
        progress.epoch += 1
        progress.history["loss"].append(loss)
        progress.history.setdefault("learning_rate", []).append(_rate(plan, progress, _steps(examples, plan)))
        if validate is None:
            continue
        current = trainer.weights(state)
        score = validate(current)
        progress.history.setdefault("val_loss", []).append(score)
        if score < progress.best_loss:
            best, progress.best_loss, progress.best_epoch = current, score, progress.epoch
        elif plan.patience is not None and progress.epoch - progress.best_epoch >= plan.patience:
            break
        elif plan.schedule == "plateau" and (progress.epoch - progress.best_epoch) % 2 == 0:
            progress.factor *= 0.5
    return (trainer.weights(state) if validate is None else best), progress


def _epoch(trainer: Any, state: Any, examples: Examples, plan: Plan, progress: Progress) -> tuple[Any, float]:
    sums = []
    for chunk in _chunks(examples, plan, progress):
        state, partial = trainer.run(state, chunk)
        sums.append(partial)
    loss, weight = np.sum([np.asarray(part, np.float64) for part in sums], axis=0)
    return state, float(loss / max(weight, 1e-12))


def _steps(examples: Examples, plan: Plan) -> int:
    return math.ceil(len(examples.y) / plan.batch_size)


def _chunks(examples: Examples, plan: Plan, progress: Progress) -> Iterator[Chunk]:
    """One epoch in a fresh order, in chunks of fixed shape; the order depends on the seed and the epoch alone."""
    size = plan.batch_size
    order = np.random.default_rng([plan.seed, progress.epoch]).permutation(len(examples.y))
    steps = _steps(examples, plan)
    for first in range(0, steps, STEPS_PER_CHUNK):
        n_steps = min(STEPS_PER_CHUNK, steps - first)
        rows = order[first * size : (first + n_steps) * size]
        rates = np.zeros(STEPS_PER_CHUNK, np.float32)
        rates[:n_steps] = [
            _rate(plan, progress, progress.epoch * steps + first + i, steps * plan.epochs) for i in range(n_steps)
        ]
        yield _chunk(examples, rows, rates, n_steps, size)


def _chunk(examples: Examples, rows: np.ndarray, rates: np.ndarray, n_steps: int, size: int) -> Chunk:
    shape = (STEPS_PER_CHUNK, size)
    missing = STEPS_PER_CHUNK * size - len(rows)

    def fixed(values: np.ndarray, empty: float = 0) -> np.ndarray:
        padding = np.full((missing, *values.shape[1:]), empty, values.dtype)
        return (np.concatenate([values, padding]) if missing else values).reshape(*shape, *values.shape[1:])

    windows = examples.windows
    return Chunk(
        fixed(windows.left_aligned(rows)),
        fixed(windows.lengths[rows], 1),
        fixed(examples.y[rows]),
        fixed(examples.weight[rows]),
        rates,
        n_steps,
    )


def _rate(plan: Plan, progress: Progress, step: int, total: int | None = None) -> float:
    """The learning rate of one step: linear warm-up, then constant, a cosine to zero, or lowered on plateaus."""
    if total is None:
        total, step = step * plan.epochs, progress.epoch * step - 1
    warm = max(1, int(plan.warmup * total)) if plan.warmup else 0
    if step < warm:
        return plan.learning_rate * (step + 1) / warm
    if plan.schedule == "cosine":
        return plan.learning_rate * 0.5 * (1.0 + math.cos(math.pi * (step - warm) / max(1, total - warm)))
    return plan.learning_rate * progress.factor
