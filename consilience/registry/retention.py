"""Giving up versions and clearing away what nobody uses, so that nothing in use can be lost.

*Mark*: every version that is not retired, everything under a lease, and all artifacts below them are in use.
*Tombstone*: an artifact found unused is condemned, and nothing else happens to it; a publish that wants it again lifts
that. *Sweep*: what has been condemned for the grace period is moved to the trash in the same transaction that forgets
it, and the trash is emptied after the transaction.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass, field

import sqlalchemy as sa

from consilience.registry import clock
from consilience.registry.artifacts import LocalArtifacts
from consilience.registry.database import Database
from consilience.registry.metadata import Metadata
from consilience.registry.policies import Policy, seconds
from consilience.registry.schema import artifacts as artifact_rows
from consilience.registry.schema import leases, links
from consilience.registry.version import Version


@dataclass(frozen=True)
class Collected:
    """What a ``gc`` did, or in a dry run would do.

    Parameters
    ----------
    retired : versions given up by the policies.
    condemned : digests found unused for the first time; a later gc removes them.
    removed : digests of artifacts removed.
    leftovers : abandoned staging folders and files that no artifact row knows.
    freed_bytes : by the removals.
    """

    dry_run: bool
    retired: list[str] = field(default_factory=list)
    condemned: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    freed_bytes: int = 0


def collect(
    database: Database, store: LocalArtifacts, *, dry_run: bool, grace: float | str, policies: Sequence[Policy]
) -> Collected:
    """See ``Registry.gc``."""
    wait = seconds(grace)
    freed = 0
    with database.reading() if dry_run else database.writing() as connection:
        metadata = Metadata(connection)
        if not dry_run:
            metadata.lock_artifacts(exclusive=True)
            connection.execute(leases.delete().where(leases.c.expires < clock.now()))
        doomed = _doomed(metadata, policies) if policies else []
        used = in_use(connection, {version.ref for version in doomed})
        rows = connection.execute(sa.select(artifact_rows)).all()
        unused = [row for row in rows if row.digest not in used]
        condemned = [row.digest for row in unused if row.condemned is None]
        limit = clock.now(-wait)
        ripe = [row for row in unused if (row.condemned or clock.now()) <= limit]
        removed = [row.digest for row in ripe]
        known = {row.digest for row in rows} | used
        orphans = [digest for digest in store.orphans(wait) if digest not in known]
        if dry_run:
            freed = sum(row.bytes for row in ripe)
        else:
            _retire(metadata, doomed)
            _condemn(connection, [digest for digest in condemned if digest not in set(removed)])
            _forget(connection, removed)
            for digest in [*removed, *orphans]:
                store.discard(digest)
    leftovers, bytes_left = store.clear_abandoned(wait, dry_run=dry_run)
    freed += bytes_left
    if not dry_run:
        freed += store.empty_trash()
    return Collected(
        dry_run,
        retired=[version.ref for version in doomed],
        condemned=sorted(set(condemned) - set(removed)),
        removed=sorted(removed),
        leftovers=[*leftovers, *orphans],
        freed_bytes=freed,
    )


def in_use(connection: sa.Connection, without: Set[str] = frozenset()) -> set[str]:
    """Digests of all artifacts that a living version or a lease needs, those below them included."""
    living = [v.digest for v in Metadata(connection).versions() if v.retired is None and v.ref not in without]
    held = connection.scalars(sa.select(leases.c.digest).where(leases.c.expires >= clock.now()))
    below: dict[str, list[str]] = {}
    for row in connection.execute(sa.select(links)):
        below.setdefault(row.parent, []).append(row.child)
    found: set[str] = set()
    pending = [*living, *held]
    while pending:
        digest = pending.pop()
        if digest not in found:
            found.add(digest)
            pending += below.get(digest, [])
    return found


def _doomed(metadata: Metadata, policies: Sequence[Policy]) -> list[Version]:
    """Versions that no policy keeps and that nothing points to: no pointer, no lease, no kept version's parent."""
    held = set(metadata.connection.scalars(sa.select(leases.c.digest).where(leases.c.expires >= clock.now())))
    doomed: dict[str, Version] = {}
    kept: list[Version] = []
    for name in metadata.all_names():
        living = [version for version in metadata.versions(name) if version.retired is None]
        wanted = {ref for policy in policies for ref in policy.keep(living)}
        for version in living:
            if version.ref in wanted or version.pointers or version.digest in held:
                kept.append(version)
            else:
                doomed[version.ref] = version
    while kept:
        for parent in kept.pop().lineage.get("parents") or []:
            if str(parent) in doomed:
                kept.append(doomed.pop(str(parent)))
    return list(doomed.values())


def _retire(metadata: Metadata, doomed: list[Version]) -> None:
    for version in doomed:
        metadata.retire(version)
        metadata.add_event(version.name, version.number, "retire", "", clock.user(), {"digest": version.digest})


def _condemn(connection: sa.Connection, digests: list[str]) -> None:
    rows = artifact_rows.update().where(artifact_rows.c.digest == sa.bindparam("which")).values(condemned=clock.now())
    if digests:
        connection.execute(rows, [{"which": digest} for digest in digests])
    connection.execute(  # what is used again is no longer condemned
        artifact_rows.update()
        .where(artifact_rows.c.condemned.is_not(None))
        .where(artifact_rows.c.digest.in_(sorted(in_use(connection))))
        .values(condemned=None)
    )


def _forget(connection: sa.Connection, digests: list[str]) -> None:
    for digest in digests:
        connection.execute(links.delete().where(links.c.parent == digest))
    for digest in digests:
        connection.execute(artifact_rows.delete().where(artifact_rows.c.digest == digest))
