"""A full disk, a read-only one and one that fails: a clean error each time, and no published version is damaged."""

import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from consilience.base import State
from consilience.registry import Registry, RegistryError, StorageFailed, durable
from tests.reference.states import logistic
from tests.registry.processes import ROOT, environment
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


def test_a_disk_that_fills_up_while_the_arrays_are_written(small_disk):
    """The library that writes the arrays has errors of its own; none of them gets out."""
    with Registry(small_disk / "registry") as registry:
        large = State("Large", {}, {"w": np.random.default_rng(0).standard_normal(500_000)})
        with pytest.raises(StorageFailed, match=r"No space left.*gc"):
            registry.publish("spx", large)
        assert registry.versions() == [] and list((registry.artifacts.root / "staging").iterdir()) == []


# The system calls through which anything reaches the disk or comes back from it, in three libraries.
CALLS = ("write", "writev", "pwrite64", "pread64", "fsync", "fdatasync", "rename", "mkdir", "flock", "getdents64")


class Faults:
    """Children that publish while ``strace`` makes one of their system calls fail."""

    def __init__(self, folder: Path, trace: Path) -> None:
        self.folder, self.trace, self.seed = folder, trace, 0
        command = [sys.executable, str(Path(__file__).with_name("fault_worker.py")), str(folder)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.worker = subprocess.Popen(command, cwd=ROOT, env=environment(), text=True, **pipes)

    def publish(self, call: str, when: int, error: str) -> tuple[str, bool]:
        """What a child said whose ``when``-th such call of each thread failed, and whether any did."""
        self.seed += 4
        print(self.seed, file=self.worker.stdin, flush=True)
        process = self.worker.stdout.readline().strip()
        fault = ["-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={when}"]
        command = ["strace", "-f", "-q", "-p", process, "-o", str(self.trace), *fault]
        tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        while "TracerPid:\t0" in Path(f"/proc/{process}/status").read_text():
            if tracer.poll() is not None:
                pytest.skip(f"tracing is not permitted here: {tracer.stderr.read()}")
            time.sleep(0.005)
        print(file=self.worker.stdin, flush=True)
        said = self.worker.stdout.readline().strip()
        tracer.communicate()
        return said, "INJECTED" in self.trace.read_text()

    def all(self, call: str, error: str) -> Iterator[str]:
        """What the children said whose first, second, … call failed, later ones sparsely, until none was left."""
        when, injected = 1, True
        while injected:
            said, injected = self.publish(call, when, error)
            yield said
            when += 1 + when // 8


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_any_system_call_may_fail(tmp_path, error):
    """One failing call each time: a named error or a version, and never a damaged registry."""
    with Registry(tmp_path / "registry") as registry:
        registry.publish("spx", model(0))
    faults, failures, published = Faults(tmp_path / "registry", tmp_path / "trace"), 0, {}
    for call in CALLS:
        last = ""
        for said in faults.all(call, error):
            last, words = said, said.split()
            if words[0] == "published":
                published[words[1]] = words[2]
            else:
                assert words[0] in ("StorageFailed:", "DamagedArtifact:"), said
                failures += 1
        assert last.startswith("published"), f"without a fault it goes on: {last}"
    faults.worker.communicate()
    with Registry(tmp_path / "registry") as registry:
        found = {version.number: version.digest for version in registry.versions("spx")}
        assert published.items() <= found.items() and registry.verify() == []
        registry.gc(dry_run=False, grace=0)
        assert list((registry.artifacts.root / "staging").iterdir()) == []
    print(f"{error}: {failures} publishes failed by name, {len(published)} succeeded")
