"""Stages and pointers: which moves are allowed, who made them and why, and what was where at a given time."""

from datetime import datetime
from typing import Any

from consilience.base import nearest
from consilience.registry import clock
from consilience.registry.database import Database
from consilience.registry.errors import Conflict, InvalidName, Refused, VersionNotFound
from consilience.registry.metadata import Event, Metadata
from consilience.registry.names import check_name, parse_ref
from consilience.registry.version import Version

STAGES = ("development", "staging", "production", "deprecated", "archived")

_ALLOWED = {
    "development": {"staging", "archived"},
    "staging": {"development", "production", "archived"},
    "production": {"deprecated"},
    "deprecated": {"production", "archived"},
    "archived": set[str](),
}


def move_stage(
    metadata: Metadata, version: Version, stage: str, reason: str, who: str, evidence: Any, override: str | None
) -> None:
    """Move a version one stage on, if that is allowed and its gates permit it."""
    if stage not in STAGES:
        raise InvalidName(f"A stage is one of {', '.join(STAGES)}; got {stage!r:.60}.{nearest(stage, STAGES)}")
    if stage not in _ALLOWED[version.stage]:
        allowed = ", ".join(sorted(_ALLOWED[version.stage])) or "nothing; publish a new version"
        raise Refused(
            f"{version.ref} is {version.stage}, from where it can become: {allowed}. It cannot become {stage}."
        )
    if stage == "archived" and version.pointers:
        raise Refused(f"{version.ref} is still at {', '.join(version.pointers)}; move the pointer first.")
    data: dict[str, Any] = {"from": version.stage, "reason": reason}
    if evidence is not None:
        data["evidence"] = evidence
    if stage == "production":
        data |= check_gates(version, override)
    metadata.set_stage(version.name, version.number, stage)
    metadata.add_event(version.name, version.number, "stage", stage, who, data)


def check_gates(version: Version, override: str | None) -> dict[str, Any]:
    """What to record about the gates; refuses a version that failed one and has no override."""
    failed = failed_gates(version.verdicts)
    if not failed:
        return {"gates": "passed" if version.verdicts else "none were run"}
    if not override or not override.strip():
        raise Refused(
            f"{version.ref} did not pass its gates ({', '.join(failed)[:200]}). Promote it only with a reason: "
            f'--override "why this is right".'
        )
    return {"gates": "failed", "failed": failed, "override": override}


def failed_gates(verdicts: Any) -> list[str]:
    """Names of the gates that did not pass, in any of the forms a verdict is kept in.

    >>> failed_gates({"sharpe": {"passed": False}, "drift": True})
    ['sharpe']
    """
    if not verdicts:
        return []
    if isinstance(verdicts, dict):
        if isinstance(verdicts.get("gates"), dict | list):
            return failed_gates(verdicts["gates"])
        if isinstance(verdicts.get("passed"), bool):
            return [] if verdicts["passed"] else [str(verdicts.get("name", "gates"))]
        entries = list(verdicts.items())
    elif isinstance(verdicts, list):
        entries = [
            (str(entry.get("name") or entry.get("gate") or position), entry)
            if isinstance(entry, dict)
            else (str(position), entry)
            for position, entry in enumerate(verdicts)
        ]
    else:
        return ["a verdict that cannot be read"]
    return [str(name) for name, entry in entries if not _passed(entry)]


def _passed(entry: Any) -> bool:
    if isinstance(entry, dict):
        entry = entry.get("passed", entry.get("pass", entry.get("ok")))
    return entry is True or (isinstance(entry, str) and entry.lower() in {"pass", "passed", "ok", "promoted"})


def promote(
    database: Database,
    ref: str,
    to: str,
    *,
    reason: str,
    who: str | None = None,
    evidence: Any = None,
    override: str | None = None,
    expected: str | None = None,
) -> Version:
    """See ``Registry.promote``."""
    who = who or clock.user()
    _check_reason(reason)
    check_name(to, "stage or pointer")
    with database.writing() as connection:
        metadata = Metadata(connection)
        parsed = parse_ref(ref)
        metadata.resolve(parsed)  # a name that does not exist is not created by locking it
        metadata.lock_name(parsed.name)
        version = metadata.resolve(parsed)
        if version.retired:
            raise Refused(f"{version.ref} was given up by retention on {version.retired[:10]}; its artifact is gone.")
        if to not in STAGES:
            _move(metadata, version, to, "pointer", reason, who, expected)
        elif to != "production":
            move_stage(metadata, version, to, reason, who, evidence, override)
        else:
            _to_production(metadata, version, reason, who, evidence, override)
            _move(metadata, version, "production", "pointer", reason, who, expected)
        return metadata.resolve(parse_ref(version.ref))


def change_stage(
    database: Database, ref: str, stage: str, reason: str, who: str | None, evidence: Any, override: str | None
) -> Version:
    """See ``Registry.stage``."""
    _check_reason(reason)
    parsed = parse_ref(ref)
    with database.writing() as connection:
        metadata = Metadata(connection)
        metadata.resolve(parsed)
        metadata.lock_name(parsed.name)
        version = metadata.resolve(parsed)
        move_stage(metadata, version, stage, reason, who or clock.user(), evidence, override)
        return metadata.resolve(parse_ref(version.ref))


def _to_production(
    metadata: Metadata, version: Version, reason: str, who: str, evidence: Any, override: str | None
) -> None:
    """Take a version through the stages that lie before production, each move recorded."""
    if version.stage == "production":
        check_gates(version, override or "promoted before")
        return
    if version.stage == "development":
        check_gates(version, override)  # nothing is moved if the gates stop it later
        move_stage(metadata, version, "staging", reason, who, evidence, override)
        version = metadata.resolve(parse_ref(version.ref))
    move_stage(metadata, version, "production", reason, who, evidence, override)


def _move(
    metadata: Metadata, version: Version, pointer: str, kind: str, reason: str, who: str, expected: str | None
) -> None:
    """Move a pointer by compare-and-swap and note it; ``previous`` follows production."""
    at = metadata.pointer(version.name, pointer)
    before = at[0] if at else None
    if expected is not None and expected != (before or "none"):
        raise Conflict(
            f"{version.name}@{pointer} is at {before or 'nothing'}, not at {expected}; somebody moved it first."
        )
    if before == version.number:
        return
    if not metadata.move_pointer(version.name, pointer, version.number, at[1] if at else None):
        raise Conflict(f"{version.name}@{pointer} was moved by somebody else meanwhile; look again.")
    metadata.add_event(version.name, version.number, kind, pointer, who, {"from": before, "reason": reason})
    if pointer == "production" and before is not None:
        follow = metadata.pointer(version.name, "previous")
        metadata.move_pointer(version.name, "previous", before, follow[1] if follow else None)
        metadata.add_event(version.name, before, "pointer", "previous", who, {"reason": "follows production"})


def rollback(
    database: Database, name: str, pointer: str, *, reason: str, who: str | None = None, expected: str | None = None
) -> Version:
    """See ``Registry.rollback``."""
    check_name(name)
    check_name(pointer, "pointer")
    _check_reason(reason)
    with database.writing() as connection:
        metadata = Metadata(connection)
        if metadata.pointer(name, pointer) is None:
            raise VersionNotFound(f"{name} has no pointer {pointer!r} to roll back.")
        metadata.lock_name(name)
        trail = standing(metadata.events(name, subject=pointer))
        while len(trail) >= 2:
            trail.pop()
            target = metadata.resolve(parse_ref(f"{name}=={trail[-1]}"))
            if not target.retired:
                _move(metadata, target, pointer, "rollback", reason, who or clock.user(), expected)
                return metadata.resolve(parse_ref(target.ref))
        raise Refused(f"{name}@{pointer} has no earlier version to go back to.")


def standing(events: list[Event]) -> list[str]:
    """The versions that a pointer went through and that no rollback has undone, the present one last."""
    trail: list[str] = []
    for event in events:
        if event.kind == "pointer":
            trail.append(event.number)
        elif event.kind == "rollback":
            while trail and trail[-1] != event.number:
                trail.pop()
    return trail


def at_time(metadata: Metadata, name: str, pointer: str, time: str | datetime) -> str | None:
    """The number that a pointer was at then, or None if it did not exist yet."""
    moment = clock.read_time(time)
    number = None
    for event in metadata.events(name, subject=pointer):
        if event.kind in ("pointer", "rollback") and event.at <= moment:
            number = event.number
    return number


def _check_reason(reason: str) -> None:
    if not isinstance(reason, str) or not reason.strip():
        raise Refused('Every move needs a reason for the record: reason="…".')
