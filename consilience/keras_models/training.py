"""The training loop: shuffled chunks of windows, a learning-rate schedule, early stopping on rows kept apart."""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from consilience.base.errors import ConsilienceError
from consilience.base.windows import Windows
from consilience.keras_models.augmentation import augment
from consilience.keras_models.programs import Chunk, steps_per_chunk

_PLATEAU = 2  # epochs without gain after which the "plateau" schedule halves the learning rate


class TrainingDiverged(ConsilienceError, ArithmeticError):
    """The loss or the weights are no longer finite; no model comes of it."""


@dataclass
class Examples:
    """Windows with what they are trained towards: y (n,) int32 codes or (n, targets) float32, weight (n,) float32."""

    windows: Windows
    y: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train; ``warmup`` is a share of all steps."""

    epochs: int
    batch_size: int
    learning_rate: float
    schedule: str
    warmup: float
    patience: int | None
    seed: int
    augmentation: dict[str, float] | None = None
    accumulation: int = 1
    clip_norm: float | None = None


@dataclass
class Progress:
    """What the loop knows after an epoch, apart from the weights."""

    epoch: int = 0
    factor: float = 1.0
    best_loss: float = math.inf
    best_epoch: int = 0
    stopped: bool = False
    history: dict[str, list[float]] = field(default_factory=lambda: {"loss": [], "learning_rate": []})


@dataclass(frozen=True)
class Snapshot:
    """A training at the end of an epoch: what ``Trainer.dump`` gives, the best weights, the curves."""

    parts: list[list[np.ndarray]]
    best: list[np.ndarray]
    progress: Progress
    batch_size: int
    accumulation: int
    seed: int

    def accumulating(self, batches: int) -> list[list[np.ndarray]]:
        """The parts for a trainer that updates the weights after so many batches.

        Keras's optimizers hold a count of batches, the learning rate, then, where they accumulate, a sum of gradients
        per weight, then their own moments. The count goes on from the same number of updates; a sum begins empty.
        """
        if batches == self.accumulation:
            return self.parts
        trainable, streams, (seen, rate, *rest) = self.parts
        moments = rest[len(trainable) :] if self.accumulation > 1 else rest
        sums = [np.zeros_like(weight) for weight in trainable] if batches > 1 else []
        updates = np.asarray(seen // self.accumulation * batches, seen.dtype)
        return [trainable, streams, [updates, rate, *sums, *moments]]


def train(
    trainer: Any,
    weights: list[np.ndarray],
    examples: Examples,
    plan: Plan,
    validate: Callable[[list[np.ndarray]], float] | None = None,
    begin: Snapshot | None = None,
    keep: Callable[[Snapshot], None] | None = None,
) -> tuple[list[np.ndarray], Progress]:
    """Trained weights and the learning curves.

    Parameters
    ----------
    validate : weights -> loss on rows that were kept apart. With it, training stops after ``plan.patience`` epochs
        without a better loss, and the weights of the best epoch are given; without it all epochs run, and the
        "plateau" schedule watches the training loss.
    begin : what a training of the same examples left after its last whole epoch, perhaps with other batches.
    keep : told of each epoch's end, so that another training can begin there.

    The order of the rows, the augmentation and the dropout of an epoch depend on the seed and the epoch's number alone,
    so a training that was resumed ends with the weights of one that was not interrupted.

    Raises
    ------
    TrainingDiverged : at the first epoch whose loss, or at the end, if the weights, are not finite.
    """
    progress, best = Progress(), weights
    if begin is not None:
        best, progress = begin.best, copy.deepcopy(begin.progress)
        state = trainer.load(begin.accumulating(plan.accumulation))
    else:
        state = trainer.start(weights, plan.seed)
    try:
        while progress.epoch < plan.epochs and not progress.stopped:
            state, loss = _epoch(trainer, state, examples, plan, progress)
            progress.epoch += 1
            _check_finite(loss, "training loss", plan, progress)
            progress.history["loss"].append(loss)
            if validate is not None:
                current = trainer.weights(state)
                loss = validate(current)
                _check_finite(loss, "validation loss", plan, progress)
                progress.history.setdefault("val_loss", []).append(loss)
            if _better(progress, plan, loss, stopping=validate is not None) and validate is not None:
                best = current
            if keep is not None:
                parts = trainer.dump(state)
                kept = copy.deepcopy(progress)
                keep(Snapshot(parts, best, kept, plan.batch_size, plan.accumulation, plan.seed))
        found = trainer.weights(state) if validate is None else best
    finally:
        trainer.release(state)
    _check_finite(sum(float(np.sum(array)) for array in found), "sum of the weights", plan, progress)
    return found, progress


def _check_finite(value: float, name: str, plan: Plan, progress: Progress) -> None:
    if math.isfinite(value):
        return
    clipping = "set clip_norm" if plan.clip_norm is None else f"lower clip_norm ({plan.clip_norm:g})"
    raise TrainingDiverged(
        f"Training diverged: the {name} is {value} after epoch {progress.epoch}. Lower learning_rate "
        f"({plan.learning_rate:g}) or {clipping}."
    )


def _better(progress: Progress, plan: Plan, loss: float, stopping: bool) -> bool:
    """Note an epoch's watched loss: whether it is the best, whether to stop, whether to slow down."""
    if loss < progress.best_loss or progress.best_epoch == 0:
        progress.best_loss, progress.best_epoch = loss, progress.epoch
        return True
    waited = progress.epoch - progress.best_epoch
    progress.stopped = stopping and plan.patience is not None and waited >= plan.patience
    if plan.schedule == "plateau" and waited % _PLATEAU == 0:
        progress.factor *= 0.5
    return False


def _epoch(trainer: Any, state: Any, examples: Examples, plan: Plan, progress: Progress) -> tuple[Any, float]:
    sums = []
    for chunk in _chunks(examples, plan, progress):
        state, partial = trainer.run(state, chunk)
        sums.append(partial)
        if len(sums) > 1:
            sums[-2] = np.asarray(sums[-2])  # wait: a backend that runs ahead would hold every chunk of the epoch
    progress.history["learning_rate"].append(float(chunk.rates[chunk.n_steps - 1]))
    loss, weight = np.sum([np.asarray(part, np.float64) for part in sums], axis=0)
    return state, float(loss / max(weight, 1e-12))


def _chunks(examples: Examples, plan: Plan, progress: Progress) -> Iterator[Chunk]:
    """One epoch in a fresh order, in chunks of fixed shape: memory is O(batch · window), however many the rows."""
    size, n_rows = plan.batch_size, len(examples.y)
    rng = np.random.default_rng([plan.seed, progress.epoch])
    order = rng.permutation(n_rows)
    steps = math.ceil(n_rows / size)
    length = steps_per_chunk(size, examples.windows.window, examples.windows.n_features)
    for first in range(0, steps, length):
        n_steps = min(length, steps - first)
        rates = np.zeros(length, np.float32)
        for number in range(n_steps):
            rates[number] = _rate(plan, progress, progress.epoch * steps + first + number, steps * plan.epochs)
        rows = order[first * size : (first + n_steps) * size]
        yield _chunk(examples, rows, rates, n_steps, plan, rng)


def _chunk(
    examples: Examples, rows: np.ndarray, rates: np.ndarray, n_steps: int, plan: Plan, rng: np.random.Generator
) -> Chunk:
    x, lengths = examples.windows.left_aligned(rows), examples.windows.lengths[rows]
    if plan.augmentation:
        x, lengths = augment(x, lengths, plan.augmentation, rng)
    shape = (len(rates), plan.batch_size)
    missing = len(rates) * plan.batch_size - len(rows)

    def fixed(values: np.ndarray, empty: float = 0) -> np.ndarray:
        padding = np.full((missing, *values.shape[1:]), empty, values.dtype)
        return (np.concatenate([values, padding]) if missing else values).reshape(*shape, *values.shape[1:])

    return Chunk(fixed(x), fixed(lengths, 1), fixed(examples.y[rows]), fixed(examples.weight[rows]), rates, n_steps)


def _rate(plan: Plan, progress: Progress, step: int, total: int) -> float:
    """The learning rate of one step: a linear warm-up, then constant, a cosine to zero, or halved on plateaus."""
    warm = int(plan.warmup * total)
    if step < warm:
        return plan.learning_rate * (step + 1) / warm
    if plan.schedule == "cosine":
        return plan.learning_rate * 0.5 * (1.0 + math.cos(math.pi * (step - warm) / max(1, total - warm)))
    return plan.learning_rate * progress.factor
