"""Training and prediction compiled by TensorFlow: a chunk of steps is one graph, XLA-compiled where there is no GPU."""

import math
import threading
from typing import Any

import numpy as np
import tensorflow as tf

from consilience.keras_models.device import accelerated
from consilience.keras_models.in_place import InPlaceTrainer, Ticket
from consilience.keras_models.layers.recurrence import traced_for
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
    """As the JAX program: the weights are an argument of one compiled function per batch size, shared by every fold."""

    def __init__(self, model: Any) -> None:
        self._call, self._embed = _Output(model, embed=False), _Output(model, embed=True)

    def place(self, weights: list[np.ndarray]) -> Any:
        return tf.constant(np.concatenate([np.asarray(a, np.float32).ravel() for a in weights]))

    def __call__(self, weights: Any, x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        return self._call(weights, x, lengths)

    def embed(self, weights: Any, x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        return self._embed(weights, x, lengths)


class _Output:
    """One of a network's two outputs.

    A call of a small network is mostly TensorFlow's own work, which grows with the number of arguments and with what it
    has to find out about them: hence one vector of all weights, and functions whose shapes are settled.
    """

    def __init__(self, model: Any, embed: bool) -> None:
        self._model, self._embed = model, embed
        self._streams = [np.asarray(v) for v in model.non_trainable_variables]
        self._shapes = [tuple(v.shape) for v in model.trainable_variables]
        self._compiled: dict[tuple[int, ...], Any] = {}
        self._whole: dict[int, Any] = {}  # the lengths of so many whole windows, by far the most frequent
        self._lock = threading.Lock()

    def __call__(self, weights: Any, x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        function = self._compiled.get(x.shape)
        if function is None:
            with self._lock:
                function = self._compiled.get(x.shape) or self._compile(x.shape)
        whole = self._whole.get(len(x)) if lengths.min() == x.shape[1] else None
        return function([weights, tf.constant(x), tf.constant(lengths) if whole is None else whole]).numpy()

    def _cache_size(self) -> int:
        return len(self._compiled)

    def _compile(self, shape: tuple[int, ...]) -> Any:
        sizes = [math.prod(own) for own in self._shapes]

        def run(packed: Any, x: Any, lengths: Any) -> Any:
            weights = [tf.reshape(part, own) for part, own in zip(tf.split(packed, sizes), self._shapes)]
            with traced_for("prediction"):
                (out, representation), _ = self._model.stateless_call(
                    weights, self._streams, [x, lengths], training=False
                )
            return representation if self._embed else out

        signature = [tf.TensorSpec((sum(sizes),)), tf.TensorSpec(shape), tf.TensorSpec(shape[:1], tf.int32)]
        function = tf.function(run, input_signature=signature, jit_compile=not accelerated()).get_concrete_function()
        inner = getattr(getattr(function, "inference_fn", None), "call_preflattened", None)  # without checks of types
        self._whole[shape[0]] = tf.constant(np.full(shape[0], shape[1], np.int32))
        self._compiled[shape] = inner or (lambda given: function(*given))
        return self._compiled[shape]
