"""One predictor in one file, without a registry: a JSON header and raw arrays behind a digest, no pickle."""

import hashlib
import json
import math
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from consilience.base.errors import InvalidInput, InvalidState
from consilience.base.state import State, canonical_json

_MAGIC = b"consilience-state-1\n"
_DIGEST = 32


def write_state(state: State, path: Path) -> None:
    """Write to a temporary file beside ``path``, sync it, and rename it into place."""
    if not path.parent.is_dir():
        raise InvalidInput(f"Cannot save to {path}: the folder {path.parent} does not exist.")
    blocks: list[bytes] = []
    header = canonical_json(_describe(state, blocks)).encode()
    body = b"".join([len(header).to_bytes(8, "little"), header, *blocks])
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_MAGIC + hashlib.sha256(body).digest() + body)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_state(path: Path) -> State:
    """Read a file of ``write_state``; the digest is checked before a byte of it is interpreted."""
    if not path.is_file():
        raise InvalidInput(f"There is no saved predictor at {path}.")
    data = path.read_bytes()
    start = len(_MAGIC) + _DIGEST
    if not data.startswith(_MAGIC):
        raise InvalidState(f"{path} is not a saved predictor of this release.")
    if hashlib.sha256(memoryview(data)[start:]).digest() != data[len(_MAGIC) : start]:
        raise InvalidState(f"{path} is damaged: its content does not match its digest.")
    try:
        size = int.from_bytes(data[start : start + 8], "little")
        header = data[start + 8 : start + 8 + size]
        return _rebuild(json.loads(header.decode()), memoryview(data)[start + 8 + size :])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidState(f"{path} is not a saved predictor ({type(error).__name__}: {error}).") from error


def _describe(state: State, blocks: list[bytes]) -> dict[str, Any]:
    """The state's header; each array is described by type, shape and the place of its bytes."""
    arrays = {}
    for name, array in state.arrays.items():
        little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
        arrays[name] = [little.dtype.str, list(array.shape), sum(map(len, blocks))]
        blocks.append(little.tobytes())
    children = [[name, _describe(child, blocks)] for name, child in state.children.items()]
    return {"kind": state.kind, "spec": state.spec, "arrays": arrays, "children": children}


def _rebuild(header: dict[str, Any], data: memoryview) -> State:
    arrays = {}
    for name, (dtype, shape, offset) in header["arrays"].items():
        kind = np.dtype(str(dtype))
        if kind.hasobject or any(side < 0 for side in shape) or offset < 0:
            raise ValueError(f"array {name!r} is described as {dtype} {shape} at {offset}")
        arrays[name] = np.frombuffer(data, kind, math.prod(shape), offset).reshape(shape).copy()
    children = {name: _rebuild(child, data) for name, child in header["children"]}
    return State(header["kind"], header["spec"], arrays, children)
