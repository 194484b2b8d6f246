import numpy as np
import pytest

from consilience.base import InvalidState, State
from consilience.base.persistence import read_state, write_state


def sample() -> State:
    child = State("Inner", {"x": 1}, {"a.b": np.arange(3.0), "a": np.zeros((0, 2))})
    return State("Outer", {"name": "é", "values": [1, 2.5, None]}, {"w": np.array([np.nan, -0.0])}, {"m": child})


def test_round_trip_is_exact(tmp_path):
    write_state(sample(), tmp_path / "m.npz")
    back = read_state(tmp_path / "m.npz")
    assert back.digest() == sample().digest() and back.spec == sample().spec
    assert np.signbit(back.arrays["w"][1])


def test_every_flipped_byte_is_noticed(tmp_path):
    path = tmp_path / "m.npz"
    write_state(sample(), path)
    good = path.read_bytes()
    for position in range(0, len(good), 7):
        path.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
        try:
            assert read_state(path).digest() == sample().digest()  # a byte of zip metadata that carries nothing
        except InvalidState:
            pass


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
