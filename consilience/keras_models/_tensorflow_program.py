"""Training and prediction compiled by TensorFlow: a chunk of steps is one graph, XLA-compiled where there is no GPU."""

from typing import Any

import numpy as np
import tensorflow as tf

from consilience.keras_models.device import accelerated
from consilience.keras_models.in_place import InPlaceTrainer, Ticket
from consilience.keras_models.programs import Chunk, Recipe


class Trainer(InPlaceTrainer):
    """As the JAX program. TensorFlow trains the model's own variables, so one training at a time uses them: the state
    that ``run`` takes and gives is put in and read out only when another training came between.
    """

    def __init__(self, model: Any, recipe: Recipe) -> None:
        super().__init__(model, recipe)
        # cuDNN's LSTM is no XLA operation, so a GPU runs the plain graph
        self._run = tf.function(self._chunk, jit_compile=not accelerated())

    def run(self, state: Ticket, chunk: Chunk) -> tuple[Ticket, Any]:
        with self._seat.lock:
            self._enter(state)
            data = (chunk.x, chunk.lengths, chunk.y, chunk.weight, chunk.rates)
            sums = self._run([tf.constant(part) for part in data], tf.constant(chunk.n_steps, tf.int32))
            return state, sums.numpy()

    def _array(self, variable: Any) -> np.ndarray:
        return np.array(variable.numpy())

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
