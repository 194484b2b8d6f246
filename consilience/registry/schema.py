"""The registry's tables, and how a database of another release is told apart from ours."""

import sqlalchemy as sa

from consilience.registry.errors import Refused, VersionNotFound

VERSION = 1

tables = sa.MetaData()

meta = sa.Table(
    "meta", tables, sa.Column("key", sa.String(64), primary_key=True), sa.Column("value", sa.Text, nullable=False)
)

names = sa.Table(
    "names",
    tables,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("created", sa.String(32), nullable=False),
)

# One row per artifact that is, or is about to be, on the disk. `condemned` is when gc found nobody using it.
artifacts = sa.Table(
    "artifacts",
    tables,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("manifest", sa.String(64), nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("created", sa.String(32), nullable=False),
    sa.Column("condemned", sa.String(32)),
)

links = sa.Table(
    "links",
    tables,
    sa.Column("parent", sa.String(64), sa.ForeignKey("artifacts.digest", ondelete="CASCADE"), primary_key=True),
    sa.Column("child", sa.String(64), sa.ForeignKey("artifacts.digest"), primary_key=True),
)

# Rows are never changed or deleted, but for `retired`, set when retention gives the artifact up: no number is reused.
versions = sa.Table(
    "versions",
    tables,
    sa.Column("name", sa.String(64), sa.ForeignKey("names.name"), primary_key=True),
    sa.Column("major", sa.Integer, primary_key=True),
    sa.Column("minor", sa.Integer, primary_key=True),
    sa.Column("patch", sa.Integer, primary_key=True),
    sa.Column("digest", sa.String(64), nullable=False, index=True),
    sa.Column("kind", sa.String(128), nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("created", sa.String(32), nullable=False),
    sa.Column("created_by", sa.String(128), nullable=False),
    sa.Column("record", sa.Text, nullable=False),  # contract, config, lineage, metrics, verdicts, changelog
    sa.Column("retired", sa.String(32)),
)

stages = sa.Table(
    "stages",
    tables,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("number", sa.String(32), primary_key=True),
    sa.Column("stage", sa.String(16), nullable=False),
)

pointers = sa.Table(
    "pointers",
    tables,
    sa.Column("name", sa.String(64), sa.ForeignKey("names.name"), primary_key=True),
    sa.Column("pointer", sa.String(64), primary_key=True),
    sa.Column("number", sa.String(32), nullable=False),
    sa.Column("moves", sa.Integer, nullable=False),  # counts up with every move: what compare-and-swap compares
)

events = sa.Table(
    "events",
    tables,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("at", sa.String(32), nullable=False),
    sa.Column("name", sa.String(64), nullable=False, index=True),
    sa.Column("number", sa.String(32), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("subject", sa.String(64), nullable=False),  # the pointer that moved, the stage reached
    sa.Column("who", sa.String(128), nullable=False),
    sa.Column("data", sa.Text, nullable=False),
)

leases = sa.Table(
    "leases",
    tables,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("digest", sa.String(64), nullable=False, index=True),
    sa.Column("holder", sa.String(128), nullable=False),
    sa.Column("expires", sa.String(32), nullable=False),
)

signatures = sa.Table(
    "signatures",
    tables,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("number", sa.String(32), primary_key=True),
    sa.Column("key", sa.String(64), primary_key=True),  # the public key, hexadecimal
    sa.Column("signature", sa.String(128), nullable=False),
    sa.Column("at", sa.String(32), nullable=False),
)


def prepare(connection: sa.Connection, where: str, *, create: bool) -> None:
    """Create the tables in an empty database, if wanted; refuse one of another schema version.

    Raises
    ------
    VersionNotFound : the database is empty, and no tables are to be created.
    Refused : the database is newer (update consilience) or older (run ``consilience migrate``).
    """
    inspector = sa.inspect(connection)
    if not inspector.has_table("meta"):
        if inspector.has_table("versions") or inspector.has_table("events"):
            raise Refused(f"{where} holds tables that are not a registry's; give another database.")
        if not create:
            raise VersionNotFound(f"There is no registry in {where}; `consilience train` makes one.")
        tables.create_all(connection)
        connection.execute(meta.insert().values(key="schema", value=str(VERSION)))
        return
    found = stored_version(connection)
    if found > VERSION:
        raise Refused(
            f"{where} has schema {found}, this release of consilience understands up to {VERSION}: update consilience."
        )
    if found < VERSION:
        raise Refused(f"{where} has the older schema {found}; run `consilience migrate` (it makes a backup first).")


def stored_version(connection: sa.Connection) -> int:
    """The schema version that a database says it has."""
    value = connection.execute(sa.select(meta.c.value).where(meta.c.key == "schema")).scalar_one_or_none()
    if value is None or not value.isdigit():
        raise Refused("The registry's database does not say which schema it has; it is not one of consilience.")
    return int(value)
