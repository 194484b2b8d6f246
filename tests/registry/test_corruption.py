"""Whatever happens to the files of an artifact, loading it ends in a named error, never in a wrong prediction."""

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
    other = rng.choice([p for p in others if p.read_bytes() != content])
    path.write_bytes(other.read_bytes())


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
    elsewhere = path.parents[-2] / "elsewhere"
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


def test_every_damage_is_a_named_error(published):
    registry, folders, each = published
    rng = random.Random(0)
    everything = [p for own in folders.values() for folder in own for p in folder.rglob("*") if p.is_file()]
    done = 0
    for name, own in folders.items():
        for round_ in range(each):
            target = own[round_ % len(own)]
            kept = target.with_name("kept")
            shutil.copytree(target, kept)
            files = sorted(p for p in target.rglob("*") if p.is_file() and p.stat().st_size)
            damage = DAMAGES[(round_ + done) % len(DAMAGES)]
            damage(rng.choice(files), rng, everything)
            with pytest.raises(DamagedArtifact):
                registry.load(name)
            shutil.rmtree(target)
            kept.rename(target)
            done += 1
        assert registry.state(name).digest() == registry.show(name).digest
    print(f"{done} damages")


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
