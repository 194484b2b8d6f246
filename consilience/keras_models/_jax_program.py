"""Training and prediction compiled by JAX: a chunk of steps is one program; weights and optimizer go in and out."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from consilience.keras_models.data_parallel import shares
from consilience.keras_models.layers.recurrence import traced_for
from consilience.keras_models.losses import LOSSES
from consilience.keras_models.optimizers import build_optimizer
from consilience.keras_models.programs import Chunk, Recipe


class Trainer:
    """``start`` gives a training state, ``run`` advances it over a chunk, ``weights`` reads it; none is kept here."""

    def __init__(self, model: Any, recipe: Recipe) -> None:
        self._model = model
        self._optimizer = build_optimizer(recipe)
        self._optimizer.build(model.trainable_variables)
        self._loss = LOSSES[recipe.loss]
        self._rate = next(i for i, v in enumerate(self._optimizer.variables) if v is self._optimizer._learning_rate)
        self._optimizer_start = [np.asarray(v.value) for v in self._optimizer.variables]
        self._batch_size = recipe.batch_size
        self._shares = shares(recipe.architecture.device)
        self._compiled = recipe.architecture.device == "cpu" and self._shares is None
        self._run = jax.jit(
            self._chunk, donate_argnums=(0,), out_shardings=None if self._shares is None else self._shares.whole
        )

    def start(self, weights: list[np.ndarray], seed: int) -> Any:
        """A fresh state: these weights, an optimizer that has seen nothing, dropout streams from the seed."""
        streams = [
            np.array([seed, number], np.asarray(v.value).dtype)
            for number, v in enumerate(self._model.non_trainable_variables)
        ]
        return self.load([weights, streams, self._optimizer_start])

    def run(self, state: Any, chunk: Chunk) -> tuple[Any, Any]:
        """The state after the chunk, and [weighted loss sum, weight sum] (still on the device)."""
        data = (chunk.x, chunk.lengths, chunk.y, chunk.weight, chunk.rates)
        if self._shares is not None:
            data = self._shares.spread(data)
        return self._run(state, data, np.int32(chunk.n_steps))

    def weights(self, state: Any) -> list[np.ndarray]:
        return [np.array(a) for a in state[0]]

    def dump(self, state: Any) -> list[list[np.ndarray]]:
        """The whole state as arrays, for a checkpoint."""
        return [[np.array(a) for a in part] for part in state]

    def load(self, parts: list[list[np.ndarray]]) -> Any:
        state = tuple([jnp.array(a) for a in part] for part in parts)
        return state if self._shares is None else jax.device_put(state, self._shares.whole)

    def release(self, state: Any) -> None:
        """Nothing to do: a state's memory goes with the state."""

    def _chunk(self, state: Any, data: Any, n_steps: Any) -> tuple[Any, Any]:
        def step(number: Any, carry: Any) -> Any:
            state, sums = carry
            x, lengths, y, weight, rate = (jax.lax.dynamic_index_in_dim(part, number, keepdims=False) for part in data)
            state, loss = self._step(state, x, lengths, y, weight, rate)
            return state, sums + jnp.stack([loss * self._batch_size, weight.sum()])

        return jax.lax.fori_loop(0, n_steps, step, (state, jnp.zeros(2, jnp.float32)))

    def _step(self, state: Any, x: Any, lengths: Any, y: Any, weight: Any, rate: Any) -> tuple[Any, Any]:
        trainable, streams, optimizer = state

        def objective(trainable: Any) -> tuple[Any, Any]:
            with traced_for("training" if self._compiled else ""):
                (out, _), others = self._model.stateless_call(trainable, streams, [x, lengths], training=True)
            return (self._loss(y, out) * weight).sum() / self._batch_size, others

        (loss, streams), gradients = jax.value_and_grad(objective, has_aux=True)(trainable)
        optimizer = list(optimizer)
        optimizer[self._rate] = rate
        trainable, optimizer = self._optimizer.stateless_apply(optimizer, gradients, trainable)
        return (list(trainable), list(streams), list(optimizer)), loss


class Forward:
    """Prediction: one compiled function per batch size, weights as arguments, so that every fold shares it."""

    def __init__(self, model: Any) -> None:
        streams = [np.asarray(v.value) for v in model.non_trainable_variables]

        def call(weights: Any, x: Any, lengths: Any, embed: bool) -> Any:
            with jax.default_matmul_precision("float32"):  # a GPU's default rounds the factors to TF32
                (out, representation), _ = model.stateless_call(weights, streams, [x, lengths], training=False)
            return representation if embed else out

        self._call = jax.jit(partial(call, embed=False))
        self._embed = jax.jit(partial(call, embed=True))

    def place(self, weights: list[np.ndarray]) -> Any:
        """The weights where the program wants them."""
        return [jnp.array(a) for a in weights]

    def __call__(self, weights: Any, x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        return np.asarray(self._call(weights, x, lengths))

    def embed(self, weights: Any, x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        return np.asarray(self._embed(weights, x, lengths))
