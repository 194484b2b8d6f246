"""Whatever happens to the files of an artifact, loading it ends in a named error, never in a wrong prediction."""

import collections
import os
import random
import shutil
from pathlib import Path

import pytest

from consilience.registry import DamagedArtifact, Registry
from tests.reference import zoo
from tests.reference.states import peculiar, tree

FAST = ("GaussianHMM", "XGBoostClassifier", "LogisticClassifier")


@pytest.fixture(scope="module", params=["some", pytest.param("every", marks=pytest.mark.slow)])
def published(request, tmp_path_factory):
    """A registry, and for each published name the folders of its artifacts."""
    root = tmp_path_factory.mktemp("corruption") / "registry"
    registry = Registry(root)
    states = {"tree": tree(), "peculiar": peculiar()}
    for kind in FAST if request.param == "some" else zoo.CATALOG:
        states[kind.lower()] = zoo.fitted(kind).get_state()
    folders = {}
    for name, state in states.items():
        version = registry.publish(name, state)
        folders[name] = [registry.artifacts.path(digest) for digest in version.lineage["artifacts"]]
    yield registry, folders, 8 if request.param == "some" else 420
    registry.close()


def flip(path: Path, rng: random.Random, others: list[Path]) -> None:
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def truncate(path: Path, rng: random.Random, others: list[Path]) -> None:
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])


def append(path: Path, rng: random.Random, others: list[Path]) -> None:
    path.write_bytes(path.read_bytes() + rng.randbytes(rng.randint(1, 40)))


def swap(path: Path, rng: random.Random, others: list[Path]) -> None:
    content = path.read_bytes()
    while (other := rng.choice(others).read_bytes()) == content:
        pass
    path.write_bytes(other)


def zero(path: Path, rng: random.Random, others: list[Path]) -> None:
    data = path.read_bytes()
    begin = rng.randrange(len(data))
    changed = data[:begin] + bytes(min(512, len(data) - begin)) + data[begin + 512 :]
    path.write_bytes(changed if changed != data else data + b"\0")


def missing(path: Path, rng: random.Random, others: list[Path]) -> None:
    path.unlink()


def extra(path: Path, rng: random.Random, others: list[Path]) -> None:
    path.with_name(rng.choice(["x", ".hidden", "spec.json.bak", "0.1", "__init__.py"])).write_bytes(b"")


def symlink(path: Path, rng: random.Random, others: list[Path]) -> None:
    elsewhere = Path(str(path) + ".moved")
    path.rename(elsewhere)
    target = rng.choice([elsewhere.name, str(elsewhere)])
    path.symlink_to(target)


def outside_link(path: Path, rng: random.Random, others: list[Path]) -> None:
    path.unlink()
    path.symlink_to("/etc/hostname")


def hard_link(path: Path, rng: random.Random, others: list[Path]) -> None:
    outside = path.parents[3] / "outside"
    outside.unlink(missing_ok=True)
    os.link(path, outside)


def fifo(path: Path, rng: random.Random, others: list[Path]) -> None:
    path.unlink()
    os.mkfifo(path)


def folder(path: Path, rng: random.Random, others: list[Path]) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = (
    flip,
    flip,
    flip,
    flip,
    truncate,
    truncate,
    append,
    swap,
    zero,
    missing,
    extra,
    symlink,
    outside_link,
    hard_link,
    fifo,
    folder,
)


def snapshot(folder: Path) -> dict[Path, bytes]:
    """Every file of an artifact and its content."""
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def put_back(folder: Path, before: dict[Path, bytes]) -> None:
    """Undo one damage."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path not in before and path not in {parent for known in before for parent in known.parents}:
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    for path, content in before.items():
        plain = path.is_file() and not path.is_symlink() and path.stat().st_nlink == 1
        if not plain or path.read_bytes() != content:
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink(missing_ok=True)
            path.write_bytes(content)


def test_every_damage_is_a_named_error(published):
    """Each file of each artifact in turn, by another kind of damage each time round."""
    registry, folders, each = published
    rng = random.Random(0)
    whole = {name: [snapshot(folder) for folder in own] for name, own in folders.items()}
    everything = [path for own in whole.values() for files in own for path, content in files.items() if content]
    met: collections.Counter[str] = collections.Counter()
    for start, (name, own) in enumerate(folders.items()):
        targets = [(folder, files, path) for folder, files in zip(own, whole[name]) for path in files if files[path]]
        for round_ in range(each):
            folder, files, path = targets[round_ % len(targets)]
            damage = DAMAGES[(5 * start + round_ % len(targets) + round_ // len(targets)) % len(DAMAGES)]
            damage(path, rng, everything)
            with pytest.raises(DamagedArtifact):
                registry.load(name)
            put_back(folder, files)
            met[damage.__name__] += 1
        assert registry.state(name).digest() == registry.show(name).digest
        assert registry.verify(name) == []
    print(f"{met.total()} damages to {len(folders)} models of {len(everything)} files: {dict(met)}")


def test_whole_artifacts_swapped_or_replaced_by_links(published):
    registry, folders, _ = published
    a, b = folders["peculiar"][0], folders["logisticclassifier"][0]
    kept = a.with_name("kept")
    a.rename(kept)
    for put in (lambda: shutil.copytree(b, a), lambda: a.symlink_to(kept), lambda: a.write_bytes(b"x"), lambda: None):
        put()
        with pytest.raises(DamagedArtifact):
            registry.load("peculiar")
        assert registry.verify("peculiar")
        shutil.rmtree(a) if a.is_dir() and not a.is_symlink() else a.unlink(missing_ok=True)
    kept.rename(a)
    assert registry.verify("peculiar") == []


def test_publishing_again_repairs_a_damaged_artifact(tmp_path):
    with Registry(tmp_path / "registry") as registry:
        version = registry.publish("spx", tree())
        for digest in version.lineage["artifacts"]:
            path = registry.artifacts.path(digest) / "spec.json"
            path.write_bytes(path.read_bytes()[:-1])
        assert registry.publish("spx", tree()).number == version.number
        assert registry.verify() == []
