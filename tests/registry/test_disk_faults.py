"""A full disk, a read-only one and one that fails: a clean error each time, and no published version is damaged."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from consilience.registry import Registry, RegistryError, StorageFailed, durable
from tests.reference.states import logistic
from tests.registry.worker import model


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MB, unmounted afterwards."""
    where = tmp_path / "disk"
    where.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(where)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    yield where
    subprocess.run(["umount", "-l", str(where)], check=True)


def fill(registry: Registry, first: int) -> list[str]:
    """Publish until the disk is full; gives what was acknowledged."""
    acknowledged = []
    with pytest.raises(StorageFailed) as caught:
        for seed in range(first, first + 400, 4):
            acknowledged.append(registry.publish("spx", model(seed)).digest)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    return acknowledged


def test_a_full_disk_loses_nothing(small_disk):
    with Registry(small_disk / "registry") as registry:
        acknowledged = fill(registry, 0)
        assert acknowledged and registry.verify() == []
        assert [version.digest for version in registry.versions("spx")][::-1] == acknowledged
        assert list((registry.artifacts.root / "staging").iterdir()) == []
        subprocess.run(["mount", "-o", "remount,size=6m", str(small_disk)], check=True)
        assert registry.publish("spx", model(1000)).number == f"1.0.{len(acknowledged)}"
        assert registry.verify() == []


def test_a_read_only_disk_is_read_and_refuses_to_write(small_disk):
    with Registry(small_disk / "registry") as registry:
        registry.publish("spx", logistic())
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(RegistryError, match=r"[Rr]ead-only|readonly"):
        Registry(small_disk / "registry").publish("spx", logistic(1))
    with Registry(small_disk / "registry", read_only=True) as opened:
        assert opened.verify() == [] and opened.state("spx").digest() == logistic().digest()
        with pytest.raises(StorageFailed):
            opened.promote("spx", "candidate", reason="x")


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EROFS, errno.EDQUOT])
@pytest.mark.parametrize("place", ["sync_file", "sync_folder", "write_file", "rename"])
def test_an_error_at_any_call_is_named_and_harmless(local, monkeypatch, place, code):
    local.publish("spx", logistic())
    owner, name = (Path, "rename") if place == "rename" else (durable, place)
    original = getattr(owner, name)
    for count in range(2):
        calls = 0

        def fail(path, *arguments, at=count):
            nonlocal calls
            calls += 1
            if calls > at and "registry" in str(path):
                raise OSError(code, os.strerror(code), str(path))
            return original(path, *arguments)

        with monkeypatch.context() as patch:
            patch.setattr(owner, name, fail)
            with pytest.raises(StorageFailed, match=os.strerror(code)):
                local.publish("spx", model(4 * count))
        assert len(local.versions("spx")) == 1 and local.verify() == []
    assert local.publish("spx", model(0)).number == "2.0.0"
    assert local.verify() == []
