"""Reading and writing the registry's tables inside one transaction; no rule of the registry is decided here."""

import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from consilience.registry import clock
from consilience.registry.database import encode
from consilience.registry.errors import VersionNotFound
from consilience.registry.names import Number, Ref
from consilience.registry.schema import (
    artifacts,
    events,
    leases,
    links,
    meta,
    names,
    pointers,
    signatures,
    stages,
    versions,
)
from consilience.registry.version import Version

RECORD = ("contract", "config", "lineage", "metrics", "verdicts", "changelog")


@dataclass(frozen=True)
class Event:
    """One entry of the append-only history."""

    at: str
    name: str
    number: str
    kind: str
    subject: str
    who: str
    data: dict[str, Any]


class Metadata:
    """The tables, seen through one connection of ``Database.reading`` or ``Database.writing``.

    One per transaction; not to be kept after it.
    """

    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection

    # -- names and locks ---------------------------------------------------------------------------------------

    def lock_name(self, name: str) -> None:
        """Make every other writer of this name wait until this transaction ends; the name is created if need be."""
        known = sa.select(names.c.name).where(names.c.name == name)
        if self.connection.execute(known).first() is None:
            if self.connection.dialect.name == "postgresql":
                from sqlalchemy.dialects.postgresql import insert

                self.connection.execute(insert(names).values(name=name, created=clock.now()).on_conflict_do_nothing())
            else:
                self.connection.execute(names.insert().values(name=name, created=clock.now()))
        self.connection.execute(known.with_for_update())

    def lock_artifacts(self, *, exclusive: bool) -> None:
        """Shared by publishers, exclusive for gc, so that neither sees the other's half."""
        row = sa.select(meta.c.value).where(meta.c.key == "schema")
        self.connection.execute(row.with_for_update(read=not exclusive))

    def all_names(self) -> list[str]:
        """Every name that was ever published."""
        return list(self.connection.scalars(sa.select(names.c.name).order_by(names.c.name)))

    def setting(self, key: str) -> str | None:
        """One registry-wide setting."""
        return self.connection.scalar(sa.select(meta.c.value).where(meta.c.key == key))

    def set_setting(self, key: str, value: str | None) -> None:
        """Set or (None) remove a registry-wide setting."""
        self.connection.execute(meta.delete().where(meta.c.key == key))
        if value is not None:
            self.connection.execute(meta.insert().values(key=key, value=value))

    # -- versions ----------------------------------------------------------------------------------------------

    def resolve(self, ref: Ref) -> Version:
        """The version that a reference means now.

        Raises
        ------
        VersionNotFound : with the nearest things that do exist.
        """
        number = ref.number
        if ref.pointer is not None:
            at = self.pointer(ref.name, ref.pointer)
            if at is None:
                known = ", ".join(sorted(self.pointers(ref.name))) or "none yet"
                raise VersionNotFound(f"{ref.name} has no pointer {ref.pointer!r} (it has: {known}).")
            number = Number.parse(at[0])
        found = self.versions(ref.name, number, newest=1)
        if not found:
            raise VersionNotFound(self._missing(ref.name, number))
        return found[0]

    def _missing(self, name: str, number: Number | None) -> str:
        known = self.versions(name, newest=3)
        if not known:
            listed = self.all_names()
            return f"The registry has no {name!r}; it has {', '.join(listed[:5]) if listed else 'nothing yet'}."
        return f"{name} has no version {number}; the newest are {', '.join(v.number for v in known)}."

    def versions(
        self,
        name: str | None = None,
        number: Number | None = None,
        digest: str | None = None,
        newest: int | None = None,
    ) -> list[Version]:
        """Versions that match, by name, the highest number first."""
        query = sa.select(versions, stages.c.stage).join(
            stages,
            (stages.c.name == versions.c.name) & (stages.c.number == _number_text()),
            isouter=True,
        )
        if name is not None:
            query = query.where(versions.c.name == name)
        if number is not None:
            query = query.where(
                versions.c.major == number.major, versions.c.minor == number.minor, versions.c.patch == number.patch
            )
        if digest is not None:
            query = query.where(versions.c.digest == digest)
        order = (versions.c.name, versions.c.major.desc(), versions.c.minor.desc(), versions.c.patch.desc())
        rows = self.connection.execute(query.order_by(*order).limit(newest)).all()
        held: dict[str, dict[str, str]] = {own: self.pointers(own) for own in {row.name for row in rows}}
        return [self._version(row, held[row.name]) for row in rows]

    def _version(self, row: Any, held: dict[str, str]) -> Version:
        number = str(Number(row.major, row.minor, row.patch))
        record = json.loads(row.record)
        record["changelog"] = tuple(record["changelog"])
        return Version(
            name=row.name,
            number=number,
            digest=row.digest,
            kind=row.kind,
            bytes=row.bytes,
            created=row.created,
            created_by=row.created_by,
            stage=row.stage,
            pointers=tuple(sorted(pointer for pointer, at in held.items() if at == number)),
            retired=row.retired,
            **record,
        )

    def add_version(self, version: Version) -> None:
        """Insert a version with its stage and its event; the caller holds the name's lock."""
        key = version.key
        record = {name: getattr(version, name) for name in RECORD}
        self.connection.execute(
            versions.insert().values(
                name=version.name, major=key.major, minor=key.minor, patch=key.patch, digest=version.digest,
                kind=version.kind, bytes=version.bytes, created=version.created, created_by=version.created_by,
                record=encode(record | {"changelog": list(version.changelog)}),
            )
        )  # fmt: skip
        self.connection.execute(stages.insert().values(name=version.name, number=version.number, stage=version.stage))
        self.add_event(
            version.name, version.number, "publish", version.stage, version.created_by, {"digest": version.digest}
        )

    def retire(self, version: Version) -> None:
        """Note that retention gave a version's artifact up."""
        key = version.key
        self.connection.execute(
            versions.update()
            .where(versions.c.name == version.name, versions.c.major == key.major)
            .where(versions.c.minor == key.minor, versions.c.patch == key.patch)
            .values(retired=clock.now())
        )

    # -- stages, pointers, history -----------------------------------------------------------------------------

    def set_stage(self, name: str, number: str, stage: str) -> None:
        """Change a version's stage."""
        self.connection.execute(
            stages.update().where(stages.c.name == name, stages.c.number == number).values(stage=stage)
        )

    def pointer(self, name: str, pointer: str) -> tuple[str, int] | None:
        """The number that a pointer is at, and how often it has moved."""
        row = self.connection.execute(
            sa.select(pointers.c.number, pointers.c.moves).where(pointers.c.name == name, pointers.c.pointer == pointer)
        ).first()
        return None if row is None else (row.number, row.moves)

    def pointers(self, name: str) -> dict[str, str]:
        """Every pointer of a name and the number it is at."""
        rows = self.connection.execute(sa.select(pointers.c.pointer, pointers.c.number).where(pointers.c.name == name))
        return {row.pointer: row.number for row in rows}

    def move_pointer(self, name: str, pointer: str, number: str, moves: int | None) -> bool:
        """Compare and swap: move only if the pointer has moved ``moves`` times so far (None: it does not exist)."""
        if moves is None:
            if self.pointer(name, pointer) is not None:
                return False
            self.connection.execute(pointers.insert().values(name=name, pointer=pointer, number=number, moves=1))
            return True
        done = self.connection.execute(
            pointers.update()
            .where(pointers.c.name == name, pointers.c.pointer == pointer, pointers.c.moves == moves)
            .values(number=number, moves=moves + 1)
        )
        return done.rowcount == 1

    def add_event(self, name: str, number: str, kind: str, subject: str, who: str, data: dict[str, Any]) -> None:
        """Append to the history; times never go backwards within it, even if the clock does."""
        last = self.connection.scalar(sa.select(sa.func.max(events.c.at)).where(events.c.name == name))
        at = max(clock.now(), last or "")
        self.connection.execute(
            events.insert().values(
                at=at, name=name, number=number, kind=kind, subject=subject, who=who, data=encode(data)
            )
        )

    def events(self, name: str | None = None, kind: str | None = None, subject: str | None = None) -> list[Event]:
        """The history, oldest first."""
        query = sa.select(events).order_by(events.c.id)
        for column, value in ((events.c.name, name), (events.c.kind, kind), (events.c.subject, subject)):
            if value is not None:
                query = query.where(column == value)
        return [
            Event(row.at, row.name, row.number, row.kind, row.subject, row.who, json.loads(row.data))
            for row in self.connection.execute(query)
        ]

    def signatures(self, name: str, number: str) -> dict[str, str]:
        """Public key to signature, hexadecimal."""
        query = sa.select(signatures).where(signatures.c.name == name, signatures.c.number == number)
        return {row.key: row.signature for row in self.connection.execute(query)}

    def add_signature(self, version: Version, key: str, signature: str) -> None:
        """Record a signature, replacing an earlier one by the same key."""
        row = (signatures.c.name == version.name, signatures.c.number == version.number, signatures.c.key == key)
        self.connection.execute(signatures.delete().where(*row))
        self.connection.execute(
            signatures.insert().values(
                name=version.name, number=version.number, key=key, signature=signature, at=clock.now()
            )
        )
        self.add_event(version.name, version.number, "sign", key[:64], clock.user(), {})

    # -- artifacts and leases ----------------------------------------------------------------------------------

    def manifests(self, digests: Iterable[str]) -> dict[str, str]:
        """Manifest hashes of these artifacts and of everything below them."""
        found: dict[str, str] = {}
        wanted = set(digests)
        while wanted:
            rows = self.connection.execute(
                sa.select(artifacts.c.digest, artifacts.c.manifest).where(artifacts.c.digest.in_(wanted))
            )
            found |= {row.digest: row.manifest for row in rows}
            below = self.connection.scalars(sa.select(links.c.child).where(links.c.parent.in_(wanted)))
            wanted = set(below) - set(found)
        return found

    def put_artifact(self, digest: str, manifest: str, size: int, children: Sequence[str]) -> None:
        """Record an artifact, or that it is wanted again; children are recorded before their parents."""
        known = sa.select(artifacts.c.digest).where(artifacts.c.digest == digest)
        if self.connection.execute(known).first() is None:
            row = {"digest": digest, "manifest": manifest, "bytes": size, "created": clock.now()}
            if self.connection.dialect.name == "postgresql":
                from sqlalchemy.dialects.postgresql import insert

                self.connection.execute(insert(artifacts).values(row).on_conflict_do_nothing())
                for child in children:
                    self.connection.execute(insert(links).values(parent=digest, child=child).on_conflict_do_nothing())
            else:
                self.connection.execute(artifacts.insert().values(row))
                for child in children:
                    self.connection.execute(links.insert().values(parent=digest, child=child))
        self.connection.execute(
            artifacts.update().where(artifacts.c.digest == digest).values(manifest=manifest, condemned=None)
        )

    def add_lease(self, digests: Iterable[str], holder: str, seconds: float) -> str:
        """Keep artifacts from gc for a while; gives the lease's identity."""
        lease = uuid.uuid4().hex
        for number, digest in enumerate(sorted(set(digests))):
            self.connection.execute(
                leases.insert().values(
                    id=f"{lease[:24]}{number:08d}", digest=digest, holder=holder, expires=clock.now(seconds)
                )
            )
        return lease[:24]

    def end_lease(self, lease: str) -> None:
        """Give a lease back."""
        self.connection.execute(leases.delete().where(leases.c.id.startswith(lease)))


def _number_text() -> Any:
    def text(column: Any) -> Any:
        return sa.cast(column, sa.String)

    return text(versions.c.major) + "." + text(versions.c.minor) + "." + text(versions.c.patch)
