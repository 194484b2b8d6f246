"""``consilience versions | show | diff | lineage | stage | promote | rollback | verify``"""

from collections.abc import Callable, Iterable
from typing import Annotated, Any

import typer

from consilience.cli.console import console

Where = Annotated[str, typer.Option("--registry", help="registry folder or URL")]
Files = Annotated[
    str | None, typer.Option("--artifacts", help="folder or URL of the models' files; needed with PostgreSQL")
]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON instead of a table")]
Reason = Annotated[str, typer.Option("--reason", help="why, for the record")]
Who = Annotated[str | None, typer.Option("--who", help="who, for the record; the system's user by default")]
Evidence = Annotated[str | None, typer.Option("--evidence", help="what it rests on, such as a report's path or URL")]
Reference = Annotated[str, typer.Argument(help="name, name==1.0.0 or name@production")]


def register(app: typer.Typer) -> None:
    """Add the commands, those of ``registry_transfer`` included."""
    from consilience.cli import registry_transfer

    for name, command in _COMMANDS.items():
        app.command(name)(command)
    registry_transfer.register(app)


def open_registry(where: str, artifacts: str | None = None) -> Any:
    """The registry that the options name; one that is not there is an error, not a new empty one."""
    from consilience.registry import Registry

    return Registry(where, artifacts=artifacts, create=False)


def versions_command(
    name: Annotated[str | None, typer.Argument(help="only versions of this name")] = None,
    kind: Annotated[str | None, typer.Option(help="class of the model or of a member")] = None,
    stage: Annotated[str | None, typer.Option(help="only versions of this stage")] = None,
    at_least: Annotated[list[str] | None, typer.Option("--min", help="name=number: a metric's lower bound")] = None,
    at_most: Annotated[list[str] | None, typer.Option("--max", help="name=number: a metric's upper bound")] = None,
    text: Annotated[str | None, typer.Option(help="part of a name or of any recorded value")] = None,
    at: Annotated[str | None, typer.Option(help="what each pointer was at then, e.g. 2026-01-31T12:00")] = None,
    registry: Where = "registry",
    artifacts: Files = None,
    as_json: AsJson = False,
) -> None:
    """List versions, newest first, or those that meet conditions."""
    from consilience.registry.comparing import check_metrics

    store = open_registry(registry, artifacts)
    found = store.search(
        name,
        kind=kind,
        stage=stage,
        text=text,
        min_metric=check_metrics(at_least or ()),
        max_metric=check_metrics(at_most or ()),
    )
    if at is not None:
        found = _as_of(store, {version.name for version in found}, at)
    if as_json:
        print_json([version.to_dict() for version in found])
        return
    if not found:
        console().print(f"No version in {registry}; `consilience train` makes one.")
        return
    rows = [
        (v.name, v.number, v.stage, ", ".join(v.pointers), v.kind, _size(v.bytes), _minute(v.created), v.digest[:12])
        for v in found
    ]
    _print_table(("name", "version", "stage", "pointers", "model", "size", "created (UTC)", "digest"), rows)


def _as_of(store: Any, names: Iterable[str], at: str) -> list[Any]:
    """What each pointer of these names was at then, that pointer alone shown."""
    import dataclasses

    found = []
    for name in sorted(names):
        for pointer in sorted({event.subject for event in store.history(name) if event.kind == "pointer"}):
            version = store.at(name, pointer, at)
            if version is not None:
                found.append(dataclasses.replace(version, pointers=(pointer,)))
    return found


def show_command(
    ref: Reference, registry: Where = "registry", artifacts: Files = None, as_json: AsJson = False
) -> None:
    """Everything that is known about one version."""
    store = open_registry(registry, artifacts)
    version = store.show(ref)
    history = [event for event in store.history(version.name) if event.number == version.number]
    facts = version.to_dict() | {"signatures": store.signatures(ref)}
    if as_json:
        print_json(facts | {"history": [vars(event) for event in history]})
        return
    facts["changelog"] = "\n".join(version.changelog)
    facts["size"] = _size(facts.pop("bytes"))
    _print_table(
        ("", version.ref), [(key, _cell(value)) for key, value in facts.items() if value not in (None, {}, [])]
    )
    rows = [(e.at[:19].replace("T", " "), e.kind, e.subject, e.who, str(e.data.get("reason", ""))) for e in history]
    _print_table(("when (UTC)", "what", "to", "who", "why"), rows)


def diff_command(
    old: Reference,
    new: Reference,
    more: Annotated[list[str] | None, typer.Argument(help="further versions: a table of metrics")] = None,
    registry: Where = "registry",
    artifacts: Files = None,
    as_json: AsJson = False,
) -> None:
    """What differs between two versions; with more than two, their metrics side by side."""
    store = open_registry(registry, artifacts)
    if more:
        table = store.compare(old, new, *more)
        if as_json:
            print_json(table)
            return
        columns = list(next(iter(table.values())))
        _print_table(("version", *columns), [(ref, *map(_cell, row.values())) for ref, row in table.items()])
        return
    found = store.diff(old, new)
    if as_json:
        print_json(found)
        return
    rows = [(part, path, _cell(a), _cell(b)) for part, items in found.items() for path, a, b in items]
    if rows:
        _print_table(("part", "what", old, new), rows)
    else:
        console().print("They do not differ.")


def lineage_command(
    ref: Reference, registry: Where = "registry", artifacts: Files = None, as_json: AsJson = False
) -> None:
    """Where a version comes from: data, code, packages, hardware, parents, members."""
    found = open_registry(registry, artifacts).lineage(ref)
    if as_json:
        print_json(found)
    else:
        _print_table(("", ref), [(key, _cell(value)) for key, value in found.items() if value not in (None, {}, [])])


def stage_command(
    ref: Reference,
    stage: Annotated[str, typer.Argument(help="development, staging, production, deprecated or archived")],
    reason: Reason,
    who: Who = None,
    evidence: Evidence = None,
    override: Annotated[str | None, typer.Option(help="why a version whose gates failed goes on all the same")] = None,
    registry: Where = "registry",
    artifacts: Files = None,
    as_json: AsJson = False,
) -> None:
    """Move a version to another stage; no pointer moves."""
    store = open_registry(registry, artifacts)
    version = store.stage(ref, stage, reason=reason, who=who, evidence=evidence, override=override)
    _print_moved(version, as_json)


def promote_command(
    ref: Reference,
    to: Annotated[
        str, typer.Argument(help="a stage, or a pointer such as candidate; production is both")
    ] = "production",
    reason: Reason = "",
    who: Who = None,
    evidence: Evidence = None,
    override: Annotated[str | None, typer.Option(help="why a version whose gates failed goes on all the same")] = None,
    expected: Annotated[str | None, typer.Option(help="the version that the pointer must be at now")] = None,
    registry: Where = "registry",
    artifacts: Files = None,
    as_json: AsJson = False,
) -> None:
    """Put a version into production, or to another stage or pointer."""
    record = {"reason": reason, "who": who, "evidence": evidence, "override": override, "expected": expected}
    _print_moved(open_registry(registry, artifacts).promote(ref, to, **record), as_json)


def rollback_command(
    name: Annotated[str, typer.Argument(help="name of the model")],
    pointer: Annotated[str, typer.Argument(help="which pointer")] = "production",
    reason: Reason = "",
    who: Who = None,
    registry: Where = "registry",
    artifacts: Files = None,
    as_json: AsJson = False,
) -> None:
    """Move a pointer back to where it was before its last move."""
    _print_moved(open_registry(registry, artifacts).rollback(name, pointer, reason=reason, who=who), as_json)


def verify_command(
    ref: Annotated[str | None, typer.Argument(help="one version; all by default")] = None,
    registry: Where = "registry",
    artifacts: Files = None,
    as_json: AsJson = False,
) -> None:
    """Check every stored file against its digest, and every signature; exit status 1 if anything is wrong."""
    store = open_registry(registry, artifacts)
    found = store.verify(ref)
    if as_json:
        print_json({"damaged": found})
    else:
        for sentence in found:
            console().print(sentence, style="red", markup=False)
        if not found:
            console().print("Everything is as it was published.")
    if found:
        raise typer.Exit(1)


_COMMANDS: dict[str, Callable[..., None]] = {
    "versions": versions_command,
    "show": show_command,
    "diff": diff_command,
    "lineage": lineage_command,
    "stage": stage_command,
    "promote": promote_command,
    "rollback": rollback_command,
    "verify": verify_command,
}


def _print_moved(version: Any, as_json: bool) -> None:
    if as_json:
        print_json(version.to_dict())
    else:
        at = f", at {', '.join(version.pointers)}" if version.pointers else ""
        console().print(f"{version.ref} is {version.stage}{at}.", markup=False, highlight=False)


def print_json(value: Any) -> None:
    """Print a value as indented JSON."""
    import json

    print(json.dumps(value, indent=2, ensure_ascii=False))


def _print_table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for column in columns:
        table.add_column(Text(column), overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    console().print(table)


def _cell(value: Any) -> str:
    import json

    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, indent=1, ensure_ascii=False)


def _minute(time: str) -> str:
    return time[:16].replace("T", " ")


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count / 1e3:.1f} kB"
