"""One State as one folder: ``spec.json``, ``arrays/`` (Orbax), ``native/`` (for other tools only), ``manifest.json``.

A child of at least 64 KiB is an artifact of its own, referred to by its digest: two ensembles that share a member share
its files. Smaller children are kept inside their parent. What goes where follows from the state alone.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from consilience.base import InvalidState, State
from consilience.registry import checkpoint, durable
from consilience.registry.errors import DamagedArtifact, StorageFailed
from consilience.registry.manifest import LIMITS, MANIFEST, Limits, build_manifest, parse_json, read_limited
from consilience.registry.names import check_digest

_OWN_ARTIFACT = 64 << 10  # bytes of arrays from which a child is worth its own folder


@dataclass(frozen=True)
class Part:
    """A state that becomes one artifact, with the digests of the children that are artifacts themselves."""

    digest: str
    state: State
    children: tuple[str, ...]


def split(state: State) -> list[Part]:
    """The artifacts that a state consists of, children before parents, each digest once."""
    parts: dict[str, Part] = {}

    def visit(node: State) -> None:
        own: list[str] = []

        def inside(parent: State) -> None:
            for child in parent.children.values():
                if is_separate(child):
                    visit(child)
                    own.append(child.digest())
                else:
                    inside(child)

        inside(node)
        digest = node.digest()
        parts.setdefault(digest, Part(digest, node, tuple(sorted(set(own)))))

    visit(state)
    return list(parts.values())


def is_separate(state: State) -> bool:
    """Whether a child is stored as an artifact of its own."""
    return _array_bytes(state) >= _OWN_ARTIFACT


def _array_bytes(state: State) -> int:
    return sum(array.nbytes for array in state.arrays.values()) + sum(map(_array_bytes, state.children.values()))


def write(part: Part, folder: Path, native: Mapping[str, bytes] | None = None) -> str:
    """Write an artifact into an empty folder and read it back; gives the SHA-256 of its manifest.

    Raises
    ------
    InvalidState : the state would not come back exactly as it is.
    StorageFailed : what was written cannot be read.
    """
    arrays: list[np.ndarray] = []
    tree = _describe(part.state, arrays, root=True)
    if (total := sum(array.nbytes for array in arrays)) > LIMITS.total_bytes // 2:
        raise InvalidState(f"{part.state.kind} has {total} bytes of arrays; the limit is {LIMITS.total_bytes // 2}.")
    packed, places = checkpoint.pack(arrays)
    spec = {"format": 1, "tree": tree, "places": places, "sizes": checkpoint.describe(packed)}
    try:
        raw = json.dumps(spec, separators=(",", ":"), allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise InvalidState(f"{part.state.kind}: its spec cannot be stored as JSON ({error}).") from error
    if len(raw) > LIMITS.spec_bytes:
        raise InvalidState(
            f"{part.state.kind}: its spec has {len(raw)} bytes of JSON; the limit is {LIMITS.spec_bytes}."
        )
    durable.write_file(folder / "spec.json", raw)
    durable.step("spec written")
    if packed:
        checkpoint.save(packed, folder / "arrays")
    durable.step("arrays written")
    for name, data in (native or {}).items():
        (folder / "native").mkdir(exist_ok=True)
        durable.write_file(folder / "native" / name, data)
    manifest = build_manifest(folder, part.digest, part.children)
    durable.write_file(folder / MANIFEST, manifest)
    durable.step("manifest written")
    _check_written(part, folder)
    return hashlib.sha256(manifest).hexdigest()


def _check_written(part: Part, folder: Path) -> None:
    children = {child.digest(): child for child in _separate_below(part.state)}
    try:
        back = read(folder, children.__getitem__)
    except DamagedArtifact as error:
        if error.__cause__ is not None:  # a file could not be read, which is not the model's fault
            raise StorageFailed(f"What was just written to {folder} cannot be read back: {error}") from error
        raise InvalidState(f"{part.state.kind} cannot be stored: {error}") from error
    if back.digest() != part.digest:
        raise InvalidState(f"{part.state.kind} cannot be stored: it does not come back exactly as it is.")


def _separate_below(state: State) -> list[State]:
    found: list[State] = []
    for child in state.children.values():
        found.extend([child] if is_separate(child) else _separate_below(child))
    return found


def _describe(node: State, arrays: list[np.ndarray], root: bool) -> dict[str, Any]:
    if not root and is_separate(node):
        return {"artifact": node.digest()}
    places = {}
    for name, array in node.arrays.items():
        places[name] = len(arrays)
        arrays.append(array)
    children = [[name, _describe(child, arrays, root=False)] for name, child in node.children.items()]
    return {"kind": node.kind, "spec": node.spec, "arrays": places, "children": children}


@dataclass
class Budget:
    """What one load may still use, counted with repetitions: a state that refers to another twice pays for it twice."""

    nodes: int = LIMITS.nodes
    total_bytes: int = LIMITS.total_bytes

    def spend(self, nodes: int, total_bytes: int) -> None:
        self.nodes -= nodes
        self.total_bytes -= total_bytes
        if self.nodes < 0 or self.total_bytes < 0:
            raise DamagedArtifact("A stored model has more parts, or more bytes, than one model may have.")


def read(folder: Path, child: Callable[[str], State], budget: Budget | None = None, limits: Limits = LIMITS) -> State:
    """The state in a folder whose files were verified; ``child`` gives the state of another artifact by digest."""
    budget = budget or Budget()
    spec = parse_json(read_limited(folder / "spec.json", limits.spec_bytes), "an artifact's spec", limits)
    match spec:
        case {"format": 1, "tree": dict(tree), "places": list(places), "sizes": dict(sizes), **rest} if not rest:
            pass
        case _:
            raise DamagedArtifact("An artifact's spec is not one that this release understands.")
    if sizes:
        packed = checkpoint.restore(folder / "arrays", sizes, limits)
    elif (folder / "arrays").exists():
        raise DamagedArtifact("An artifact has arrays that its spec does not declare.")
    else:
        packed = {}
    budget.spend(0, sum(array.nbytes for array in packed.values()))
    source = _Source(checkpoint.unpack(packed, places), set(), child, budget)
    state = source.rebuild(tree)
    if len(source.used) != len(places):
        raise DamagedArtifact("An artifact has arrays that no part of it uses.")
    return state


@dataclass
class _Source:
    """The arrays of one artifact while its tree is put together; every array goes to exactly one place."""

    arrays: list[np.ndarray]
    used: set[int]
    child: Callable[[str], State]
    budget: Budget

    def rebuild(self, node: Any) -> State:
        self.budget.spend(1, 0)
        match node:
            case {"artifact": str(digest), **rest} if not rest:
                return self.child(check_digest(digest))
            case {"kind": str(kind), "spec": dict(spec), "arrays": dict(places), "children": list(entries), **rest} if (
                not rest
            ):
                pass
            case _:
                raise DamagedArtifact("A part of an artifact's tree is malformed.")
        own = {name: self.take(kind, name, place) for name, place in places.items()}
        children: dict[str, State] = {}
        for entry in entries:
            match entry:
                case [str(name), dict(below)] if name not in children:
                    children[name] = self.rebuild(below)
                case _:
                    raise DamagedArtifact(f"{kind:.40}: a child is malformed.")
        return State(kind, spec, own, children)

    def take(self, kind: str, name: str, place: Any) -> np.ndarray:
        if type(place) is not int or not 0 <= place < len(self.arrays) or place in self.used:
            raise DamagedArtifact(f"{kind:.40}: the array {name!r:.40} has no place of its own.")
        self.used.add(place)
        return self.arrays[place]
