import itertools

import pytest

from consilience.registry import InvalidName, Registry
from consilience.registry.names import Number, Ref, check_file_name, check_name, parse_ref
from tests.reference.states import logistic

# fmt: off
HOSTILE = [
    "", ".", "..", "../x", "x/..", "/etc/passwd", "a/b", "a\\b", "C:", "a:b", "\x00", "a\x00b", "a\nb", " a", "a ",
    "~", "-a", "a-", "_", "%2e%2e", "%2e", "..%2f", "a%00", "\uff0e\uff0e", "\u2025", "\u2026", "a\u2024b", "\uff0e",
    "\uff41", "\xe9", "e\u0301", "\ufb01", "\u0130", "\u0131", "\xdf", "\u017f", "K", "\u202eabc", "a\u200bb",
    "\ufeffa", "a\xad", "\ud800", "\U0001f600", "$(id)", "`id`", ";id", "|id", "&", "*", "?", "'", "\"", "<x>",
    "con", "prn", "aux", "nul", "com0", "com1", "lpt9", "CON", "Nul", "a" * 65, "a" * 10000, "A", "aB", "x.db",
    "x.lock", ".git", "{0}", "%s", "{{7*7}}", "a@b", "a==1", "a=1", "a,b", "a+b", "a#b", "file:x", "s3://x",
    "\\\\host\\x", "x--", "--x", "0x-",
]
# fmt: on
AROUND = ["{}/spx", "spx/{}", "{}spx", "spx{}", "{}.spx"]
PAYLOADS = list(dict.fromkeys(HOSTILE + [form.format(part) for form, part in itertools.product(AROUND, HOSTILE)]))


def test_there_are_enough_payloads():
    assert len(PAYLOADS) >= 500


def test_every_payload_is_refused_or_safe(tmp_path):
    registry = Registry(tmp_path / "registry")
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    accepted = []
    for payload in PAYLOADS:
        for ref in (payload, f"spx@{payload}", f"spx=={payload}"):
            try:
                parsed = parse_ref(ref)
                accepted += [part for part in (parsed.name, parsed.pointer) if part is not None]
            except InvalidName as error:
                assert len(str(error)) < 400
        try:
            check_name(payload)
        except InvalidName:
            with pytest.raises(InvalidName):
                registry.publish(payload, logistic())
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before
    for name in accepted:
        assert name.isascii() and name.lower() == name and set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_"), (
            name
        )


def test_a_file_kept_beside_a_model_cannot_be_put_elsewhere(tmp_path):
    registry = Registry(tmp_path / "registry")
    accepted = []
    for payload in [*PAYLOADS, "../../x", "a/../../x", "x.json", "model.ubj"]:
        try:
            accepted.append(check_file_name(payload))
        except InvalidName:
            with pytest.raises(InvalidName):
                registry.publish("spx", logistic(), native={payload: b"x"})
    assert registry.versions() == [] == registry.artifacts.present() and {"x.json", "model.ubj"} <= set(accepted)
    for count, payload in enumerate(accepted[::20]):
        version = registry.publish("spx", logistic(count), native={payload: b"x"})
        folder = registry.artifacts.path(version.digest)
        assert [path.name for path in (folder / "native").iterdir()] == [payload]
    assert registry.verify() == [] and {path.name for path in tmp_path.iterdir()} == {"registry"}


def test_no_two_accepted_names_collide_on_any_file_system():
    accepted = [p for p in PAYLOADS if _ok(p)]
    assert len({name.casefold() for name in accepted}) == len(accepted)


def _ok(name: str) -> bool:
    try:
        check_name(name)
    except InvalidName:
        return False
    return True


@pytest.mark.parametrize(
    "ref",
    [None, 3, b"spx", "spx==1.0", "spx==01.0.0", "spx==1.0.0.0", "spx==-1.0.0", "spx==１.0.0", "spx==1.0.9999999999"],
)
def test_malformed_references_are_refused(ref):
    with pytest.raises(InvalidName):
        parse_ref(ref)


def test_references():
    assert parse_ref("spx") == Ref("spx")
    assert parse_ref("spx==1.20.3") == Ref("spx", Number(1, 20, 3))
    assert parse_ref("spx@candidate") == Ref("spx", pointer="candidate")
    assert Number(1, 9, 0) < Number(1, 10, 0)
