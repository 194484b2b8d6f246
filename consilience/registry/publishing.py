"""Making a version: lease → write → hash → sync → rename → sync → one transaction → acknowledge.

A crash at any point leaves either no trace that a reader can see, or the whole version. What is left over (a staging
folder, an artifact that no version names, a lease) is found by ``gc``.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from consilience.base import InvalidState, State, invalid
from consilience.registry import artifact, clock, durable, numbering
from consilience.registry.artifacts import LocalArtifacts, Stored
from consilience.registry.database import Database
from consilience.registry.errors import RegistryError
from consilience.registry.lineage import complete
from consilience.registry.metadata import Metadata
from consilience.registry.names import check_file_name, check_name
from consilience.registry.version import Version

_LEASE_SECONDS = 3600.0


@dataclass(frozen=True)
class Request:
    """What the caller of ``Registry.publish`` asked for, checked."""

    name: str
    number: str | None
    contract: dict[str, Any] | None
    lineage: dict[str, Any] | None
    metrics: dict[str, Any]
    verdicts: Any
    native: Mapping[str, bytes]


def request(
    name: str, number: str | None, contract: Any, lineage: Any, metrics: Any, verdicts: Any, native: Any
) -> Request:
    """Check everything that can be checked before anything is written."""
    numbering.check_level(number)
    return Request(
        check_name(name),
        number,
        plain_json(contract, "contract"),
        plain_json(lineage, "lineage"),
        plain_json(metrics, "metrics") or {},
        plain_json(verdicts, "verdicts"),
        {check_file_name(file): bytes(data) for file, data in (native or {}).items()},
    )


def publish(database: Database, artifacts: LocalArtifacts, state: State, asked: Request) -> Version:
    """Store a state and make a version of it; returns when both are durable."""
    try:
        parts = artifact.split(state)
    except UnicodeEncodeError as error:
        raise InvalidState(f"{state.kind}: its spec holds text that is not valid Unicode.") from error
    digests = [part.digest for part in parts]
    with database.writing() as connection:
        metadata = Metadata(connection)
        metadata.lock_artifacts(exclusive=False)  # a gc that is deciding now has decided before this lease begins
        known = metadata.manifests(digests)
        lease = metadata.add_lease(digests, f"publish by {clock.user()}", _LEASE_SECONDS)
    durable.step("leased")
    try:
        stored = [
            artifacts.put(part, known.get(part.digest), asked.native if part is parts[-1] else None) for part in parts
        ]
        return _register(database, artifacts, state, stored, lease, asked)
    except BaseException:
        _release(database, lease)
        raise


def native_files(predictor: Any, prefix: str = "") -> dict[str, bytes]:
    """Files in the formats of other tools that a predictor and its members offer (a booster's own text or JSON)."""
    found = {}
    for name, data in (predictor.native_files() if hasattr(predictor, "native_files") else {}).items():
        found[(prefix + re.sub(r"[^A-Za-z0-9._-]", "_", name))[-120:].lstrip(".")] = bytes(data)
    members = getattr(predictor, "members_", None)
    for name, member in members.items() if isinstance(members, Mapping) else ():
        found |= native_files(member, f"{prefix}{re.sub(r'[^A-Za-z0-9_-]', '_', str(name))[:40]}-")
    return found


def _register(
    database: Database, artifacts: LocalArtifacts, state: State, stored: list[Stored], lease: str, asked: Request
) -> Version:
    """The one transaction that makes a version: artifacts, number, row, stage, event."""
    contract = numbering.full_contract(state, asked.contract)
    lineage = complete(asked.lineage, state, [part.digest for part in stored])
    config = numbering.recipe(state)
    with database.writing() as connection:
        metadata = Metadata(connection)
        metadata.lock_artifacts(exclusive=False)
        for part in stored:
            artifacts.require(part.digest)
            metadata.put_artifact(part.digest, part.manifest, part.total_bytes, part.children)
        durable.step("artifacts recorded")
        metadata.end_lease(lease)
        metadata.lock_name(asked.name)
        for same in metadata.versions(asked.name, digest=stored[-1].digest):
            if same.contract == contract and not same.retired:
                return same
        newest = next(iter(metadata.versions(asked.name, newest=1)), None)
        least = "major" if newest is None else numbering.least_level(newest, contract, config)
        version = Version(
            name=asked.name,
            number=str(numbering.next_number(newest, least, asked.number)),
            digest=stored[-1].digest,
            kind=state.kind,
            bytes=sum(part.total_bytes for part in stored),
            created=clock.now(),
            created_by=clock.user(),
            stage="development",
            contract=contract,
            config=config,
            lineage=lineage,
            metrics=asked.metrics,
            verdicts=asked.verdicts,
            changelog=numbering.changelog(newest, contract, config, lineage.get("data")),
        )
        metadata.add_version(version)
    return version


def _release(database: Database, lease: str) -> None:
    try:
        with database.writing() as connection:
            Metadata(connection).end_lease(lease)
    except RegistryError:
        pass  # the first error is the one to report; the lease expires by itself


def plain_json(value: Any, parameter: str) -> Any:
    """A copy of a JSON-able argument, as it will be read back; numpy scalars become Python ones."""
    if value is None:
        return None
    try:
        return json.loads(json.dumps(value, allow_nan=False, default=_number))
    except (TypeError, ValueError, RecursionError) as error:
        raise invalid(parameter, "publish", "JSON-able data without NaN", type(value).__name__, str(error)) from error


def _number(value: Any) -> Any:
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        return value.item()
    raise TypeError(f"a {type(value).__name__} cannot be stored")
