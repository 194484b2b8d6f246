"""Training and prediction on PyTorch: plain eager steps, which is what Keras's torch backend does best."""

from typing import Any

import keras
import numpy as np
import torch

from consilience.keras_models.in_place import InPlaceTrainer, Ticket
from consilience.keras_models.programs import Chunk


class Trainer(InPlaceTrainer):
    """As the TensorFlow program: the model's own variables are trained, by one training at a time."""

    def run(self, state: Ticket, chunk: Chunk) -> tuple[Ticket, Any]:
        with self._seat.lock:
            self._enter(state)
            sums = np.zeros(2)
            for step in range(chunk.n_steps):
                batch = (chunk.x[step], chunk.lengths[step], chunk.y[step], chunk.weight[step])
                x, lengths, y, weight = (keras.ops.convert_to_tensor(part) for part in batch)
                sums += self._step(x, lengths, y, weight, float(chunk.rates[step]))
            return state, sums

    def _array(self, variable: Any) -> np.ndarray:
        return _numpy(variable).copy()

    def _step(self, x: Any, lengths: Any, y: Any, weight: Any, rate: float) -> np.ndarray:
        self._optimizer.learning_rate.assign(rate)
        out, _ = self._model([x, lengths], training=True)
        loss = (self._loss(y, out) * weight).sum() / self._batch_size
        variables = self._model.trainable_variables
        gradients = torch.autograd.grad(loss, [v.value for v in variables])
        with torch.no_grad():
            self._optimizer.apply(list(gradients), variables)
        return np.array([float(loss.detach()) * self._batch_size, float(weight.sum())])


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
