"""Training and prediction compiled by TensorFlow: a chunk of steps is one graph, XLA-compiled where there is no GPU."""

import threading
from typing import Any

import numpy as np
import tensorflow as tf

from consilience.keras_models.device import accelerated
from consilience.keras_models.losses import LOSSES
from consilience.keras_models.optimizers import build_optimizer
from consilience.keras_models.programs import Chunk, Recipe


class Trainer:
    """As the JAX program. TensorFlow trains the model's own variables, so one training at a time uses them: the state
    that ``run`` takes and gives is put in and read out only when another training came between.
    """

    def __init__(self, model: Any, recipe: Recipe) -> None:
        self._model = model
        self._optimizer = build_optimizer(recipe)
        self._optimizer.build(model.trainable_variables)
        self._loss = LOSSES[recipe.loss]
        self._batch_size = recipe.batch_size
        self._optimizer_start = [np.array(v.numpy()) for v in self._optimizer.variables]
        self._lock = threading.RLock()
        self._inside: _Ticket | None = None
        # cuDNN's LSTM is no XLA operation, so a GPU runs the plain graph
        self._run = tf.function(self._chunk, jit_compile=not accelerated())

    def start(self, weights: list[np.ndarray], seed: int) -> Any:
        streams = [
            np.array([seed, number], v.numpy().dtype) for number, v in enumerate(self._model.non_trainable_variables)
        ]
        return self.load([list(weights), streams, list(self._optimizer_start)])

    def run(self, state: Any, chunk: Chunk) -> tuple[Any, Any]:
        with self._lock:
            self._enter(state)
            data = (chunk.x, chunk.lengths, chunk.y, chunk.weight, chunk.rates)
            sums = self._run([tf.constant(part) for part in data], tf.constant(chunk.n_steps, tf.int32))
            return state, sums.numpy()

    def weights(self, state: "_Ticket") -> list[np.ndarray]:
        return self.dump(state)[0]

    def dump(self, state: "_Ticket") -> list[list[np.ndarray]]:
        with self._lock:
            if self._inside is state:
                state.parts = self._read()
            return [[np.array(a) for a in part] for part in state.parts]

    def load(self, parts: list[list[np.ndarray]]) -> Any:
        return _Ticket([[np.array(a) for a in part] for part in parts])

    def _variables(self) -> list[list[Any]]:
        return [
            list(self._model.trainable_variables),
            list(self._model.non_trainable_variables),
            list(self._optimizer.variables),
        ]

    def _read(self) -> list[list[np.ndarray]]:
        return [[np.array(v.numpy()) for v in part] for part in self._variables()]

    def _enter(self, state: "_Ticket") -> None:
        if self._inside is state:
            return
        if self._inside is not None:
            self._inside.parts = self._read()
        for variables, values in zip(self._variables(), state.parts):
            for variable, value in zip(variables, values):
                variable.assign(value)
        self._inside = state

    def _chunk(self, data: Any, n_steps: Any) -> Any:
        sums = tf.zeros(2)
        for number in tf.range(n_steps):
            x, lengths, y, weight, rate = (part[number] for part in data)
            sums += self._step(x, lengths, y, weight, rate)
        return sums

    def _step(self, x: Any, lengths: Any, y: Any, weight: Any, rate: Any) -> Any:
        self._optimizer.learning_rate.assign(rate)
        with tf.GradientTape() as tape:
            out, _ = self._model([x, lengths], training=True)
            loss = tf.reduce_sum(self._loss(y, out) * weight) / self._batch_size
        gradients = tape.gradient(loss, self._model.trainable_variables)
        self._optimizer.apply(gradients, self._model.trainable_variables)
        return tf.stack([loss * self._batch_size, tf.reduce_sum(weight)])


class _Ticket:
    """One training's values while they are not in the model's variables: weights, dropout streams, optimizer."""

    def __init__(self, parts: list[list[np.ndarray]]) -> None:
        self.parts = parts


class Forward:
    """As the JAX program: weights are arguments of one compiled function, shared by every fold."""

    def __init__(self, model: Any) -> None:
        streams = [np.asarray(v) for v in model.non_trainable_variables]

        def call(embed: bool) -> Any:
            def run(weights: Any, x: Any, lengths: Any) -> Any:
                (out, representation), _ = model.stateless_call(weights, streams, [x, lengths], training=False)
                return representation if embed else out

            return tf.function(run, jit_compile=not accelerated())

        self._call, self._embed = call(False), call(True)

    def place(self, weights: list[np.ndarray]) -> Any:
        return [tf.constant(a) for a in weights]

    def __call__(self, weights: Any, x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        return self._call(_placed(weights), tf.constant(x), tf.constant(lengths)).numpy()

    def embed(self, weights: Any, x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        return self._embed(_placed(weights), tf.constant(x), tf.constant(lengths)).numpy()


def _placed(weights: Any) -> Any:
    return [tf.constant(a) for a in weights] if isinstance(weights[0], np.ndarray) else weights
