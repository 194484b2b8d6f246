"""Where a version comes from: what the caller says, completed by what can be found out here."""

import functools
import hashlib
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from consilience.base import State
from consilience.base.state import canonical_json
from consilience.registry.numbering import recipe

_PACKAGES = (
    *(
        "consilience",
        "numpy",
        "scipy",
        "pandas",
        "scikit-learn",
        "numba",
        "keras",
        "jax",
        "tensorflow",
        "tensorflow-cpu",
    ),
    *("torch", "xgboost", "xgboost-cpu", "lightgbm", "orbax-checkpoint"),
)


def complete(given: dict[str, Any] | None, state: State, digests: list[str]) -> dict[str, Any]:
    """The lineage that a version is stored with: what the caller gave wins over what is found out.

    Parameters
    ----------
    digests : artifacts of the model, its members first, itself last.
    """
    found = {
        "members": members(state),
        "artifacts": digests,
        "config_hash": hashlib.sha256(canonical_json(recipe(state)).encode()).hexdigest(),
        **environment(),
    }
    return found | (given or {})


def members(state: State) -> dict[str, str]:
    """Name to content digest of each member of an ensemble."""
    return {name: child.digest() for name, child in state.children.items()}


@functools.cache
def _packages() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def environment() -> dict[str, Any]:
    """Code, packages and hardware of this process."""
    return {
        "git": git_state(Path.cwd()),
        "packages": _packages(),
        "python": platform.python_version(),
        "backend": os.environ.get("KERAS_BACKEND") or _loaded_backend(),
        "hardware": {
            "machine": platform.machine(),
            "system": platform.system(),
            "cpu": _cpu(),
            "cores": os.cpu_count(),
        },
    }


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit, and whether tracked files differ from it; None outside a checkout or without git."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        timeout=5,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return done.stdout.strip()


def _loaded_backend() -> str | None:
    keras = sys.modules.get("keras")
    return str(keras.backend.backend()) if keras is not None else None


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor()
