"""The optimizers that a network may train with, built by Keras from a recipe."""

from typing import Any

import keras

OPTIMIZERS = ("adamw", "adam", "sgd")


def build_optimizer(recipe: Any) -> Any:
    """A Keras optimizer whose learning rate is a variable that every step sets."""
    common = {
        "learning_rate": 1e-3,
        "global_clipnorm": recipe.clip_norm,
        "gradient_accumulation_steps": recipe.accumulation if recipe.accumulation > 1 else None,
    }
    if recipe.optimizer == "sgd":
        return keras.optimizers.SGD(momentum=0.9, nesterov=True, weight_decay=recipe.weight_decay or None, **common)
    if recipe.optimizer == "adam":
        return keras.optimizers.Adam(**common)
    optimizer = keras.optimizers.AdamW(weight_decay=recipe.weight_decay, **common)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "table"])
    return optimizer
