"""Registries on SQLite and, where CONSILIENCE_TEST_POSTGRES gives a server, on PostgreSQL too."""

import os
import uuid

import pytest

from consilience.registry import Registry

POSTGRES = os.environ.get("CONSILIENCE_TEST_POSTGRES")


@pytest.fixture
def postgres_url():
    """A database of its own on the server of CONSILIENCE_TEST_POSTGRES, dropped afterwards."""
    if not POSTGRES:
        pytest.skip(
            "set CONSILIENCE_TEST_POSTGRES to a server's URL, e.g. postgresql+psycopg://root@127.0.0.1:5432/test"
        )
    import sqlalchemy as sa

    server = sa.make_url(POSTGRES)
    name = f"consilience_{uuid.uuid4().hex[:12]}"
    admin = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    yield server.set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    admin.dispose()


@pytest.fixture(params=["sqlite", "postgres"])
def location(request, tmp_path):
    """Arguments of Registry: (url, artifacts)."""
    if request.param == "sqlite":
        return str(tmp_path / "registry"), None
    return request.getfixturevalue("postgres_url"), str(tmp_path / "artifacts")


@pytest.fixture
def registry(location):
    with Registry(location[0], artifacts=location[1]) as opened:
        yield opened


@pytest.fixture
def local(tmp_path):
    """A registry on SQLite only, for tests of files."""
    with Registry(tmp_path / "registry") as opened:
        yield opened
