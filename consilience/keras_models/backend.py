"""Which Keras backend runs, decided once, before Keras is imported."""

import os
import sys
from types import ModuleType

from consilience.base.errors import InvalidInput, MissingDependency, nearest

BACKENDS = ("jax", "tensorflow", "torch")


def choose_backend() -> str:
    """Set ``KERAS_BACKEND`` to jax where nothing is chosen, refuse what cannot train, and give the choice.

    Raises
    ------
    InvalidInput : ``KERAS_BACKEND`` names something else than jax, tensorflow or torch.
    MissingDependency : the backend that it names is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault(
        "TF_ENABLE_ONEDNN_OPTS", "0"
    )  # XLA compiles our graphs; this spares a warning at every import
    # GPU memory as needed, not the whole card; read when a backend first looks for devices, not when Keras is imported
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    loaded = sys.modules.get("keras")
    if loaded is not None and hasattr(loaded, "backend"):
        return _known(loaded.backend.backend())
    name = _known(os.environ.setdefault("KERAS_BACKEND", "jax"))
    if not _installed(name):
        raise MissingDependency(
            f"KERAS_BACKEND is {name!r}, but {name} is not installed. Install it, or choose another of {_choices()}."
        )
    return name


def program_module() -> ModuleType:
    """The module that compiles training and prediction for the running backend."""
    name = choose_backend()
    if name == "jax":
        from consilience.keras_models import _jax_program as module
    elif name == "tensorflow":
        from consilience.keras_models import _tensorflow_program as module  # type: ignore[no-redef]
    else:
        from consilience.keras_models import _torch_program as module  # type: ignore[no-redef]
    return module


def _known(name: str) -> str:
    if name not in BACKENDS:
        raise InvalidInput(f"KERAS_BACKEND must be one of {_choices()}. Got {name!r} instead.{nearest(name, BACKENDS)}")
    return name


def _choices() -> str:
    return ", ".join(BACKENDS)


def _installed(name: str) -> bool:
    from importlib.util import find_spec

    return find_spec(name) is not None
