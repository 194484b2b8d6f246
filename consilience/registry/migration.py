"""Bringing older things to this release: a registry's database, and folders of models that joblib saved."""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from consilience.base.persistence import read_state
from consilience.registry import clock, schema
from consilience.registry.database import Database, encode
from consilience.registry.errors import Refused, RegistryError

if TYPE_CHECKING:
    from consilience.registry.store import Registry

# From schema version n to n + 1; run in one transaction, after the backup.
STEPS: dict[int, Callable[[sa.Connection], None]] = {}


def upgrade(url: str) -> Path | None:
    """Bring a registry's database to this release's schema; gives the backup, or None if there was nothing to do.

    Raises
    ------
    Refused : a database of a newer release, or of one that is too old to be brought here.
    """
    location = url if "://" in url else f"sqlite:///{Path(url) / 'registry.db'}"
    database = Database(location)
    if database.sqlite and not Path(str(database.url.database)).is_file():
        raise RegistryError(f"There is no registry at {url}.")
    with database.reading() as connection:
        found = schema.stored_version(connection)
    if found > schema.VERSION:
        raise Refused(f"{url} has schema {found}, this release understands up to {schema.VERSION}: update consilience.")
    missing = [step for step in range(found, schema.VERSION) if step not in STEPS]
    if missing:
        raise Refused(f"{url} has schema {found}; no step leads from {missing[0]} to {missing[0] + 1} in this release.")
    if found == schema.VERSION:
        return None
    backup = _back_up(database, found)
    with database.writing() as connection:
        for step in range(found, schema.VERSION):
            STEPS[step](connection)
        connection.execute(schema.meta.update().where(schema.meta.c.key == "schema").values(value=str(schema.VERSION)))
    database.close()
    return backup


def _back_up(database: Database, found: int) -> Path:
    """A copy of the database: SQLite's own for SQLite, every row as JSON for PostgreSQL."""
    stamp = re.sub(r"[^0-9]", "", clock.now())[:14]
    if database.sqlite:
        path = Path(str(database.url.database)).with_name(f"registry.schema{found}.{stamp}.db")
        with database.engine.connect() as connection:
            raw = connection.connection.driver_connection
            assert raw is not None
            raw.execute("VACUUM INTO ?", (str(path),))
        return path
    path = Path(f"registry.schema{found}.{stamp}.jsonl")
    with database.reading() as connection, path.open("x") as file:
        every = sa.MetaData()
        every.reflect(connection)
        for table in every.sorted_tables:
            for row in connection.execute(sa.select(table)):
                file.write(encode({"table": table.name, "row": row._asdict()}) + "\n")
    return path


@dataclass(frozen=True)
class Taken:
    """What became of one file; ``version`` is None where it was left out, ``note`` says why."""

    file: str
    version: str | None
    note: str = ""


def take_over(registry: "Registry", folder: Path, *, trust_pickle: bool, samples: Path | None = None) -> list[Taken]:
    """Publish the models of a folder of joblib or pickle files; loading those happens in a process of its own.

    Parameters
    ----------
    trust_pickle : must be True: loading a pickle runs whatever it contains, with this user's rights.
    samples : .npy or .csv of rows on which every model must predict the same before and after; random ones by default.

    The files are copied to ``migrated`` in the registry's folder first, and not changed.
    """
    if not trust_pickle:
        raise Refused(
            f"Loading joblib and pickle files runs whatever they contain. If you made the files in {folder} yourself, "
            "say so with --trust-pickle."
        )
    files = sorted(p for p in folder.rglob("*") if p.suffix in (".joblib", ".pkl", ".pickle") and p.is_file())
    if not files:
        raise RegistryError(f"There are no .joblib, .pkl or .pickle files in {folder}.")
    kept = registry.artifacts.root / "migrated" / re.sub(r"[^0-9]", "", clock.now())
    for file in files:
        target = kept / file.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, target)
    return [_take(registry, kept, file.relative_to(folder), samples) for file in files]


def _take(registry: "Registry", kept: Path, file: Path, samples: Path | None) -> Taken:
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "model.state"
        command = [sys.executable, "-m", "consilience.registry.pickle_reader", str(kept / file), str(out)]
        try:
            done = subprocess.run(
                [*command, *([str(samples)] if samples else [])],
                capture_output=True,
                text=True,
                timeout=600,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Taken(str(file), None, "loading it took more than ten minutes")
        if done.returncode or not out.is_file():
            lines = done.stderr.strip().splitlines() or [f"its process ended with {done.returncode}"]
            return Taken(str(file), None, lines[-1])
        state = read_state(out)
    name = re.sub(r"[^a-z0-9]+", "-", str(file.with_suffix("")).lower()).strip("-")[:64].strip("-") or "model"
    lineage = {"source": {"file": str(file), "copy": kept.name}, **json.loads(done.stdout.splitlines()[-1])}
    version = registry.publish(name, state, lineage=lineage)
    return Taken(str(file), version.ref, "predictions equal")
