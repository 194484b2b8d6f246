"""consilience: very different models on one market series, joined, judged honestly, kept safely.

Importing this package imports nothing else; each part is imported when it is first used, so that
loading a forest never imports Keras.
"""

from importlib import import_module
from types import ModuleType

__version__ = "0.1.0"

_PARTS = (
    "base",
    "boosting",
    "cli",
    "data",
    "ensemble",
    "evaluation",
    "keras_models",
    "kernels",
    "registry",
    "serving",
    "training",
)

__all__ = ["__version__", *_PARTS]


def __getattr__(name: str) -> ModuleType:
    if name in _PARTS:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
