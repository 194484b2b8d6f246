"""The optimizers that a network may train with, built by Keras from a recipe."""

from typing import Any

import keras

OPTIMIZERS = ("adamw", "adam", "sgd")


def build_optimizer(recipe: Any) -> Any:
    """A Keras optimizer whose learning rate is a variable that every step sets.

    Each of them shrinks the kernels by ``weight_decay`` times the learning rate per update, apart from the gradient;
    biases, norms and position tables are left alone. So "adam" is "adamw", and differs from it only in name.
    """
    common = {
        "learning_rate": 1e-3,
        "weight_decay": recipe.weight_decay or None,
        "global_clipnorm": recipe.clip_norm,
        "gradient_accumulation_steps": recipe.accumulation if recipe.accumulation > 1 else None,
    }
    if recipe.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(momentum=0.9, nesterov=True, **common)
    else:
        optimizer = keras.optimizers.Adam(**common)
    if recipe.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "table"])
    return optimizer
