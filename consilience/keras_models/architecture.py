"""A network as a small typed value: what decides its shape, and nothing else. Equal values share a compiled program."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import keras
import numpy as np

from consilience.keras_models.layers import FeatureGate
from consilience.keras_models.layers.initial import dense, glorot_uniform, orthogonal, small_normal

Body = Callable[[Any, Any, dict[str, Any]], Any]
_BODIES: dict[str, Body] = {}
# weights as the layers made them: tensorflow and torch train the model's own variables, which then start nothing
_UNTRAINED: WeakKeyDictionary[Any, list[np.ndarray]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Architecture:
    """What a network is built from.

    Attributes
    ----------
    family : "lstm", "transformer" or "cnn".
    window, n_features : shape of one input.
    n_outputs : classes or targets.
    options : sorted (name, value) pairs that the family reads.
    precision : the dtype policy, "float32" or "mixed_bfloat16".
    device : "cpu" or "gpu:N"; the layers take cuDNN's and flash attention's paths on a GPU.
    """

    family: str
    window: int
    n_features: int
    n_outputs: int
    options: tuple[tuple[str, Any], ...]
    precision: str = "float32"
    device: str = "cpu"


def body(family: str) -> Callable[[Body], Body]:
    """Register the function (x, lengths, options) -> representation (batch, width) of a family."""

    def register(function: Body) -> Body:
        _BODIES[family] = function
        return function

    return register


@lru_cache(maxsize=32)
def network(architecture: Architecture) -> Any:
    """The Keras model of an architecture, one per process.

    Its own weights are only a template: programs are given the weights of the predictor that they run for.
    """
    return build_network(architecture)


def build_network(architecture: Architecture) -> Any:
    """A Keras model of its own: inputs [windows, lengths], outputs [logits or values, representation]."""
    options = dict(architecture.options)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(architecture.precision)
    try:
        x = keras.Input((architecture.window, architecture.n_features), name="windows")
        lengths = keras.Input((), dtype="int32", name="lengths")
        hidden = FeatureGate(name="gate")(x) if options.get("feature_gate") else x
        representation = _BODIES[architecture.family](hidden, lengths, options)
        head = dense(architecture.n_outputs, name="head", dtype="float32")
        model = keras.Model([x, lengths], [head(representation), representation], name=architecture.family)
    finally:
        keras.config.set_dtype_policy(before)
    _UNTRAINED[model] = [np.array(keras.ops.convert_to_numpy(v.value), np.float32) for v in model.trainable_variables]
    return model


def initial_weights(model: Any, seed: int) -> list[np.ndarray]:
    """Starting values of the trainable weights, drawn with numpy: one seed gives one start on every backend.

    Constants of the layers (zero biases, unit scales, the LSTM's forget bias) stay; kernels are Glorot-uniform,
    recurrent kernels orthogonal, position tables normal.
    """
    values = []
    for number, (variable, template) in enumerate(zip(model.trainable_variables, _UNTRAINED[model])):
        rng = np.random.default_rng([seed, number])
        values.append(_draw(variable.path, template, rng))
    return values


def _draw(path: str, template: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if path.endswith("/recurrent_kernel"):
        return orthogonal(template.shape, rng)
    if path.endswith("/table"):
        return small_normal(template.shape, rng)
    if not path.endswith("kernel") or not template.any():
        return template.copy()
    return glorot_uniform(template.shape, rng)
