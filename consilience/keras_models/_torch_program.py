"""Training and prediction on PyTorch: plain eager steps, which is what Keras's torch backend does best."""

import threading
from typing import Any

import keras
import numpy as np
import torch

from consilience.keras_models.losses import LOSSES
from consilience.keras_models.optimizers import build_optimizer
from consilience.keras_models.programs import Chunk, Recipe


class Trainer:
    """As the TensorFlow program: the model's own variables are trained, by one training at a time."""

    def __init__(self, model: Any, recipe: Recipe) -> None:
        self._model = model
        self._optimizer = build_optimizer(recipe)
        self._optimizer.build(model.trainable_variables)
        self._loss = LOSSES[recipe.loss]
        self._batch_size = recipe.batch_size
        self._optimizer_start = [_numpy(v) for v in self._optimizer.variables]
        self._lock = threading.RLock()
        self._inside: _Ticket | None = None

    def start(self, weights: list[np.ndarray], seed: int) -> Any:
        streams = [
            np.array([seed, number], _numpy(v).dtype) for number, v in enumerate(self._model.non_trainable_variables)
        ]
        return self.load([list(weights), streams, list(self._optimizer_start)])

    def run(self, state: Any, chunk: Chunk) -> tuple[Any, Any]:
        with self._lock:
            self._enter(state)
            sums = np.zeros(2)
            for step in range(chunk.n_steps):
                batch = (chunk.x[step], chunk.lengths[step], chunk.y[step], chunk.weight[step])
                x, lengths, y, weight = (keras.ops.convert_to_tensor(part) for part in batch)
                sums += self._step(x, lengths, y, weight, float(chunk.rates[step]))
            return state, sums

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
        return [[_numpy(v).copy() for v in part] for part in self._variables()]

    def _enter(self, state: "_Ticket") -> None:
        if self._inside is state:
            return
        if self._inside is not None:
            self._inside.parts = self._read()
        for variables, values in zip(self._variables(), state.parts):
            for variable, value in zip(variables, values):
                variable.assign(value)
        self._inside = state

    def _step(self, x: Any, lengths: Any, y: Any, weight: Any, rate: float) -> np.ndarray:
        self._optimizer.learning_rate.assign(rate)
        out, _ = self._model([x, lengths], training=True)
        loss = (self._loss(y, out) * weight).sum() / self._batch_size
        variables = self._model.trainable_variables
        gradients = torch.autograd.grad(loss, [v.value for v in variables])
        with torch.no_grad():
            self._optimizer.apply(list(gradients), variables)
        return np.array([float(loss.detach()) * self._batch_size, float(weight.sum())])


class _Ticket:
    """One training's values while they are not in the model's variables: weights, dropout streams, optimizer."""

    def __init__(self, parts: list[list[np.ndarray]]) -> None:
        self.parts = parts


class Forward:
    """As the JAX program, eager: the weights are laid over the model's variables for the call."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._streams = [v.value for v in model.non_trainable_variables]

    def place(self, weights: list[np.ndarray]) -> Any:
        return [keras.ops.convert_to_tensor(a) for a in weights]

    def __call__(self, weights: Any, x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        return self._both(weights, x, lengths)[0]

    def embed(self, weights: Any, x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        return self._both(weights, x, lengths)[1]

    def _both(self, weights: Any, x: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if isinstance(weights[0], np.ndarray):
            weights = self.place(weights)
        inputs = [keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(lengths)]
        with torch.inference_mode():
            (out, representation), _ = self._model.stateless_call(weights, self._streams, inputs, training=False)
        return _numpy(out), _numpy(representation)


def _numpy(value: Any) -> np.ndarray:
    return keras.ops.convert_to_numpy(value)
