import uuid

import numpy as np
import pytest

from consilience.base import State
from consilience.registry import DamagedArtifact, Registry, StorageFailed
from consilience.registry.policies import KeepLatest
from tests.reference.states import logistic, tree

fsspec = pytest.importorskip("fsspec", reason="object stores need fsspec")


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """Opens the same registry as if from another machine: the same store and database, another cache."""
    url = f"memory://bucket-{uuid.uuid4().hex}/models"

    def open_from(machine: str) -> Registry:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / machine))
        return Registry(tmp_path / "registry", artifacts=url)

    return open_from


def test_a_version_is_loaded_on_another_machine(opened):
    version = opened("a").publish("spx", tree())
    other = opened("b")
    assert other.artifacts.present() == sorted(version.lineage["artifacts"])
    assert other.state("spx").digest() == tree().digest() and other.verify() == []
    assert opened("a").publish("ndx", tree()).digest == version.digest


def test_a_damaged_cache_is_fetched_again(opened):
    version = opened("a").publish("spx", tree())
    other = opened("b")
    other.state("spx")
    for digest in version.lineage["artifacts"]:
        path = other.artifacts.path(digest) / "spec.json"
        path.write_bytes(path.read_bytes()[:-1])
    assert other.state("spx").digest() == tree().digest()


@pytest.mark.parametrize("name", ["spec.json", "manifest.json", "0", ".zarray"])
def test_a_damaged_object_is_a_named_error(opened, name):
    registry = opened("a")
    registry.publish("spx", logistic())
    store = registry.artifacts.store
    target = next(path for path in store.find(registry.artifacts.base) if path.endswith("/" + name))
    content = store.cat_file(target)
    for change in (content[:-1] + b"!", b""):
        store.pipe_file(target, change)
        with pytest.raises(DamagedArtifact):
            opened("b").state("spx")
    store.rm(target)
    with pytest.raises(DamagedArtifact):
        opened("b").state("spx")
    assert not list((opened("b").artifacts.root / "artifacts").glob("??/*"))


def test_gc_clears_the_store(opened):
    registry = opened("a")
    for seed in range(2):
        registry.publish("spx", State("Large", {}, {"w": np.full(10, seed)}))
    registry.gc(KeepLatest(1), dry_run=False, grace=0)
    registry.gc(dry_run=False, grace=0)
    assert registry.artifacts.present() == [registry.show("spx").digest] and opened("b").verify() == []


def test_a_store_that_fails_publishes_nothing(opened, monkeypatch):
    registry = opened("a")
    monkeypatch.setattr(
        registry.artifacts.store, "pipe_file", lambda *_: (_ for _ in ()).throw(RuntimeError("no route"))
    )
    with pytest.raises(StorageFailed, match="no route"):
        registry.publish("spx", logistic())
    assert registry.versions() == []
