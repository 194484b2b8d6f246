"""The registry: immutable versions of fitted predictors, and what is known about each."""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from consilience.base import ConsilienceError, State, invalid, restore
from consilience.registry import bundle, clock, comparing, durable, lineage, publishing, retention, signing, stages
from consilience.registry.artifacts import LocalArtifacts
from consilience.registry.database import Database
from consilience.registry.errors import DamagedArtifact, RegistryError, VersionNotFound
from consilience.registry.metadata import Event, Metadata
from consilience.registry.names import check_name, parse_ref
from consilience.registry.policies import Policy
from consilience.registry.remote import RemoteArtifacts
from consilience.registry.version import Version


class Registry:
    """Versions of models in a folder (SQLite and local files), or for a team in PostgreSQL and a shared store.

    Parameters
    ----------
    url : a folder, ``sqlite:////path/registry.db``, or ``postgresql://user@host/database``.
    artifacts : where the files of the models lie; beside the SQLite file unless given, required with PostgreSQL.
    create : make the folder and tables if there are none; otherwise a missing registry is an error.
    read_only : never write, not even a lock file (a registry on a read-only file system).
    trusted : public keys; only versions that one of them signed are loaded, whatever the registry itself says.

    Safe for many processes and threads at once. A version that ``publish`` returned survives a power cut.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from consilience.boosting import LogisticClassifier
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> registry = Registry(tempfile.mkdtemp())
    >>> registry.publish("demo", LogisticClassifier().fit(X, [0, 0, 1, 1])).ref
    'demo==1.0.0'
    >>> registry.load("demo").predict(X)
    array([0, 0, 1, 1])
    """

    def __init__(
        self,
        url: str | Path = "registry",
        *,
        artifacts: str | Path | None = None,
        create: bool = True,
        read_only: bool = False,
        trusted: list[str] | None = None,
    ) -> None:
        location = str(url) if "://" in str(url) else f"sqlite:///{Path(url) / 'registry.db'}"
        self.trusted = signing.check_public(trusted or [])
        self.database = Database(location, read_only=read_only)
        if self.database.sqlite:
            file = Path(str(self.database.url.database))
            if not file.is_file() and (read_only or not create):
                raise VersionNotFound(f"There is no registry at {file.parent}; `consilience train` makes one.")
            with durable.storage("Making the registry"):
                durable.make_folder(file.parent)
        self.artifacts = self._open_artifacts(artifacts)
        if read_only or not create:
            self.database.check()
        else:
            self.database.prepare()
        if not read_only:
            with durable.storage("Opening the registry"):
                self.artifacts.create()

    def _open_artifacts(self, given: str | Path | None) -> LocalArtifacts:
        if given is None:
            if not self.database.sqlite:
                raise invalid(
                    "artifacts", "Registry", "given with PostgreSQL: the folder or URL of the models' files", given
                )
            given = Path(str(self.database.url.database)).parent
        return RemoteArtifacts(str(given)) if "://" in str(given) else LocalArtifacts(Path(given))

    # -- publish and load --------------------------------------------------------------------------------------

    def publish(
        self,
        name: str,
        predictor: Any,
        *,
        contract: dict[str, Any] | None = None,
        lineage: dict[str, Any] | None = None,
        metrics: dict[str, Any] | None = None,
        verdicts: Any = None,
        number: str | None = None,
        native: Mapping[str, bytes] | None = None,
    ) -> Version:
        """Store a fitted predictor (or a ``State``) as a new version; returns when it is safe on the disk.

        Parameters
        ----------
        name : a-z, 0-9, '-' and '_'.
        contract : JSON-able: what the model takes and gives (feature and label specification, classes, units).
        lineage : JSON-able: parents, data snapshot, seeds; code, packages and hardware are added.
        metrics, verdicts : JSON-able: what was measured, and what the gates said.
        number : None for the least number that the changes require, a level (``"minor"``), or a number.
        native : files kept for other tools beside the model (a booster's own format), by default those that the
            predictor and its members offer; they are never read here.

        Returns
        -------
        Version : the new one, or the existing one when this name already has exactly this model and contract.

        Raises
        ------
        Refused : a number that is lower than the changes require.
        StorageFailed : the disk or the database refused; nothing that was published before is affected.
        """
        offered = publishing.native_files(predictor) if native is None else native
        asked = publishing.request(name, number, contract, lineage, metrics, verdicts, offered)
        state = predictor if isinstance(predictor, State) else predictor.get_state()
        return publishing.publish(self.database, self.artifacts, state, asked)

    def load(self, ref: str) -> Any:
        """The fitted predictor of a version, rebuilt from verified data; nothing stored is executed.

        Parameters
        ----------
        ref : ``"name"`` (the newest), ``"name==1.0.0"`` or ``"name@production"``.

        Raises
        ------
        VersionNotFound, DamagedArtifact.
        """
        return restore(self.state(ref))

    def state(self, ref: str) -> State:
        """The verified state of a version, before it becomes a predictor."""
        version, manifests = self._look_up(ref)
        try:
            return self.artifacts.read(version.digest, manifests)
        except DamagedArtifact:
            self._look_up(version.ref)  # says so if a gc has given the version up meanwhile
            raise

    def _look_up(self, ref: str) -> tuple[Version, dict[str, str]]:
        with self.database.reading() as connection:
            metadata = Metadata(connection)
            version = metadata.resolve(parse_ref(ref))
            if version.retired:
                raise VersionNotFound(
                    f"{version.ref} was given up by retention on {version.retired[:10]}; its record remains, its "
                    "artifact is gone."
                )
            trusted = self.trusted or signing.read_trusted(metadata.setting("trusted"))
            signing.check_trusted(version, metadata.signatures(version.name, version.number), trusted)
            return version, metadata.manifests([version.digest])

    # -- looking -----------------------------------------------------------------------------------------------

    def show(self, ref: str) -> Version:
        """Everything that is known about one version."""
        with self.database.reading() as connection:
            return Metadata(connection).resolve(parse_ref(ref))

    def versions(self, name: str | None = None) -> list[Version]:
        """All versions, of one name or of all, the newest of each name first."""
        with self.database.reading() as connection:
            return Metadata(connection).versions(None if name is None else check_name(name))

    def names(self) -> list[str]:
        """Every name."""
        with self.database.reading() as connection:
            return Metadata(connection).all_names()

    def history(self, name: str, subject: str | None = None) -> list[Event]:
        """What happened to a name, oldest first; ``subject`` picks one pointer or stage."""
        with self.database.reading() as connection:
            return Metadata(connection).events(check_name(name), subject=subject)

    def at(self, name: str, pointer: str, time: str | datetime) -> Version | None:
        """What a pointer was at then: "what was in production on the 1st of March?"."""
        with self.database.reading() as connection:
            metadata = Metadata(connection)
            number = stages.at_time(metadata, check_name(name), pointer, time)
            return None if number is None else metadata.resolve(parse_ref(f"{name}=={number}"))

    def lineage(self, ref: str) -> dict[str, Any]:
        """Where a version comes from; the lineages of its parents (versions of this registry) under ``ancestors``."""
        return lineage.with_ancestors(self.show(ref), self.show)

    def diff(self, old: str, new: str) -> dict[str, list[comparing.Difference]]:
        """What differs between two versions: contract, config, features, metrics, data, code, members, size."""
        return comparing.diff(self.show(old), self.show(new))

    def compare(self, *refs: str, metrics: Iterable[str] | None = None) -> dict[str, dict[str, Any]]:
        """Many versions in one table: reference to stage, size and metrics."""
        return comparing.compare([self.show(ref) for ref in refs], metrics)

    def search(self, name: str | None = None, **conditions: Any) -> list[Version]:
        """Versions that meet every condition; see ``comparing.search`` for them."""
        return comparing.search(self.versions(name), **conditions)

    def verify(self, ref: str | None = None) -> list[str]:
        """Check every file and signature of one version, or of all; one sentence per finding, none when all is well."""
        found = []
        for version in self.versions() if ref is None else [self.show(ref)]:
            if version.retired:
                continue
            try:
                self.state(version.ref)
                wrong = [key for key, valid in self.signatures(version.ref).items() if not valid]
            except ConsilienceError as error:
                found.append(f"{version.ref}: {error}")
            else:
                found += [f"{version.ref}: it is not what the key {key} signed." for key in wrong]
        return found

    # -- moving ------------------------------------------------------------------------------------------------

    def promote(
        self,
        ref: str,
        to: str,
        *,
        reason: str,
        who: str | None = None,
        evidence: Any = None,
        override: str | None = None,
        expected: str | None = None,
    ) -> Version:
        """Move a version to a stage, or a pointer to a version; ``"production"`` is both.

        Parameters
        ----------
        to : a stage (staging, production, deprecated, archived) or the name of a pointer (candidate, or any other).
        reason, who, evidence : for the record; who is the operating system's user unless given.
        override : why a version whose gates failed goes to production all the same; it is recorded.
        expected : the number that the pointer must be at now (``"none"``: it must not exist), else ``Conflict``.

        Raises
        ------
        Refused : a transition that is not allowed, or a failed gate.
        Conflict : somebody else moved the pointer first.
        """
        return stages.promote(
            self.database, ref, to, reason=reason, who=who, evidence=evidence, override=override, expected=expected
        )

    def stage(
        self,
        ref: str,
        stage: str,
        *,
        reason: str,
        who: str | None = None,
        evidence: Any = None,
        override: str | None = None,
    ) -> Version:
        """Move a version to another stage and no pointer; one step at a time (staging before production)."""
        return stages.change_stage(self.database, ref, stage, reason, who, evidence, override)

    def rollback(
        self,
        name: str,
        pointer: str = "production",
        *,
        reason: str,
        who: str | None = None,
        expected: str | None = None,
    ) -> Version:
        """Move a pointer back to where it was before its last move; one row changes. Gives the version it is at now."""
        return stages.rollback(self.database, name, pointer, reason=reason, who=who, expected=expected)

    # -- signatures and bundles --------------------------------------------------------------------------------

    def sign(self, ref: str, key: str | Path) -> str:
        """Sign a version with the private key of a file (``signing.new_key``); gives the public key."""
        private = signing.read_key(key)
        with self.database.writing() as connection:
            metadata = Metadata(connection)
            version = metadata.resolve(parse_ref(ref))
            public, signature = signing.sign(version, private)
            metadata.add_signature(version, public, signature)
        return public

    def signatures(self, ref: str) -> dict[str, bool]:
        """Public keys that signed a version, and whether each signature is valid for it as it now is."""
        with self.database.reading() as connection:
            metadata = Metadata(connection)
            version = metadata.resolve(parse_ref(ref))
            found = metadata.signatures(version.name, version.number)
            return {key: signing.is_valid(version, key, signature) for key, signature in found.items()}

    def trust(self, keys: list[str]) -> None:
        """From now on load only versions that one of these public keys has signed; an empty list ends that."""
        with self.database.writing() as connection:
            Metadata(connection).set_setting("trusted", json.dumps(signing.check_public(keys)) if keys else None)

    def export(self, ref: str, path: str | Path) -> Path:
        """Write a version with its record and signatures to one file, for ``import_bundle`` of another registry."""
        version, manifests = self._look_up(ref)
        with self.database.reading() as connection:
            signatures = Metadata(connection).signatures(version.name, version.number)
        target = Path(path)
        if target.exists():
            raise RegistryError(f"{target} exists already; give another name.")
        bundle.write(target, version, self.artifacts, manifests, signatures)
        return target

    def export_native(self, ref: str, folder: str | Path) -> list[Path]:
        """Copy the files that a version keeps for other tools (a booster's own JSON or text) to a folder."""
        version, manifests = self._look_up(ref)
        self.artifacts.verify(version.digest, manifests[version.digest])
        found = self.artifacts.native(version.digest)
        if not found:
            raise RegistryError(f"{version.ref} keeps no files of other tools.")
        Path(folder).mkdir(parents=True, exist_ok=True)
        return [Path(shutil.copy2(source, Path(folder) / name)) for name, source in found.items()]

    def export_keras(self, ref: str, path: str | Path, member: str | None = None) -> list[Path]:
        """Write the network of a version, or of one of its members, in a Keras format; see ``keras_export``."""
        from consilience.registry.keras_export import export_keras

        return export_keras(self.load(ref), Path(path), member)

    def adopt(self, name: str, model: Any, *, classes: Any = None, samples: Any = None, **record: Any) -> Version:
        """Publish a fitted model of another library, or its model file; see ``adopt.as_predictor`` and ``publish``."""
        from consilience.registry.adopt import as_predictor

        kind = str(model) if isinstance(model, str | Path) else f"{type(model).__module__}.{type(model).__name__}"
        record["lineage"] = {"adopted": kind} | (record.get("lineage") or {})
        return self.publish(name, as_predictor(model, classes=classes, samples=samples), **record)

    def import_bundle(self, path: str | Path, name: str | None = None, *, signed_by: str | None = None) -> Version:
        """Publish the version in a file of ``export``, all of it verified.

        Parameters
        ----------
        name : under another name than it had.
        signed_by : a public key; a bundle that it has not signed is refused. A registry that trusts certain keys
            always asks for one of them.
        """
        found = bundle.read(Path(path), self.artifacts)
        with self.database.reading() as connection:
            trusted = self.trusted or signing.read_trusted(Metadata(connection).setting("trusted"))
        found.check_signed([signed_by] if signed_by else trusted)
        return self.publish(name or found.record["name"], found.state, native=found.native, **found.facts())

    # -- keeping and clearing ----------------------------------------------------------------------------------

    @contextmanager
    def lease(self, ref: str, *, holder: str | None = None, seconds: float = 3600.0) -> Iterator[Version]:
        """Keep a version's artifacts from gc while the block runs, and no longer than that many seconds."""
        with self.database.writing() as connection:
            metadata = Metadata(connection)
            metadata.lock_artifacts(exclusive=False)
            version = metadata.resolve(parse_ref(ref))
            lease = metadata.add_lease([version.digest], holder or clock.user(), seconds)
        try:
            yield version
        finally:
            with self.database.writing() as connection:
                Metadata(connection).end_lease(lease)

    def gc(self, *policies: Policy, dry_run: bool = True, grace: float | str = "1d") -> retention.Collected:
        """Give up the versions that no policy keeps, and clear away what nobody uses.

        Parameters
        ----------
        policies : any one of them keeps a version (``KeepLatest(5), KeepBest("auc"), KeepStages(), KeepNewer("90d")``);
            without any, no version is given up. Versions at a pointer, under a lease, or parents of kept ones are kept.
        dry_run : only say what would be done.
        grace : how long an artifact must have been found unused before it is removed: seconds, or text like ``"7d"``.
        """
        return retention.collect(self.database, self.artifacts, dry_run=dry_run, grace=grace, policies=policies)

    def close(self) -> None:
        """Close the connections; the registry can be used again afterwards."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
