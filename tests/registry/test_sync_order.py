"""Everything is on the disk before the rename that shows it and before the commit that acknowledges it.

The system calls of a publishing process are traced and replayed on a model of a disk that forgets whatever was not
synced: after every prefix of the trace, an artifact that can be seen is complete, and a committed version has its
artifacts.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from consilience.registry import Registry, durable
from tests.reference.states import tree
from tests.registry.processes import ROOT, environment

_CALL = re.compile(r"(?:\[pid +\d+\] )?(?:\d+ +)?(?:\d+\.\d+ )?(\w+)\((.*)\) += (-?\d+)")
_PATH = re.compile(r"\d+<([^>]+)>|\"((?:[^\"\\]|\\.)*)\"")
_CALLS = "open,openat,creat,mkdir,mkdirat,write,pwrite64,writev,pwritev,ftruncate,fsync,fdatasync"
_CALLS += ",rename,renameat,renameat2,unlink,unlinkat"


class Disk:
    """What a disk would still have after a power cut: synced content, and names whose folder was synced after."""

    def __init__(self) -> None:
        self.dirty: set[str] = set()  # files written and not synced since
        self.unsynced: dict[str, set[str]] = {}  # folder -> names that appeared in it and are not yet durable

    def appeared(self, path: str) -> None:
        folder, name = os.path.split(path)
        self.unsynced.setdefault(folder, set()).add(name)

    def vanished(self, path: str) -> None:
        folder, name = os.path.split(path)
        self.unsynced.get(folder, set()).discard(name)
        self.dirty.discard(path)

    def synced(self, path: str) -> None:
        self.dirty.discard(path)
        self.unsynced.pop(path, None)

    def renamed(self, old: str, new: str) -> None:
        self.dirty = {new + p.removeprefix(old) if p == old or p.startswith(old + "/") else p for p in self.dirty}
        self.unsynced = {
            new + f.removeprefix(old) if f == old or f.startswith(old + "/") else f: n for f, n in self.unsynced.items()
        }
        self.appeared(new)

    def open_ends(self, folder: str) -> list[str]:
        """What below a folder a power cut would lose."""
        inside = [path for path in self.dirty if path.startswith(folder + "/")]
        below = [own for own in self.unsynced if own == folder or own.startswith(folder + "/")]
        return inside + [f"{own}/{name}" for own in below for name in self.unsynced[own]]

    def is_named(self, path: str, top: str) -> bool:
        """Whether the name, and those of the folders above it up to ``top``, would survive."""
        while path != top:
            folder, name = os.path.split(path)
            if name in self.unsynced.get(folder, ()):
                return False
            path = folder
        return True


def calls(trace: Path) -> list[tuple[str, list[str], str]]:
    """(call, paths, arguments) of every call that succeeded; calls that another thread interrupted are put together."""
    pending: dict[str, str] = {}
    found = []
    for line in trace.read_text(errors="replace").splitlines():
        process, rest = line.split(None, 1)
        if rest.endswith("<unfinished ...>"):
            pending[process] = rest.removesuffix("<unfinished ...>").rstrip()
            continue
        if resumed := re.match(r"<\.\.\. \w+ resumed>", rest):
            rest = pending.pop(process, "") + rest[resumed.end() :].lstrip()
        match = _CALL.match(rest)
        if match and not match[3].startswith("-"):
            found.append((match[1], [a or b for a, b in _PATH.findall(match[2])], match[2]))
    return found


def replay(trace: Path, root: str) -> tuple[int, int]:
    """Hold every prefix of the trace to the two rules; gives the number of artifacts and commits seen."""
    disk, shown, commits = Disk(), [], 0
    for call, paths, arguments in calls(trace):
        paths = [path for path in paths if path.startswith(root)]
        if not paths:
            continue
        path = paths[-1] if call.startswith(("open", "mkdir", "creat")) else paths[0]
        if call.startswith("mkdir") or call == "creat" or "O_CREAT" in arguments:
            disk.appeared(path)
        elif call in ("write", "pwrite64", "writev", "pwritev", "ftruncate"):
            disk.dirty.add(path)
        elif call.startswith("unlink"):
            disk.vanished("/".join(paths))
        elif call.startswith("rename"):
            if "/artifacts/" in paths[-1] and paths[-1].startswith(root + "/artifacts/"):
                lost = disk.open_ends(paths[0])
                assert not lost, f"renamed before it was synced: {lost[:3]}"
                shown.append(paths[-1])
            disk.renamed(paths[0], paths[-1])
        elif call in ("fsync", "fdatasync"):
            disk.synced(path)
            if path.endswith("-wal"):
                commits += 1
                for artifact in shown:
                    assert disk.is_named(artifact, root), f"committed before {artifact} was durable"
    return len(shown), commits


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_traced_publishes_sync_before_they_show_and_commit(tmp_path):
    trace, root = tmp_path / "trace", tmp_path / "registry"
    code = (
        "from consilience.registry import Registry; from tests.registry.worker import model\n"
        f"r = Registry({str(root)!r})\n"
        "for seed in range(3): r.publish('spx', model(seed * 4))"
    )
    command = ["strace", "-f", "-y", "-s", "4096", "-e", f"trace={_CALLS}", "-o", trace, sys.executable, "-c", code]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=ROOT, env=environment())
    if "ptrace" in done.stderr and "not permitted" in done.stderr:
        pytest.skip("tracing is not permitted here")
    assert done.returncode == 0, done.stderr[-2000:]
    assert replay(trace, str(root.resolve())) >= (6, 6)


def test_a_missing_sync_would_be_noticed(tmp_path):
    """The replay itself: without the sync of one file, or of the parent folder, a rule is broken."""
    lines = [
        'mkdir("/r/artifacts/ab", 0777) = 0',
        "fsync(3</r/artifacts>) = 0",
        'mkdir("/r/staging/x", 0777) = 0',
        'openat(AT_FDCWD</>, "/r/staging/x/spec.json", O_WRONLY|O_CREAT, 0666) = 4</r/staging/x/spec.json>',
        'write(4</r/staging/x/spec.json>, "{}", 2) = 2',
        "fsync(4</r/staging/x/spec.json>) = 0",
        "fsync(5</r/staging/x>) = 0",
        'rename("/r/staging/x", "/r/artifacts/ab/abc") = 0',
        "fsync(6</r/artifacts/ab>) = 0",
        "fdatasync(7</r/registry.db-wal>) = 0",
    ]
    trace = tmp_path / "trace"
    for left_out in (None, 1, 5, 6, 8):
        trace.write_text("\n".join(f"1 {line}" for number, line in enumerate(lines) if number != left_out))
        if left_out is None:
            assert replay(trace, "/r") == (1, 1)
        else:
            with pytest.raises(AssertionError, match="before"):
                replay(trace, "/r")


def test_every_file_and_folder_is_synced_before_the_rename(local, monkeypatch):
    """The same without a tracer, for the calls that are made from Python."""
    synced: set[str] = set()
    renamed = []
    for name in ("sync_file", "sync_folder"):
        original = getattr(durable, name)
        monkeypatch.setattr(durable, name, lambda path, original=original: (synced.add(str(path)), original(path)))
    original_rename = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if "staging" in self.parts and len(target.name) == 64:
            below = [self, *self.rglob("*")]
            assert {str(path) for path in below} <= synced
            renamed.append(target)
        return original_rename(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    local.publish("spx", tree())
    assert len(renamed) == 2 and all(str(path.parent) in synced for path in renamed)


def test_sqlite_syncs_every_commit(local):
    with local.database.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    assert isinstance(local, Registry)
