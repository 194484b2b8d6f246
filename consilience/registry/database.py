"""Opening the metadata database: SQLite with the settings that make a commit durable, or PostgreSQL."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, exc

from consilience.base import MissingDependency
from consilience.registry import durable, schema
from consilience.registry.errors import Refused, RegistryError, StorageFailed

_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "davfs", "afs", "ceph", "glusterfs", "lustre", "beegfs", "gpfs"}
    | {"ocfs2", "gfs2", "fuse.sshfs", "fuse.s3fs", "fuse.glusterfs", "fuse.rclone", "fuse.gcsfuse", "fuse.cephfs"}
)


class Database:
    """Connections to one metadata database.

    ``reading`` gives one consistent view; ``writing`` is one transaction, serialised with every other writer on SQLite
    (its own lock file queues them fairly) and by row locks on PostgreSQL. Safe in threads; not to be shared across a
    fork.
    """

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        self.url = sa.make_url(url)
        self.sqlite = self.url.get_backend_name() == "sqlite"
        self.where = self.url.render_as_string(hide_password=True)
        self._queue: Path | None = None
        if self.sqlite:
            self.engine = self._open_sqlite(read_only)
        elif self.url.get_backend_name() == "postgresql":
            self.engine = self._open_postgres()
        else:
            raise RegistryError(f"A registry's metadata lives in SQLite or PostgreSQL; got {self.where}.")

    def _open_sqlite(self, read_only: bool) -> sa.Engine:
        if not self.url.database or self.url.database == ":memory:":
            raise RegistryError("A registry needs a file: a database in memory would forget what it acknowledged.")
        path = Path(self.url.database)
        kind = file_system(path)
        if kind in _NETWORK:
            raise Refused(
                f"{path.parent} is on a network file system ({kind}), where SQLite's locks do not hold and a registry "
                "can be lost; use a local disk, or PostgreSQL by its URL."
            )
        if read_only:
            url = sa.URL.create(
                "sqlite", database=f"file:{path}", query={"mode": "ro", "immutable": "1", "uri": "true"}
            )
        else:
            url = self.url
            self._queue = path.with_name(path.name + ".lock")
        engine = sa.create_engine(url, connect_args={"timeout": 60.0})

        @event.listens_for(engine, "connect")
        def _settings(connection: Any, _: Any) -> None:
            connection.isolation_level = None  # the driver would begin transactions late, and deferred
            if not read_only:
                for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=60000"):
                    connection.execute(f"PRAGMA {pragma}")
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute("PRAGMA trusted_schema=OFF")

        @event.listens_for(engine, "begin")
        def _begin(connection: sa.Connection) -> None:
            writing = connection.get_execution_options().get("writing", False)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

        return engine

    def _open_postgres(self) -> sa.Engine:
        url = self.url
        if url.drivername == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        try:
            return sa.create_engine(url, pool_pre_ping=True)
        except ModuleNotFoundError as error:
            raise MissingDependency(
                "PostgreSQL needs the 'postgres' extra: pip install 'consilience[postgres]'."
            ) from error

    def prepare(self) -> None:
        """Create the tables where there are none; refuse a database of another release."""
        with self._explained("Opening the registry"), self._turn(), self._begin(writing=True) as connection:
            if not self.sqlite:  # two processes that create the tables at once
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(7305103)"))
            schema.prepare(connection, self.where, create=True)

    def check(self) -> None:
        """Refuse an empty database, or one of another release, writing nothing."""
        with self.reading() as connection:
            schema.prepare(connection, self.where, create=False)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """One consistent view of the metadata."""
        with self._explained("Reading the registry"), self._begin(writing=False) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """One transaction: everything in it becomes durable at its end, or nothing."""
        with self._explained("Writing to the registry"), self._turn(), self._begin(writing=True) as connection:
            yield connection
            durable.step("before commit")
        durable.step("after commit")

    @contextmanager
    def _begin(self, *, writing: bool) -> Iterator[sa.Connection]:
        with self.engine.connect().execution_options(writing=writing) as connection, connection.begin():
            yield connection

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Queue for the one writer that SQLite allows: its own busy handler polls, and can starve a process."""
        if self._queue is None:
            yield
            return
        with durable.storage("Opening the registry"), durable.locked(self._queue):
            yield

    @contextmanager
    def _explained(self, action: str) -> Iterator[None]:
        try:
            yield
        except exc.DBAPIError as error:
            cause = str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else type(error.orig).__name__
            raise StorageFailed(f"{action} at {self.where} failed: {cause}. Nothing was changed.") from error

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def file_system(path: Path) -> str:
    """The type of the file system that a path is, or would be, on; empty where the system does not tell."""
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    path = path.resolve()
    try:
        lines = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return ""
    best, kind = -1, ""
    for line in lines:
        _, mount, found, *_ = line.split()
        mount = mount.replace("\\040", " ")
        inside = path.is_relative_to(mount)
        if inside and len(mount) >= best:
            best, kind = len(mount), found
    return kind


def encode(value: object) -> str:
    """JSON as it is kept in a text column."""
    return json.dumps(value, sort_keys=True, allow_nan=False, separators=(",", ":"))
