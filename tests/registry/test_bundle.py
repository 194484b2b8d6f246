import io
import json
import random
import tarfile

import pytest

from consilience.base import ConsilienceError
from consilience.registry import DamagedArtifact, Refused, Registry, RegistryError, signing
from tests.reference.states import logistic, tree


@pytest.fixture
def other(tmp_path):
    with Registry(tmp_path / "other") as registry:
        yield registry


def test_a_bundle_carries_a_version_to_another_registry(local, other, tmp_path):
    local.publish("spx", logistic())
    version = local.publish("spx", tree(), contract={"horizon": 1}, metrics={"auc": 0.5}, native={"model.txt": b"text"})
    path = local.export("spx", tmp_path / "spx.bundle")
    back = other.import_bundle(path)
    assert (back.ref, back.digest) == ("spx==1.0.0", version.digest) and back.metrics == {"auc": 0.5}
    assert back.lineage["imported"]["number"] == version.number and back.contract == version.contract
    assert other.state("spx").digest() == tree().digest() and other.verify() == []
    assert {name: file.read_bytes() for name, file in other.artifacts.native(back.digest).items()} == {
        "model.txt": b"text"
    }
    assert other.import_bundle(path, "ndx").ref == "ndx==1.0.0"
    with pytest.raises(RegistryError, match="exists"):
        local.export("spx", path)


def test_signatures_travel_with_a_bundle(local, other, tmp_path):
    public = signing.new_key(tmp_path / "key")
    local.publish("spx", logistic())
    unsigned = local.export("spx", tmp_path / "unsigned")
    local.sign("spx", tmp_path / "key")
    signed = local.export("spx", tmp_path / "signed")
    with pytest.raises(Refused, match="signature"):
        other.import_bundle(unsigned, signed_by=public)
    assert other.import_bundle(signed, signed_by=public).number == "1.0.0"
    other.trust([public])
    with pytest.raises(Refused, match="trusted"):
        other.import_bundle(unsigned, "ndx")


@pytest.mark.parametrize("count", [30, pytest.param(3000, marks=pytest.mark.slow)])
def test_a_damaged_bundle_is_refused(local, other, tmp_path, count):
    local.publish("spx", logistic())
    good = local.export("spx", tmp_path / "good").read_bytes()
    used = len(good.rstrip(b"\0"))
    rng, harmless = random.Random(0), 0
    for _ in range(count):
        data = bytearray(good)
        if rng.random() < 0.3:
            del data[rng.randrange(used) :]
        else:
            data[rng.randrange(used)] ^= 1 << rng.randrange(8)
        (tmp_path / "bad").write_bytes(data)
        try:
            version = other.import_bundle(tmp_path / "bad", f"bad{rng.randrange(10**9)}")
        except ConsilienceError:
            continue
        assert version.digest == logistic().digest(), "a changed record may pass unsigned, a changed model never"
        harmless += 1
    assert harmless < count / 4 and list((other.artifacts.root / "staging").iterdir()) == []


def rewrite(path, change) -> None:
    """Write the bundle again with its entries changed."""
    with tarfile.open(path) as archive:
        entries = [(entry, archive.extractfile(entry).read()) for entry in archive]
    with tarfile.open(path, "w") as archive:
        for entry, data in change(entries):
            entry.size = len(data) if entry.isreg() else 0
            archive.addfile(entry, io.BytesIO(data))


def named(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, link
    return entry


DIGEST = logistic().digest()


ESCAPES = ("../evil", "/tmp/evil", f"{DIGEST}/../evil", f"{DIGEST}/arrays/../../evil", "0" * 64 + "/spec.json")
TWICE = (f"{DIGEST}/extra", f"{DIGEST}/spec.json", f"{DIGEST}/spec.json/x", "x" * 300, "bundle.json")
KINDS = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE)


@pytest.mark.parametrize(
    "extra",
    [*map(named, ESCAPES + TWICE), *(named(f"{DIGEST}/x", kind, "/etc/passwd") for kind in KINDS)],
    ids=lambda entry: f"{entry.type.decode()}-{entry.name[-20:]}",
)
def test_entries_that_do_not_belong_are_refused(local, other, tmp_path, extra):
    local.publish("spx", logistic())
    path = local.export("spx", tmp_path / "b")
    rewrite(path, lambda entries: [*entries, (extra, b"x" if extra.isreg() else b"")])
    before = {p for p in tmp_path.rglob("*") if "registry.db" not in p.name}
    with pytest.raises(DamagedArtifact):
        other.import_bundle(path)
    assert {p for p in tmp_path.rglob("*") if "registry.db" not in p.name} == before and other.versions() == []


LIES = (
    {"digest": "0" * 64},
    {"digest": 3},
    {"manifests": {}},
    {"manifests": {"x": "y"}},
    {"format": 2},
    {"metrics": []},
)


@pytest.mark.parametrize("change", [*LIES, {"extra": 1}, {"name": ".."}])
def test_records_that_lie_are_refused(local, other, tmp_path, change):
    local.publish("spx", logistic())
    path = local.export("spx", tmp_path / "b")

    def lie(entries):
        record = json.loads(entries[0][1]) | change
        return [(entries[0][0], json.dumps(record).encode()), *entries[1:]]

    rewrite(path, lie)
    with pytest.raises(ConsilienceError):
        other.import_bundle(path)
    assert other.versions() == []


@pytest.mark.parametrize("data", [b"", b"\0" * 1024, b"PK\x03\x04", b"x" * 5000])
def test_what_is_no_bundle_is_refused(other, tmp_path, data):
    (tmp_path / "b").write_bytes(data)
    with pytest.raises(DamagedArtifact):
        other.import_bundle(tmp_path / "b")
    with pytest.raises(RegistryError, match="no bundle"):
        other.import_bundle(tmp_path / "none")
