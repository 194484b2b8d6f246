import pytest
import sqlalchemy as sa

from consilience.registry import Refused, RegistryError, signing
from consilience.registry.schema import pointers, versions
from tests.reference.states import logistic

pytest.importorskip("cryptography", reason="the 'sign' extra is not installed")


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "key"
    return path, signing.new_key(path)


def test_a_registry_that_trusts_a_key_loads_only_what_it_signed(local, key, tmp_path):
    path, public = key
    assert path.stat().st_mode & 0o777 == 0o600
    local.publish("spx", logistic(0))
    local.publish("spx", logistic(1))
    local.trust([public])
    with pytest.raises(Refused, match="no signature"):
        local.state("spx")
    assert local.sign("spx", path) == public and local.signatures("spx") == {public: True}
    assert local.state("spx").digest() == logistic(1).digest()
    signing.new_key(tmp_path / "other")
    local.sign("spx==1.0.0", tmp_path / "other")
    with pytest.raises(Refused, match="by others"):
        local.state("spx==1.0.0")
    assert any("1.0.0" in sentence for sentence in local.verify())
    local.trust([])
    assert local.verify() == []


def test_whatever_is_changed_after_signing_is_noticed(local, key):
    path, public = key
    old, new = (local.publish("spx", logistic(seed), metrics={"auc": 0.5}) for seed in range(2))
    local.trust([public])
    for change in ({"digest": old.digest}, {"record": sa.func.replace(versions.c.record, "0.5", "0.9")}, {"kind": "X"}):
        local.sign("spx", path)
        with local.database.writing() as connection:
            before = connection.execute(sa.select(versions).where(versions.c.patch == new.key.patch)).one()._asdict()
            connection.execute(versions.update().where(versions.c.patch == new.key.patch).values(**change))
        if change == {"kind": "X"}:  # not signed: the class comes from the artifact, which the digest covers
            assert local.state("spx").kind == "LogisticClassifier"
        else:
            with pytest.raises(Refused, match="invalid"):
                local.state("spx")
        with local.database.writing() as connection:
            connection.execute(versions.update().where(versions.c.patch == new.key.patch).values(before))


def test_verify_names_a_signature_that_no_longer_fits(local, key):
    path, public = key
    local.publish("spx", logistic(), metrics={"auc": 0.5})
    local.sign("spx", path)
    assert local.verify() == []
    with local.database.writing() as connection:
        connection.execute(versions.update().values(record=sa.func.replace(versions.c.record, "0.5", "0.9")))
    assert local.signatures("spx") == {public: False}
    assert len(local.verify()) == 1 and public in local.verify("spx")[0], "though no signature is required here"


def test_a_signature_does_not_carry_over_to_another_number(local, key):
    path, public = key
    local.publish("spx", logistic(0))
    local.sign("spx", path)
    local.publish("spx", logistic(1))
    local.trust([public])
    local.promote("spx==1.0.0", "live", reason="x")
    with local.database.writing() as connection:
        connection.execute(pointers.update().values(number="1.0.1"))
    with pytest.raises(Refused):
        local.state("spx@live")


def test_bad_keys_are_refused(local, tmp_path):
    local.publish("spx", logistic())
    (tmp_path / "bad").write_text("zz")
    for path in (tmp_path / "bad", tmp_path / "none"):
        with pytest.raises(RegistryError, match="no private key"):
            local.sign("spx", path)
    with pytest.raises(RegistryError, match="64 hexadecimal"):
        local.trust(["abc"])
    with pytest.raises(FileExistsError):
        signing.new_key(tmp_path / "bad")
