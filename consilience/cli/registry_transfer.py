"""``consilience gc | sign | export | import | migrate``"""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from consilience.cli.console import console
from consilience.cli.registry_commands import AsJson, Files, Reference, Where, open_registry, print_json


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for name, command in (("gc", gc), ("sign", sign), ("export", export), ("import", import_), ("migrate", migrate)):
        app.command(name)(command)


def gc(
    keep_latest: Annotated[int | None, typer.Option(help="keep the n newest versions of each name")] = None,
    keep_best: Annotated[list[str] | None, typer.Option(help="metric or metric=n: keep the n best by it")] = None,
    lowest: Annotated[bool, typer.Option(help="the best is the lowest, as for a loss")] = False,
    keep_stages: Annotated[list[str] | None, typer.Option(help="keep versions of this stage")] = None,
    keep_newer: Annotated[str | None, typer.Option(help="keep versions younger than, e.g., 90d")] = None,
    grace: Annotated[str, typer.Option(help="how long something must have been unused before it is removed")] = "1d",
    apply: Annotated[bool, typer.Option("--apply", help="do it; otherwise only say what would be done")] = False,
    registry: Where = "registry",
    artifacts: Files = None,
    as_json: AsJson = False,
) -> None:
    """Give up versions that no --keep option keeps and clear away what nobody uses; only says so without --apply."""
    from consilience.registry import policies

    wanted: list[Any] = []
    if keep_latest is not None:
        wanted.append(policies.KeepLatest(keep_latest))
    for text in keep_best or ():
        metric, _, count = text.partition("=")
        wanted.append(policies.KeepBest(metric, int(count) if count.isdigit() else 1, lowest))
    if keep_stages:
        wanted.append(policies.KeepStages(tuple(keep_stages)))
    if keep_newer is not None:
        wanted.append(policies.KeepNewer(keep_newer))
    report = open_registry(registry, artifacts).gc(*wanted, dry_run=not apply, grace=grace)
    if as_json:
        print_json(vars(report))
        return
    out = console()
    verb = "was" if apply else "would be"
    for what, items in (("retired", report.retired), ("removed", report.removed), ("cleared away", report.leftovers)):
        for item in items:
            out.print(f"{item} {verb} {what}", markup=False, highlight=False)
    if report.condemned:
        out.print(f"{len(report.condemned)} artifacts unused for the first time; a gc after {grace} removes them.")
    out.print(f"{report.freed_bytes / 1e6:.1f} MB {'freed' if apply else 'to free; add --apply to do it'}.")


def sign(
    ref: Annotated[str | None, typer.Argument(help="name, name==1.0.0 or name@production")] = None,
    key: Annotated[Path | None, typer.Option(help="file with the private key")] = None,
    new_key: Annotated[Path | None, typer.Option(help="write a new private key there and print its public key")] = None,
    trust: Annotated[
        list[str] | None, typer.Option(help="public key; from now on only versions signed by such keys load")
    ] = None,
    registry: Where = "registry",
    artifacts: Files = None,
    as_json: AsJson = False,
) -> None:
    """Sign a version, make a key, or say which keys this registry trusts."""
    from consilience.base import InvalidInput
    from consilience.registry import signing

    if new_key is not None:
        public = signing.new_key(new_key)
    elif trust:
        open_registry(registry, artifacts).trust(trust)
        public = ", ".join(trust)
    elif ref is not None and key is not None:
        public = open_registry(registry, artifacts).sign(ref, key)
    else:
        raise InvalidInput("Give a version and --key FILE, or --new-key FILE, or --trust PUBLIC_KEY.")
    print_json({"public_key": public}) if as_json else print(public)


def export(
    ref: Reference,
    path: Annotated[Path, typer.Argument(help="the file, or for --native the folder, to write")],
    native: Annotated[bool, typer.Option(help="only the files in the formats of other tools")] = False,
    keras: Annotated[
        bool, typer.Option("--keras", help="the network: .keras, .weights.h5, .onnx or a SavedModel folder")
    ] = False,
    member: Annotated[str | None, typer.Option(help="with --keras: which member of an ensemble")] = None,
    registry: Where = "registry",
    artifacts: Files = None,
    as_json: AsJson = False,
) -> None:
    """Write a version to one file that `consilience import` reads elsewhere, or in the formats of other tools."""
    store = open_registry(registry, artifacts)
    if keras:
        written = store.export_keras(ref, path, member)
    else:
        written = store.export_native(ref, path) if native else [store.export(ref, path)]
    if as_json:
        print_json([str(file) for file in written])
    else:
        for file in written:
            print(file)


def import_(
    path: Annotated[Path, typer.Argument(help="a bundle of `consilience export`, or a model file with --adopt")],
    name: Annotated[str | None, typer.Option(help="under this name")] = None,
    adopt: Annotated[bool, typer.Option(help="the file is XGBoost JSON/UBJ or LightGBM text")] = False,
    signed_by: Annotated[str | None, typer.Option(help="refuse a bundle that this public key has not signed")] = None,
    registry: Where = "registry",
    artifacts: Files = None,
    as_json: AsJson = False,
) -> None:
    """Publish the version in a bundle, or a booster that another tool has saved. Everything is verified."""
    from consilience.base import InvalidInput
    from consilience.registry import Registry

    store = Registry(registry, artifacts=artifacts)
    if adopt:
        if name is None:
            raise InvalidInput("Give the adopted model a --name.")
        version = store.adopt(name, path)
    else:
        version = store.import_bundle(path, name, signed_by=signed_by)
    print_json(version.to_dict()) if as_json else print(f"{version.ref} {version.digest[:12]}")


def migrate(
    folder: Annotated[Path | None, typer.Argument(help="a folder of joblib or pickle models to take over")] = None,
    trust_pickle: Annotated[
        bool, typer.Option("--trust-pickle", help="I trust these files: loading a pickle runs whatever it contains")
    ] = False,
    samples: Annotated[
        Path | None, typer.Option(help=".csv or .npy of rows on which old and new predictions must agree")
    ] = None,
    registry: Where = "registry",
    artifacts: Files = None,
    as_json: AsJson = False,
) -> None:
    """Without a folder: bring the registry's database to this release. With one: take over models saved by joblib."""
    from consilience.registry import Registry, migration

    if folder is None:
        backup = migration.upgrade(registry)
        text = f"The registry is up to date; the database as it was is in {backup}." if backup else "Nothing to do."
        print_json({"backup": str(backup) if backup else None}) if as_json else print(text)
        return
    taken = migration.take_over(
        Registry(registry, artifacts=artifacts), folder, trust_pickle=trust_pickle, samples=samples
    )
    if as_json:
        print_json([vars(item) for item in taken])
        return
    for item in taken:
        print(f"{item.file}: {item.version or 'left out'}{', ' + item.note if item.note else ''}")
    if any(item.version is None for item in taken):
        sys.exit(1)
