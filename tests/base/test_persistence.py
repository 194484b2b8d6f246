import numpy as np
import pytest

from consilience.base import InvalidState, State
from consilience.base.persistence import read_state, write_state


def sample() -> State:
    child = State("Inner", {"x": 1}, {"a.b": np.arange(3.0), "a": np.zeros((0, 2))})
    return State("Outer", {"name": "é", "values": [1, 2.5, None]}, {"w": np.array([np.nan, -0.0])}, {"m": child})


def test_round_trip_is_exact(tmp_path):
    write_state(sample(), tmp_path / "m.state")
    back = read_state(tmp_path / "m.state")
    assert back.digest() == sample().digest() and back.spec == sample().spec
    assert np.signbit(back.arrays["w"][1])


def test_every_flipped_byte_is_noticed(tmp_path):
    path = tmp_path / "m.state"
    write_state(sample(), path)
    good = path.read_bytes()
    for position in range(len(good)):
        path.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
        with pytest.raises(InvalidState):
            read_state(path)


@pytest.mark.parametrize("spec", [{"x": float("nan")}, {1: 2}, {"x": object()}, {"x": (1,)}])
def test_a_spec_that_json_would_change_is_refused(spec):
    with pytest.raises(InvalidState):
        State("K", spec)


def test_object_arrays_are_refused():
    with pytest.raises(InvalidState, match="'w'"):
        State("K", {}, {"w": np.array([object()])})


def test_the_digest_sees_names_shapes_types_and_order():
    base = State("K", {}, {"w": np.zeros(4)})
    others = [
        State("L", {}, {"w": np.zeros(4)}),
        State("K", {"a": 1}, {"w": np.zeros(4)}),
        State("K", {}, {"v": np.zeros(4)}),
        State("K", {}, {"w": np.zeros((2, 2))}),
        State("K", {}, {"w": np.zeros(4, np.float32)}),
    ]
    assert len({s.digest() for s in [base, *others]}) == 6


def test_a_truncated_or_foreign_file_is_refused(tmp_path):
    path = tmp_path / "m.state"
    write_state(sample(), path)
    good = path.read_bytes()
    for data in (b"", good[:40], good[:-1], good + b"x", b"PK" + good):
        path.write_bytes(data)
        with pytest.raises(InvalidState):
            read_state(path)


@pytest.mark.parametrize(
    "array", [["|O", [1], 0], ["<f8", [-1], 0], ["<f8", [10**9], 0], ["<f8", [1], -8], ["bad", [1], 0]]
)
def test_a_header_that_lies_behind_a_right_digest_is_refused(tmp_path, array):
    import hashlib
    import json

    header = json.dumps({"kind": "K", "spec": {}, "arrays": {"w": array}, "children": []}).encode()
    body = len(header).to_bytes(8, "little") + header + b"\0" * 16
    (tmp_path / "m.state").write_bytes(b"consilience-state-1\n" + hashlib.sha256(body).digest() + body)
    with pytest.raises(InvalidState):
        read_state(tmp_path / "m.state")


@pytest.mark.parametrize("names", ["abc", [1, 2], [["a"], ["b"]], ["a"], ["a", "a"], ["a", "b", "c"], {"a": 1, "b": 2}])
def test_stored_feature_names_that_do_not_fit_are_refused(names):
    from consilience.boosting import RidgeRegressor

    state = RidgeRegressor().fit([[0.0, 1.0], [1.0, 0.0], [2.0, 1.0]], [0.0, 1.0, 2.0]).get_state()
    with pytest.raises(InvalidState):
        RidgeRegressor.from_state(State(state.kind, state.spec | {"feature_names_in": names}, state.arrays))
