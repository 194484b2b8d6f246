import pytest

from consilience.registry import Refused, Registry, RegistryError, database
from consilience.registry.database import Database, file_system
from tests.contracts.metadata_store import check_metadata_store


def test_the_contract_of_the_metadata_store(location, tmp_path):
    url = location[0] if "://" in location[0] else f"sqlite:///{tmp_path / 'registry.db'}"

    def make() -> Database:
        opened = Database(url)
        opened.prepare()
        return opened

    check_metadata_store(make)


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs"])
def test_a_network_file_system_is_refused_with_a_sentence(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(database, "file_system", lambda path: kind)
    with pytest.raises(Refused, match=rf"{kind}.*PostgreSQL"):
        Registry(tmp_path / "registry")
    assert list(tmp_path.iterdir()) == []


def test_the_file_system_of_a_path_is_found_whether_or_not_it_exists():
    assert file_system(__import__("pathlib").Path("/proc/self/does/not/exist")) == "proc"


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://x/y"])
def test_databases_that_would_lose_data_are_refused(url):
    with pytest.raises((RegistryError, ModuleNotFoundError), match=r"file|SQLite or PostgreSQL"):
        Registry(url)


def test_postgres_needs_to_know_where_the_files_are():
    with pytest.raises(ValueError, match="artifacts"):
        Registry("postgresql://nobody@127.0.0.1:1/none")


def test_an_unreachable_server_is_one_sentence(tmp_path):
    with pytest.raises(RegistryError, match="Opening the registry") as caught:
        Registry("postgresql://nobody:secret@127.0.0.1:1/none", artifacts=tmp_path)
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)
