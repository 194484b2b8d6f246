"""What a fitted predictor is reduced to before it is stored: a JSON-able spec, numpy arrays, and its children."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from consilience.base.errors import InvalidState

Spec = dict[str, Any]
Arrays = dict[str, np.ndarray]

_STORABLE = "biuf"  # bool, signed, unsigned, float: text belongs in the spec, bytes are stored as uint8


@dataclass(frozen=True)
class State:
    """A fitted predictor as data: no pickle, no code.

    Parameters
    ----------
    kind : the class, by its name in ``base.catalog``.
    spec : JSON-able dictionary (str keys; str, int, finite float, bool, None, list, dict as values).
    arrays : name to numpy array (bool, integer or float; NaN allowed).
    children : name to State, for ensembles, in order.
    """

    kind: str
    spec: Spec
    arrays: Arrays = field(default_factory=dict)
    children: Mapping[str, "State"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_spec(self.spec, self.kind)
        for name, array in self.arrays.items():
            if not isinstance(array, np.ndarray) or array.dtype.kind not in _STORABLE:
                raise InvalidState(
                    f"{self.kind}: array {name!r} must be a bool, integer or float numpy array; "
                    f"got {getattr(array, 'dtype', type(array).__name__)}."
                )

    def digest(self) -> str:
        """SHA-256 over kind, spec, names, dtypes, shapes, bytes, and the children's digests, in order."""
        content = hashlib.sha256()

        def add(data: bytes) -> None:
            content.update(len(data).to_bytes(8, "little"))
            content.update(data)

        add(self.kind.encode())
        add(canonical_json(self.spec).encode())
        for name in sorted(self.arrays):
            array = np.ascontiguousarray(self.arrays[name])
            little = array.astype(array.dtype.newbyteorder("<"), copy=False)
            add(f"{name}|{little.dtype.str}|{self.arrays[name].shape}".encode())
            add(little.tobytes())
        for name, child in self.children.items():
            add(f"{name}|{child.digest()}".encode())
        return content.hexdigest()


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no spaces: the same value gives the same text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def check_spec(value: object, owner: str, path: str = "spec") -> None:
    """Refuse whatever would not come back from JSON as it went in."""
    if value is None or isinstance(value, bool | int | str):
        return
    if isinstance(value, float):
        if math.isfinite(value):
            return
        raise InvalidState(f"{owner}: {path} is {value}, which JSON cannot hold; store it in an array.")
    if isinstance(value, list):
        for position, item in enumerate(value):
            check_spec(item, owner, f"{path}[{position}]")
        return
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise InvalidState(f"{owner}: {path} has the key {key!r}; keys must be strings.")
            check_spec(item, owner, f"{path}.{key}")
        return
    raise InvalidState(f"{owner}: {path} holds a {type(value).__name__}, which cannot be stored as JSON.")
