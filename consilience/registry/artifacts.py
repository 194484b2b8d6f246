"""Artifacts in a local folder, each named by its content digest, each published whole or not at all."""

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from consilience.base import State
from consilience.registry import artifact, durable
from consilience.registry.artifact import Budget, Part
from consilience.registry.errors import DamagedArtifact, StorageFailed
from consilience.registry.manifest import MANIFEST, hash_file, verify_folder
from consilience.registry.names import check_digest


@dataclass(frozen=True)
class Stored:
    """One artifact as it lies on the disk."""

    digest: str
    manifest: str
    children: tuple[str, ...]
    total_bytes: int


class LocalArtifacts:
    """Content-addressed artifacts below one folder: ``artifacts/ab/<digest>``, ``staging``, ``trash``.

    Any number of processes may write and read at once; each writes into a staging folder of its own, whose lock file
    tells ``gc`` that the writer lives.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def create(self) -> None:
        """Make the folders."""
        for name in ("artifacts", "staging", "trash"):
            durable.make_folder(self.root / name)

    def path(self, digest: str) -> Path:
        """Where the artifact of that digest lies, or would."""
        return self.root / "artifacts" / check_digest(digest)[:2] / digest

    def put(self, part: Part, known: str | None, native: Mapping[str, bytes] | None = None) -> Stored:
        """Store one artifact durably; an intact one of the same digest is used as it is, a damaged one replaced.

        Parameters
        ----------
        known : SHA-256 of the manifest that the metadata has for this digest, if any.
        """
        final = self.path(part.digest)
        if final.exists():
            try:
                found = self._describe(part.digest, verify_folder(final, part.digest, known))
            except DamagedArtifact:
                self.discard(part.digest)
            else:
                durable.sync_folder(final.parent)  # its writer may not have come to that yet
                return found
        with durable.storage("Writing the artifact"), self.staging() as folder:
            durable.step("staging made")
            artifact.write(part, folder, native)
            durable.sync_tree(folder)
            durable.step("files synced")
            self.accept(folder, part.digest)
        return self._describe(part.digest, verify_folder(final, part.digest, None))

    def accept(self, folder: Path, digest: str) -> None:
        """Give a complete, synced folder its final name; a writer of the same content may have been first."""
        final = self.path(digest)
        durable.make_folder(final.parent)
        durable.step("parent made")
        try:
            folder.rename(final)
        except OSError:
            if not (final / MANIFEST).is_file():
                raise
        durable.step("renamed")
        durable.sync_folder(final.parent)
        durable.step("parent synced")

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        """A fresh folder that only this call writes to; whatever is left in it afterwards is removed."""
        own = self.root / "staging" / uuid.uuid4().hex
        with durable.locked(own.with_suffix(".lock")):
            own.mkdir()
            try:
                yield own
            finally:
                shutil.rmtree(own, ignore_errors=True)
                own.with_suffix(".lock").unlink(missing_ok=True)

    def require(self, digest: str) -> None:
        """Fail unless the artifact lies where it should; called inside the transaction that makes a version of it."""
        if not (self.path(digest) / MANIFEST).is_file():
            raise StorageFailed(f"Artifact {digest[:12]} vanished while it was being published; publish again.")

    def verify(self, digest: str, manifest: str | None) -> Stored:
        """Check every file of one artifact against its manifest."""
        folder = self.path(digest)
        if not folder.is_dir() or folder.is_symlink():
            raise DamagedArtifact(f"Artifact {digest[:12]} is missing from {self.root}.")
        return self._describe(digest, verify_folder(folder, digest, manifest))

    def read(self, digest: str, manifests: Mapping[str, str]) -> State:
        """Verify an artifact and those below it, and give the state; its content digest is checked at the end.

        Parameters
        ----------
        manifests : digest to SHA-256 of the manifest, as the metadata recorded them.
        """
        budget = Budget()

        seen: dict[str, tuple[State, int, int]] = {}

        def load(wanted: str, above: tuple[str, ...]) -> State:
            if wanted in above:
                raise DamagedArtifact(f"Artifact {wanted[:12]} contains itself.")
            if wanted in seen:
                budget.spend(*seen[wanted][1:])
                return seen[wanted][0]
            if wanted not in manifests:
                raise DamagedArtifact(f"Artifact {wanted[:12]} is needed, but the registry does not know it.")
            nodes, size = budget.nodes, budget.total_bytes
            self.verify(wanted, manifests[wanted])
            state = artifact.read(self.path(wanted), lambda child: load(child, (*above, wanted)), budget)
            seen[wanted] = state, nodes - budget.nodes, size - budget.total_bytes
            return state

        state = load(digest, ())
        if state.digest() != digest:
            raise DamagedArtifact(f"Artifact {digest[:12]} is intact, but its content is that of another version.")
        return state

    def native(self, digest: str) -> dict[str, Path]:
        """Files kept for other tools (a booster's own text), by name."""
        folder = self.path(digest) / "native"
        return {path.name: path for path in sorted(folder.iterdir())} if folder.is_dir() else {}

    def present(self) -> list[str]:
        """Digests of all artifacts on the disk."""
        return sorted(path.name for path in (self.root / "artifacts").glob("??/*") if len(path.name) == 64)

    def discard(self, digest: str) -> None:
        """Move an artifact to the trash; from this moment no reader finds it."""
        final = self.path(digest)
        with durable.storage("Removing the artifact"):
            if os.path.lexists(final):
                final.rename(self.root / "trash" / f"{digest}.{uuid.uuid4().hex}")
                durable.sync_folder(final.parent)
                durable.sync_folder(self.root / "trash")

    def empty_trash(self) -> int:
        """Unlink what was discarded; gives the bytes freed. Several processes may do it at once."""
        freed = 0
        for path in (self.root / "trash").iterdir():
            freed += remove(path)
        return freed

    def orphans(self, older_than: float) -> list[str]:
        """Digests on the disk that have not been touched for that many seconds."""
        limit = time.time() - older_than
        found = []
        for digest in self.present():
            with contextlib.suppress(FileNotFoundError):
                if self.path(digest).lstat().st_ctime <= limit:
                    found.append(digest)
        return found

    def clear_abandoned(self, older_than: float, *, dry_run: bool) -> tuple[list[str], int]:
        """Remove staging folders whose writer is gone and that are older than so many seconds; names and bytes."""
        names, freed = [], 0
        for name in sorted({path.stem for path in (self.root / "staging").iterdir()}):
            own = self.root / "staging" / name
            lock = own.with_suffix(".lock")
            if not _untouched(own if own.exists() else lock, older_than):
                continue
            with durable.locked(lock, wait=False) as free:  # held while removing: no writer can begin meanwhile
                if free and own.exists():
                    names.append(name)
                    freed += folder_bytes(own) if dry_run else remove(own)
                if free and not (dry_run and own.exists()):
                    lock.unlink(missing_ok=True)
        return names, freed

    def _describe(self, digest: str, manifest: Mapping[str, object]) -> Stored:
        files = manifest["files"]
        assert isinstance(files, dict)
        children = manifest["children"]
        assert isinstance(children, list)
        total = sum(size for size, _ in files.values())
        return Stored(digest, hash_file(self.path(digest) / MANIFEST), tuple(map(check_digest, children)), total)


def folder_bytes(path: Path) -> int:
    """Bytes of all files below a path, links not followed; what vanishes meanwhile does not count."""
    if path.is_symlink() or not path.is_dir():
        return _size(path)
    return sum(_size(Path(top) / name) for top, _, names in os.walk(path) for name in names)


def remove(path: Path) -> int:
    """Unlink a file or a whole folder; gives the bytes it had."""
    size = folder_bytes(path)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
    return size


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0


def _untouched(path: Path, seconds: float) -> bool:
    try:
        return time.time() - path.lstat().st_mtime >= seconds
    except FileNotFoundError:
        return False
