"""Artifacts in an object store (any fsspec URL), read through a local cache that is verified like everything else."""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from consilience.base import MissingDependency
from consilience.registry import durable
from consilience.registry.artifact import Part
from consilience.registry.artifacts import LocalArtifacts, Stored, remove
from consilience.registry.errors import DamagedArtifact, StorageFailed
from consilience.registry.manifest import LIMITS, MANIFEST, parse_json, verify_folder
from consilience.registry.names import check_digest

_FILE = re.compile(r"(?:[A-Za-z0-9_-]{1,40}/){0,2}[A-Za-z0-9._-]{1,120}")


class RemoteArtifacts(LocalArtifacts):
    """As ``LocalArtifacts``, whose folder serves as cache of ``URL/ab/<digest>/<manifest>/…``.

    An object store has no rename, so the manifest is uploaded last, and the metadata names it: whoever reads sees all
    of an artifact or none. A cached artifact that is damaged is fetched again.

    Parameters
    ----------
    url : such as ``s3://bucket/models``; the store's credentials come from the environment, as fsspec has it.
    cache : a local folder; by default below ``$XDG_CACHE_HOME`` or ``~/.cache``.
    """

    def __init__(self, url: str, cache: Path | None = None) -> None:
        try:
            import fsspec
        except ImportError as error:
            raise MissingDependency(f"Artifacts at {url} need fsspec: pip install fsspec.") from error
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        own = hashlib.sha256(url.encode()).hexdigest()[:16]
        super().__init__(cache or home / "consilience" / "artifacts" / own)
        self.url = url
        with _remote(url):
            self.store, self.base = fsspec.core.url_to_fs(url)

    def put(self, part: Part, known: str | None, native: Mapping[str, bytes] | None = None) -> Stored:
        """Store in the cache, then upload what the store does not have; the manifest last."""
        stored = super().put(part, known, native)
        there = self._there(stored.digest, stored.manifest)
        with _remote(self.url):
            if self.store.exists(f"{there}/{MANIFEST}"):
                return stored
            folder = self.path(stored.digest)
            files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
            for file in [*files, folder / MANIFEST]:
                self.store.pipe_file(f"{there}/{file.relative_to(folder).as_posix()}", file.read_bytes())
        durable.step("uploaded")
        return stored

    def require(self, digest: str) -> None:
        """Fail unless the object store has the artifact."""
        with _remote(self.url):
            if not self.store.exists(self._there(digest)):
                raise StorageFailed(f"Artifact {digest[:12]} vanished while it was being published; publish again.")

    def verify(self, digest: str, manifest: str | None) -> Stored:
        """Check the cached artifact; fetch it if it is not there, or not intact."""
        if self.path(digest).exists():
            try:
                return super().verify(digest, manifest)
            except DamagedArtifact:
                self._drop(digest)
        self._fetch(digest, manifest)
        return super().verify(digest, manifest)

    def _fetch(self, digest: str, manifest: str | None) -> None:
        """Download into a staging folder, verify, and give it its place in the cache."""
        there = self._there(digest, check_digest(manifest)) if manifest else self._any(digest)
        with durable.storage("Caching the artifact"), self.staging() as folder:
            raw = self._download(f"{there}/{MANIFEST}", LIMITS.spec_bytes)
            if manifest is not None and hashlib.sha256(raw).hexdigest() != manifest:
                raise DamagedArtifact(f"Artifact {digest[:12]}: the manifest is not the one that was published.")
            files = parse_json(raw, "the manifest").get("files")
            if not isinstance(files, dict) or not all(_FILE.fullmatch(name) and ".." not in name for name in files):
                raise DamagedArtifact(f"Artifact {digest[:12]}: the manifest is malformed.")
            for name in files:
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                durable.write_file(target, self._download(f"{there}/{name}", LIMITS.total_bytes))
            durable.write_file(folder / MANIFEST, raw)
            verify_folder(folder, digest, manifest)
            durable.sync_tree(folder)
            self.accept(folder, digest)

    def _download(self, path: str, limit: int) -> bytes:
        with _remote(self.url):
            try:
                if self.store.size(path) > limit:
                    raise DamagedArtifact(f"{path.rsplit('/', 1)[-1]} is larger than {limit} bytes.")
                return bytes(self.store.cat_file(path))
            except FileNotFoundError as error:
                raise DamagedArtifact(f"{path.rsplit('/', 1)[-1]} is missing from {self.url}.") from error

    def present(self) -> list[str]:
        """Digests of all artifacts in the object store."""
        with _remote(self.url):
            found = {path.rstrip("/").rsplit("/", 1)[-1] for path in self.store.glob(f"{self.base}/??/*")}
        return sorted(name for name in found if len(name) == 64)

    def orphans(self, older_than: float) -> list[str]:
        """Object stores do not all tell ages; only artifacts that the metadata forgets are removed."""
        return []

    def discard(self, digest: str) -> None:
        """Remove an artifact from the object store and the cache."""
        with _remote(self.url):
            if self.store.exists(self._there(digest)):
                self.store.rm(self._there(digest), recursive=True)
        self._drop(digest)

    def native(self, digest: str) -> dict[str, Path]:
        """Files kept for other tools, from the cache."""
        self.verify(digest, None)
        return super().native(digest)

    def _drop(self, digest: str) -> None:
        if os.path.lexists(self.path(digest)):
            super().discard(digest)
        for path in (self.root / "trash").glob(f"{digest}.*"):
            remove(path)

    def _there(self, digest: str, manifest: str = "") -> str:
        return f"{self.base}/{check_digest(digest)[:2]}/{digest}/{manifest}".rstrip("/")

    def _any(self, digest: str) -> str:
        with _remote(self.url):
            found = sorted(self.store.glob(f"{self._there(digest)}/*/{MANIFEST}"))
        if not found:
            raise DamagedArtifact(f"Artifact {digest[:12]} is missing from {self.url}.")
        return str(found[0]).rsplit("/", 1)[0]


@contextmanager
def _remote(url: str) -> Iterator[None]:
    """Turn whatever a store's library raises into one sentence."""
    try:
        yield
    except (DamagedArtifact, StorageFailed, FileNotFoundError):
        raise
    except Exception as error:
        cause: Any = str(error).strip().splitlines() or [type(error).__name__]
        raise StorageFailed(f"The object store at {url} failed: {cause[0][:200]}") from error
