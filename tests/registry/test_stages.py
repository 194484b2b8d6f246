import pytest

from consilience.registry import Conflict, Refused, clock
from consilience.registry.stages import failed_gates
from tests.reference.states import logistic


@pytest.fixture
def three(registry):
    for seed in range(3):
        registry.publish("spx", logistic(seed), verdicts={"edge": {"passed": seed != 2}})
    return registry


def numbers(registry, name="spx"):
    return {pointer: version.number for version in registry.versions(name) for pointer in version.pointers}


def test_promotion_and_rollback_move_one_pointer(three):
    three.promote("spx==1.0.0", "production", reason="first")
    three.promote("spx==1.0.1", "production", reason="better", who="ann")
    assert numbers(three) == {"production": "1.0.1", "previous": "1.0.0"}
    assert three.show("spx@production").number == "1.0.1"
    back = three.rollback("spx", reason="it drifts")
    assert back.number == "1.0.0" and numbers(three) == {"production": "1.0.0", "previous": "1.0.1"}
    with pytest.raises(Refused, match="no earlier"):
        three.rollback("spx", reason="again")
    assert three.show("spx==1.0.1").stage == "production", "a rollback changes no stage"


def test_rollbacks_undo_one_promotion_each(three):
    for number in ("1.0.0", "1.0.1", "1.0.0", "1.0.1"):
        three.promote(f"spx=={number}", "candidate", reason="try")
    assert [three.rollback("spx", "candidate", reason="x").number for _ in range(3)] == ["1.0.0", "1.0.1", "1.0.0"]


def test_what_was_in_production_then(three):
    times = [clock.now()]
    for number in ("1.0.0", "1.0.1"):
        three.promote(f"spx=={number}", "production", reason="x")
        times.append(clock.now())
    three.rollback("spx", reason="x")
    found = [three.at("spx", "production", time) for time in [*times, clock.now()]]
    assert [version and version.number for version in found] == [None, "1.0.0", "1.0.1", "1.0.0"]


def test_every_move_is_on_record_with_who_and_why(three):
    three.promote("spx==1.0.0", "production", reason="it passed", who="ann", evidence={"report": "r.html"})
    moves = [event for event in three.history("spx") if event.kind != "publish"]
    assert [(e.kind, e.subject) for e in moves] == [
        ("stage", "staging"),
        ("stage", "production"),
        ("pointer", "production"),
    ]
    assert {e.who for e in moves} == {"ann"} and {e.data["reason"] for e in moves} == {"it passed"}
    assert moves[1].data["evidence"] == {"report": "r.html"} and moves[1].data["gates"] == "passed"


def test_a_failed_gate_stops_promotion_unless_overridden(three):
    with pytest.raises(Refused, match=r"edge.*--override"):
        three.promote("spx==1.0.2", "production", reason="hope")
    assert three.show("spx==1.0.2").stage == "development" and numbers(three) == {}
    three.promote("spx==1.0.2", "production", reason="hope", override="a paper account")
    event = next(e for e in three.history("spx", "production") if e.kind == "stage")
    assert event.data["override"] == "a paper account" and event.data["failed"] == ["edge"]


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ([], "production"),
        ([], "deprecated"),
        (["staging", "production"], "development"),
        (["archived"], "staging"),
        ([], "gold"),
    ],
)
def test_transitions_are_validated(registry, path, wrong):
    registry.publish("spx", logistic())
    for stage in path:
        registry.stage("spx", stage, reason="x")
    with pytest.raises((Refused, ValueError)):
        registry.stage("spx", wrong, reason="x")
    assert registry.show("spx").stage == (path[-1] if path else "development")


def test_what_a_pointer_holds_is_not_archived(three):
    three.promote("spx==1.0.0", "candidate", reason="x")
    with pytest.raises(Refused, match="candidate"):
        three.stage("spx==1.0.0", "archived", reason="x")


@pytest.mark.parametrize("reason", ["", "  ", None])
def test_a_move_without_a_reason_is_refused(three, reason):
    with pytest.raises(Refused, match="reason"):
        three.promote("spx", "candidate", reason=reason)


def test_a_pointer_that_somebody_else_moved_is_a_conflict(three):
    three.promote("spx==1.0.0", "candidate", reason="x", expected="none")
    three.promote("spx==1.0.1", "candidate", reason="x", expected="1.0.0")
    for expected in ("1.0.0", "none"):
        with pytest.raises(Conflict, match=r"1\.0\.1"):
            three.promote("spx==1.0.2", "candidate", reason="x", expected=expected)
    assert numbers(three)["candidate"] == "1.0.1"


@pytest.mark.parametrize(
    ("verdicts", "failed"),
    [
        (None, []), ({}, []), ({"passed": True}, []), ({"passed": False}, ["gates"]), ({"a": True, "b": False}, ["b"]),
        ([{"name": "a", "passed": True}, {"name": "b", "passed": False}], ["b"]), ({"a": {"passed": None}}, ["a"]),
        ({"gates": [{"name": "x", "passed": False}]}, ["x"]), ("odd", ["a verdict that cannot be read"]),
        ({"a": "pass"}, []),
    ],
)  # fmt: skip
def test_verdicts_are_read_strictly(verdicts, failed):
    assert failed_gates(verdicts) == failed
