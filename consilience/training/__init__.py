"""The training recipe, its configuration, and the search for better settings."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from consilience.training.config import Config
    from consilience.training.result import Result
    from consilience.training.train import train
    from consilience.training.tune import tune

_MODULES = {"Config": "config", "Result": "result", "train": "train", "tune": "tune"}

__all__ = ["Config", "Result", "train", "tune"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
