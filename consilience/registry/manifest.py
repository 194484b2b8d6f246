"""The SHA-256 of every file of an artifact, checked before any of them is interpreted."""

import hashlib
import json
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consilience.registry.errors import DamagedArtifact

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Limits:
    """What an artifact may ask of the machine; checked against declared sizes before anything is allocated.

    Parameters
    ----------
    total_bytes : all files of one artifact together.
    spec_bytes : one JSON file.
    files, depth : how many files, and how deep folders and specs nest.
    items : values in one spec.
    nodes : states in one tree.
    """

    total_bytes: int = 1 << 30
    spec_bytes: int = 8 << 20
    files: int = 256
    depth: int = 48
    items: int = 500_000
    nodes: int = 4_096


LIMITS = Limits()


def build_manifest(folder: Path, digest: str, children: Iterable[str]) -> bytes:
    """The manifest of a finished folder, as the bytes of ``manifest.json``."""
    files = {
        name: [path.stat().st_size, hash_file(path)] for name, path in sorted(_regular_files(folder, LIMITS).items())
    }
    content = {"format": 1, "digest": digest, "children": sorted(set(children)), "files": files}
    return json.dumps(content, indent=1, sort_keys=True).encode()


def verify_folder(folder: Path, digest: str, manifest_sha256: str | None, limits: Limits = LIMITS) -> dict[str, Any]:
    """Check every file against the manifest and give the manifest; nothing else is read.

    Parameters
    ----------
    digest : the artifact's content digest, which the manifest must name.
    manifest_sha256 : what the metadata recorded, or None where nothing did (a bundle).

    Raises
    ------
    DamagedArtifact : a file that is missing, extra, changed, too large, or not a plain file of its own.
    """
    short = digest[:12]
    try:
        present = _regular_files(folder, limits)
    except OSError as error:
        raise DamagedArtifact(f"Artifact {short} cannot be read ({error.strerror or error}).") from error
    total = sum(path.lstat().st_size for path in present.values())
    if total > limits.total_bytes:
        raise DamagedArtifact(f"Artifact {short} has {total} bytes; the limit is {limits.total_bytes}.")
    path = present.pop(MANIFEST, None)
    if path is None:
        raise DamagedArtifact(f"Artifact {short} has no manifest.")
    raw = read_limited(path, limits.spec_bytes)
    if manifest_sha256 is not None and hashlib.sha256(raw).hexdigest() != manifest_sha256:
        raise DamagedArtifact(f"Artifact {short}: the manifest is not the one that was published.")
    manifest = parse_json(raw, f"artifact {short}: the manifest", limits)
    files = _check_manifest(manifest, digest, limits)
    if set(files) != set(present):
        name = sorted(set(files) ^ set(present))[0]
        raise DamagedArtifact(f"Artifact {short}: the file {name!r} is {'missing' if name in files else 'extra'}.")
    for name, (size, sha256) in files.items():
        if present[name].stat().st_size != size or hash_file(present[name]) != sha256:
            raise DamagedArtifact(f"Artifact {short}: the file {name!r} is not as it was published.")
    return manifest


def _check_manifest(manifest: Any, digest: str, limits: Limits) -> dict[str, list[Any]]:
    if not isinstance(manifest, dict) or manifest.get("format") != 1:
        raise DamagedArtifact(f"Artifact {digest[:12]}: this release does not understand its manifest.")
    files, children = manifest.get("files"), manifest.get("children")
    if manifest.get("digest") != digest or not isinstance(files, dict) or not isinstance(children, list):
        raise DamagedArtifact(f"Artifact {digest[:12]}: the manifest belongs to another artifact.")
    for name, entry in files.items():
        match entry:
            case [int(size), str()] if size >= 0 and not isinstance(size, bool):
                pass
            case _:
                raise DamagedArtifact(f"Artifact {digest[:12]}: the manifest's entry {name!r:.80} is malformed.")
    return files


def _regular_files(folder: Path, limits: Limits) -> dict[str, Path]:
    """Relative POSIX name to path of every file below the folder; anything but plain single-link files is refused."""
    found: dict[str, Path] = {}
    pending = [(folder, "", 0)]
    while pending:
        current, prefix, depth = pending.pop()
        if depth > 4:
            raise DamagedArtifact(f"{folder.name[:12]}: folders nest too deep at {prefix!r:.80}.")
        if not stat.S_ISDIR(os.lstat(current).st_mode):
            raise DamagedArtifact(f"{folder.name[:12]}: {prefix or 'the artifact'} is not a folder.")
        with os.scandir(current) as entries:
            for entry in entries:
                info = entry.stat(follow_symlinks=False)
                name = prefix + entry.name
                if stat.S_ISDIR(info.st_mode):
                    pending.append((Path(entry.path), name + "/", depth + 1))
                elif stat.S_ISREG(info.st_mode) and info.st_nlink == 1:
                    found[name] = Path(entry.path)
                else:
                    raise DamagedArtifact(f"{folder.name[:12]}: {name!r:.80} is not a plain file of its own.")
                if len(found) + len(pending) > limits.files:
                    raise DamagedArtifact(f"{folder.name[:12]}: more than {limits.files} files.")
    return found


def hash_file(path: Path) -> str:
    """SHA-256 of a file, links not followed."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_limited(path: Path, limit: int) -> bytes:
    """A small file's bytes; one larger than the limit is refused before it is read."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise DamagedArtifact(f"{path.name} has {size} bytes; the limit is {limit}.")
        return file.read(limit)


def parse_json(raw: bytes, what: str, limits: Limits = LIMITS) -> Any:
    """JSON with bounded depth and size; NaN and Infinity are refused, as they are when writing."""
    try:
        value = json.loads(raw.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise DamagedArtifact(f"{what} is not JSON ({type(error).__name__}).") from error
    level, depth, items = [value], 0, 0
    while level:
        depth += 1
        items += len(level)
        if depth > limits.depth or items > limits.items:
            raise DamagedArtifact(f"{what} nests deeper than {limits.depth} or holds more than {limits.items} values.")
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        level = below
    return value


def _no_constant(name: str) -> None:
    raise ValueError(name)
