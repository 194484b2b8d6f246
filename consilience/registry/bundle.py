"""A version as one file that can be carried to another registry: a plain tar of its artifacts and its record.

A bundle comes from outside: nothing in it is believed. Names, kinds and sizes of its entries are checked before they
are written anywhere (tar's extensions, links and sparse files are not even interpreted), every artifact against its
manifest, and the whole model against its content digest; the importing registry then publishes the model itself, so a
number or a stage cannot be smuggled in.
"""

import io
import json
import os
import re
import tarfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from consilience.base import State
from consilience.registry import durable
from consilience.registry.artifacts import LocalArtifacts
from consilience.registry.errors import DamagedArtifact, Refused, RegistryError
from consilience.registry.manifest import LIMITS, parse_json
from consilience.registry.names import check_digest
from consilience.registry.signing import is_valid
from consilience.registry.version import Version

_RECORD = "bundle.json"
_ENTRY = re.compile(r"([0-9a-f]{64})/((?:arrays/|native/)?(?:[a-z0-9]+/)?[A-Za-z0-9._-]{1,120})")
_HEADER_BYTES = 1 << 20  # room for the headers of tar


@dataclass(frozen=True)
class Bundle:
    """What was found in a bundle, verified."""

    state: State
    record: dict[str, Any]
    native: dict[str, bytes]
    signers: tuple[str, ...]

    def check_signed(self, wanted: Collection[str]) -> None:
        """Refuse a bundle that none of the wanted keys has signed; without any wanted, all are taken."""
        if wanted and not set(wanted) & set(self.signers):
            keys = ", ".join(f"{key[:12]}…" for key in sorted(wanted))
            raise Refused(
                f"The bundle of {self.record['name']!r:.80} has no valid signature by a trusted key ({keys})."
            )

    def facts(self) -> dict[str, Any]:
        """What was recorded of the model, with where it comes from, as arguments of ``Registry.publish``."""
        origin = {part: self.record[part] for part in ("name", "number", "digest", "created", "created_by")}
        own = {part: self.record[part] for part in ("contract", "metrics", "verdicts")}
        return own | {"lineage": self.record["lineage"] | {"imported": origin}}


def write(
    path: Path, version: Version, store: LocalArtifacts, manifests: Mapping[str, str], signatures: Mapping[str, str]
) -> None:
    """Write a version, whose artifacts are verified on the way, to a new file."""
    record = version.to_dict() | {"manifests": dict(manifests), "signatures": dict(signatures)}
    record = {"format": 1, **{k: v for k, v in record.items() if k not in ("stage", "pointers", "retired")}}
    partial = path.with_name(path.name + ".partial")
    with durable.storage("Writing the bundle"), ExitStack() as cleaning:
        cleaning.callback(partial.unlink, missing_ok=True)
        with tarfile.open(partial, "x", format=tarfile.USTAR_FORMAT) as archive:
            _add(archive, _RECORD, json.dumps(record, indent=1).encode())
            for digest in sorted(manifests):
                store.verify(digest, manifests[digest])
                folder = store.path(digest)
                for file in sorted(p for p in folder.rglob("*") if p.is_file()):
                    _add(archive, f"{digest}/{file.relative_to(folder).as_posix()}", file.read_bytes())
        durable.sync_file(partial)
        partial.rename(path)
        durable.sync_folder(path.parent)


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    entry.mode = 0o644
    archive.addfile(entry, io.BytesIO(data))


def read(path: Path, scratch: LocalArtifacts) -> Bundle:
    """Unpack a bundle into staging folders, verify all of it, and give its model.

    Raises
    ------
    DamagedArtifact : anything in it that does not fit.
    """
    if not path.is_file():
        raise RegistryError(f"There is no bundle at {path}.")
    if path.stat().st_size > LIMITS.total_bytes + _HEADER_BYTES:
        raise DamagedArtifact(f"{path.name} has {path.stat().st_size} bytes; the limit is {LIMITS.total_bytes}.")
    with durable.storage("Reading the bundle"), scratch.staging() as folder:
        inner = LocalArtifacts(folder)
        inner.create()
        try:
            with path.open("rb") as file:
                record = _unpack(_entries(file), inner)
        except (tarfile.TarError, EOFError, UnicodeError, ValueError) as error:
            if isinstance(error, DamagedArtifact):
                raise
            raise DamagedArtifact(f"{path.name} is not a bundle ({type(error).__name__}).") from error
        digest, manifests = record["digest"], record["manifests"]
        state = inner.read(digest, manifests)
        native = {name: file.read_bytes() for name, file in inner.native(digest).items()}
        return Bundle(state, record, native, _signers(record))


def _entries(file: BinaryIO) -> Iterator[tuple[str, bytes]]:
    """Name and content of the plain files of a tar; its sizes were checked against the file's when it was opened."""
    left = os.fstat(file.fileno()).st_size
    while len(header := file.read(512)) == 512 and any(header):
        entry = tarfile.TarInfo.frombuf(header, "ascii", "strict")
        left -= 512 + entry.size
        if entry.type != tarfile.REGTYPE or entry.size < 0 or left < 0:
            raise DamagedArtifact(f"The bundle's entry {entry.name!r:.80} is no plain file, or is cut off.")
        yield entry.name, file.read(entry.size)
        file.seek(-entry.size % 512, os.SEEK_CUR)


def _unpack(entries: Iterable[tuple[str, bytes]], inner: LocalArtifacts) -> dict[str, Any]:
    """Write the entries that a bundle may have to their places; gives the record, which comes first."""
    record: dict[str, Any] | None = None
    for count, (name, data) in enumerate(entries):
        if record is None:
            if name != _RECORD or len(data) > LIMITS.spec_bytes:
                raise DamagedArtifact("The bundle does not begin with its record.")
            record = _check_record(parse_json(data, "the bundle's record"))
            continue
        match = _ENTRY.fullmatch(name)
        if match is None or match[1] not in record["manifests"] or count > 16 * LIMITS.files:
            raise DamagedArtifact(f"The bundle's entry {name!r:.80} does not belong in it.")
        target = inner.path(match[1]) / match[2]
        if target.name in (".", ".."):
            raise DamagedArtifact(f"The bundle's entry {name!r:.80} does not belong in it.")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            durable.write_file(target, data)
        except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
            raise DamagedArtifact(f"The bundle has {name!r:.80} twice.") from error
    if record is None:
        raise DamagedArtifact("The bundle is empty.")
    return record


_TYPES: dict[str, type] = dict.fromkeys(("name", "number", "digest", "kind", "created", "created_by"), str)
_TYPES |= dict.fromkeys(("contract", "config", "lineage", "metrics", "manifests", "signatures"), dict)
_TYPES |= {"bytes": int, "changelog": list}


def _check_record(record: Any) -> dict[str, Any]:
    if not isinstance(record, dict) or record.get("format") != 1 or set(record) != {*_TYPES, "format", "verdicts"}:
        raise DamagedArtifact("The bundle's record is not one that this release understands.")
    for name, kind in _TYPES.items():
        if type(record[name]) is not kind:
            raise DamagedArtifact(f"The bundle's record has a {name} of type {type(record[name]).__name__}.")
    check_digest(record["digest"])
    for part in ("manifests", "signatures"):
        if len(record[part]) > LIMITS.files or not all(isinstance(value, str) for value in record[part].values()):
            raise DamagedArtifact(f"The bundle's {part} are malformed.")
    for digest in record["manifests"]:
        check_digest(digest)
    return record


def _signers(record: dict[str, Any]) -> tuple[str, ...]:
    """Keys that validly signed what the record says, in the registry that it comes from."""
    if not record["signatures"]:
        return ()
    known = {name: record[name] for name in _TYPES if name not in ("manifests", "signatures", "changelog")}
    version = Version(
        **known, stage="development", verdicts=record["verdicts"], changelog=tuple(map(str, record["changelog"]))
    )
    return tuple(key for key, signature in record["signatures"].items() if is_valid(version, key, signature))
