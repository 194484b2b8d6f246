"""Parameters of the sequence networks, checked at ``fit`` and again when a stored one is restored."""

import math
from typing import Any

from consilience.base import invalid, nearest
from consilience.keras_models.augmentation import check_augmentation
from consilience.keras_models.device import resolve_device
from consilience.keras_models.layers.pooling import POOLINGS
from consilience.keras_models.losses import LOSSES
from consilience.keras_models.optimizers import OPTIMIZERS

SCHEDULES = ("cosine", "constant", "plateau")
POSITIONS = ("sinusoidal", "learned", "rotary", "none")
PRECISIONS = ("float32", "bfloat16", "auto")

_COUNTS = {  # name: (least, most); the upper ends keep a hostile state from asking for all memory
    "window": (1, 4096),
    "units": (1, 4096),
    "width": (1, 4096),
    "heads": (1, 64),
    "layers": (1, 32),
    "filters": (1, 4096),
    "kernel_size": (1, 64),
    "epochs": (1, 100_000),
    "batch_size": (1, 65_536),
    "accumulation": (1, 1024),
}
_CHOICES = {
    "pooling": POOLINGS,
    "schedule": SCHEDULES,
    "optimizer": OPTIMIZERS,
    "positions": POSITIONS,
    "precision": PRECISIONS,
    "loss": tuple(name for name in LOSSES if name != "cross_entropy"),
}
_NUMBERS = {  # name: (least, most, whether least itself is allowed)
    "learning_rate": (0.0, 10.0, False),
    "weight_decay": (0.0, 10.0, True),
    "dropout": (0.0, 0.95, True),
    "warmup": (0.0, 0.9, True),
}


def check_sequence_params(model: Any) -> None:
    """Raise ``InvalidInput`` for the first constructor parameter that cannot be used."""
    owner = type(model).__name__
    for name, value in model.get_params(deep=False).items():
        if name in _COUNTS:
            _integer(name, owner, value, *_COUNTS[name])
        elif name in _CHOICES:
            if value not in _CHOICES[name]:
                listed = ", ".join(repr(choice) for choice in _CHOICES[name])
                raise invalid(name, owner, f"one of {listed}", value, nearest(str(value), _CHOICES[name]).strip())
        elif name in _NUMBERS:
            _number(name, owner, value, *_NUMBERS[name])
    if model.patience is not None:
        _integer("patience", owner, model.patience, 1, 100_000)
    if model.random_state is not None:
        _integer("random_state", owner, model.random_state, 0, 2**63 - 1, " or None")
    if model.clip_norm is not None:
        _number("clip_norm", owner, model.clip_norm, 0.0, 1e6, False)
    if not isinstance(model.feature_gate, bool):
        raise invalid("feature_gate", owner, "True or False", model.feature_gate)
    if model.checkpoint is not None and not isinstance(model.checkpoint, str):
        raise invalid("checkpoint", owner, "None or the path of a folder", model.checkpoint)
    check_augmentation(model.augmentation, owner)
    resolve_device(model.device, owner, strict=False)
    _check_widths(model, owner)


def _check_widths(model: Any, owner: str) -> None:
    width = getattr(model, "width", None)
    if width is None:
        return
    if width % model.heads:
        raise invalid("width", owner, f"a multiple of heads = {model.heads}", width)
    if model.positions == "sinusoidal" and width % 2:
        raise invalid("width", owner, "even with sinusoidal positions", width)
    if model.positions == "rotary" and (width // model.heads) % 2:
        raise invalid("width", owner, f"an even multiple of heads = {model.heads} with rotary positions", width)


def _integer(name: str, owner: str, value: Any, least: int, most: int, other: str = "") -> None:
    if isinstance(value, bool) or not hasattr(value, "__index__") or not least <= value <= most:
        raise invalid(name, owner, f"an integer from {least} to {most}{other}", value)


def _number(name: str, owner: str, value: Any, least: float, most: float, with_least: bool) -> None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, str | bool) or not least <= number <= most or (number == least and not with_least):
        raise invalid(
            name, owner, f"a number {'from' if with_least else 'above'} {least:g} and at most {most:g}", value
        )
