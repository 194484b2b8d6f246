"""Where a version comes from: what the caller says, completed by what can be found out here."""

import functools
import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from consilience.base import State
from consilience.base.state import canonical_json
from consilience.registry.errors import RegistryError
from consilience.registry.numbering import recipe
from consilience.registry.version import Version

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


def with_ancestors(version: Version, show: Callable[[str], Version]) -> dict[str, Any]:
    """A version's lineage, and under ``ancestors`` those of its parents and theirs; None for one that is elsewhere."""
    ancestors: dict[str, Any] = {}
    wanted = list(version.lineage.get("parents") or [])
    while wanted:
        parent = str(wanted.pop(0))
        if parent in ancestors:
            continue
        try:
            found = show(parent)
        except RegistryError:
            ancestors[parent] = None
            continue
        ancestors[parent] = found.lineage
        wanted += found.lineage.get("parents") or []
    return {"version": version.ref, "digest": version.digest, **version.lineage, "ancestors": ancestors}


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
