"""One predictor in one file, for scripts that need no registry: a numpy archive without pickle, written atomically."""

import json
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from consilience.base.errors import InvalidInput, InvalidState
from consilience.base.state import State, canonical_json

_FORMAT = 1


def write_state(state: State, path: Path) -> None:
    """Write to a temporary file beside ``path``, sync it, and rename it into place."""
    if not path.parent.is_dir():
        raise InvalidInput(f"Cannot save to {path}: the folder {path.parent} does not exist.")
    arrays: dict[str, np.ndarray] = {}
    tree = _flatten(state, arrays)
    header = canonical_json({"format": _FORMAT, "digest": state.digest(), "tree": tree})
    arrays["header"] = np.frombuffer(header.encode(), np.uint8)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_state(path: Path) -> State:
    """Read a file of ``write_state``; whatever is not exactly as written is refused."""
    if not path.is_file():
        raise InvalidInput(f"There is no saved predictor at {path}.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        header = json.loads(arrays.pop("header").tobytes().decode())
        if header["format"] != _FORMAT:
            raise InvalidState(f"{path} has format {header['format']!r}; this release reads format {_FORMAT}.")
        state = _unflatten(header["tree"], arrays)
        intact = state.digest() == header["digest"]
    except (InvalidState, MemoryError):
        raise
    except (ValueError, KeyError, TypeError, EOFError, OSError, zipfile.BadZipFile, RecursionError) as error:
        raise InvalidState(
            f"{path} is not a saved predictor, or it is damaged ({type(error).__name__}: {error})."
        ) from error
    if not intact:
        raise InvalidState(f"{path} is damaged: its content does not match its digest.")
    return state


def _flatten(state: State, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Arrays get generated names, so that no stored name can collide or name a path."""
    keys = {}
    for name, array in state.arrays.items():
        keys[name] = f"a{len(arrays)}"
        arrays[keys[name]] = array
    children = [[name, _flatten(child, arrays)] for name, child in state.children.items()]
    return {"kind": state.kind, "spec": state.spec, "arrays": keys, "children": children}


def _unflatten(tree: dict[str, Any], arrays: dict[str, np.ndarray]) -> State:
    return State(
        kind=tree["kind"],
        spec=tree["spec"],
        arrays={name: arrays[key] for name, key in tree["arrays"].items()},
        children={name: _unflatten(child, arrays) for name, child in tree["children"]},
    )
