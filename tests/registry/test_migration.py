import sqlite3

import joblib
import numpy as np
import pytest
import sqlalchemy as sa

from consilience.registry import Refused, Registry, RegistryError, migration, schema
from consilience.registry.migration import take_over, upgrade
from tests.reference.states import logistic


def set_schema(registry: Registry, version: int) -> None:
    with registry.database.writing() as connection:
        connection.execute(schema.meta.update().where(schema.meta.c.key == "schema").values(value=str(version)))
    registry.close()


def test_a_newer_registry_is_refused_and_left_alone(registry, location):
    registry.publish("spx", logistic())
    set_schema(registry, schema.VERSION + 1)
    with pytest.raises(Refused, match="update consilience"):
        Registry(location[0], artifacts=location[1])
    if location[1] is None:
        with pytest.raises(Refused, match="update consilience"):
            upgrade(location[0])


def test_an_older_registry_is_upgraded_by_the_command_with_a_backup(registry, location, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    registry.publish("spx", logistic())
    registry.close()
    assert upgrade(location[0]) is None, "nothing to do"

    def add_column(connection: sa.Connection) -> None:
        connection.exec_driver_sql("ALTER TABLE names ADD COLUMN note VARCHAR")

    old = schema.VERSION
    monkeypatch.setattr(schema, "VERSION", old + 1)
    with pytest.raises(Refused, match="consilience migrate"):
        Registry(location[0], artifacts=location[1])
    with pytest.raises(Refused, match="no step"):
        upgrade(location[0])
    monkeypatch.setitem(migration.STEPS, old, add_column)
    backup = upgrade(location[0])
    with Registry(location[0], artifacts=location[1]) as opened:
        assert opened.verify() == [] and len(opened.versions()) == 1
        with opened.database.reading() as connection:
            assert "note" in {column["name"] for column in sa.inspect(connection).get_columns("names")}
    if location[1] is None:
        with sqlite3.connect(backup) as copy:
            assert copy.execute("select count(*) from versions").fetchone() == (1,)
            assert copy.execute("select value from meta where key = 'schema'").fetchone() == (str(old),)
    else:
        assert '"table":"versions"' in backup.read_text()


def test_a_failed_upgrade_changes_nothing(local, monkeypatch):
    local.publish("spx", logistic())
    local.close()

    def fail(connection: sa.Connection) -> None:
        connection.exec_driver_sql("ALTER TABLE names ADD COLUMN note VARCHAR")
        raise RuntimeError("half way")

    root, old = str(local.artifacts.root), schema.VERSION
    monkeypatch.setattr(schema, "VERSION", old + 1)
    monkeypatch.setitem(migration.STEPS, old, fail)
    with pytest.raises(RuntimeError):
        upgrade(root)
    monkeypatch.setattr(schema, "VERSION", old)
    assert Registry(root).verify() == []


def test_a_database_of_something_else_is_refused(tmp_path):
    with sqlite3.connect(tmp_path / "registry.db") as other:
        other.execute("create table versions (x int)")
    with pytest.raises(Refused, match="not a registry's"):
        Registry(tmp_path)


@pytest.fixture
def folder(tmp_path):
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import Ridge
    from sklearn.neighbors import KNeighborsClassifier

    X = np.random.default_rng(0).standard_normal((200, 3))
    y = (X[:, 0] > 0).astype(int)
    own = tmp_path / "models"
    (own / "old").mkdir(parents=True)
    joblib.dump(RandomForestClassifier(5, random_state=0).fit(X, y), own / "SPX Forest.joblib")
    joblib.dump({"model": Ridge().fit(X, X[:, 0]), "features": ["a"]}, own / "old" / "ridge.pkl")
    joblib.dump(KNeighborsClassifier().fit(X, y), own / "neighbours.joblib")
    (own / "broken.joblib").write_bytes(b"\x80\x04nonsense")
    return own


def test_joblib_models_are_taken_over_only_with_trust(local, folder):
    with pytest.raises(Refused, match="--trust-pickle"):
        take_over(local, folder, trust_pickle=False)
    assert local.versions() == [] and not (local.artifacts.root / "migrated").exists()
    for path in folder.rglob("*.*"):
        if path.name != "SPX Forest.joblib":
            path.unlink()
    assert take_over(local, folder, trust_pickle=True)[0].version == "spx-forest==1.0.0"


@pytest.mark.slow
def test_every_joblib_model_that_can_be_is_taken_over(local, folder):
    with pytest.raises(Refused, match="--trust-pickle"):
        take_over(local, folder, trust_pickle=False)
    assert local.versions() == []
    taken = {item.file: item for item in take_over(local, folder, trust_pickle=True)}
    assert (
        taken["SPX Forest.joblib"].version == "spx-forest==1.0.0"
        and taken["old/ridge.pkl"].version == "old-ridge==1.0.0"
    )
    assert taken["neighbours.joblib"].version is None and "cannot be adopted" in taken["neighbours.joblib"].note
    assert taken["broken.joblib"].version is None
    copies = {path.name for path in (local.artifacts.root / "migrated").rglob("*") if path.is_file()}
    assert copies == {"SPX Forest.joblib", "ridge.pkl", "neighbours.joblib", "broken.joblib"}
    X = np.random.default_rng(1).standard_normal((20, 3))
    original = joblib.load(folder / "SPX Forest.joblib")
    np.testing.assert_allclose(local.load("spx-forest").predict_proba(X), original.predict_proba(X), atol=1e-12)


def test_an_empty_folder_is_an_error(local, tmp_path):
    with pytest.raises(RegistryError, match=r"no \.joblib"):
        take_over(local, tmp_path, trust_pickle=True)


def test_no_pickle_is_loaded_on_any_other_path():
    """The load path has no unpickling: only the reader of the migration names joblib, and nothing imports that."""
    from pathlib import Path

    import consilience.registry

    forbidden = ("import pickle", "import joblib", "import marshal", "eval(", "exec(", "import pickle_reader")
    for path in Path(consilience.registry.__file__).parent.glob("*.py"):
        if path.name != "pickle_reader.py":
            assert not any(word in path.read_text() for word in forbidden), path
