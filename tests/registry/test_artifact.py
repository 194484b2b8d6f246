import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from consilience.base import InvalidState, State
from consilience.registry import artifact
from consilience.registry.artifacts import LocalArtifacts
from tests.reference.states import logistic, peculiar, tree


@pytest.fixture
def store(tmp_path):
    own = LocalArtifacts(tmp_path / "store")
    own.create()
    return own


def round_trip(store: LocalArtifacts, state: State) -> State:
    manifests = {part.digest: store.put(part, None).manifest for part in artifact.split(state)}
    return store.read(state.digest(), manifests)


def same(a: State, b: State) -> None:
    assert (a.kind, a.spec, list(a.arrays), list(a.children)) == (b.kind, b.spec, list(b.arrays), list(b.children))
    for name, array in a.arrays.items():
        other = b.arrays[name]
        assert other.shape == array.shape and other.dtype == array.dtype.newbyteorder("<")
        assert np.ascontiguousarray(other).tobytes() == array.astype(other.dtype).tobytes(), name
    for name in a.children:
        same(a.children[name], b.children[name])


@pytest.mark.parametrize("make", [logistic, peculiar, tree, lambda: State("Empty", {})])
def test_a_state_comes_back_bit_for_bit(store, make):
    state = make()
    back = round_trip(store, state)
    same(state, back)
    assert back.digest() == state.digest()


dtypes = st.one_of(
    hnp.boolean_dtypes(), hnp.integer_dtypes(endianness="<"), hnp.unsigned_integer_dtypes(endianness="<"),
    hnp.floating_dtypes(endianness="<", sizes=(16, 32, 64)),
)  # fmt: skip
arrays = dtypes.flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=10,
)  # fmt: skip


@given(
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), arrays, max_size=6),
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), json_values, max_size=4),
)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_state_comes_back(store, arrays, spec):
    state = State("Any", spec, arrays)
    same(state, round_trip(store, state))


def test_a_large_member_is_stored_once(store):
    shared = State("Large", {}, {"w": np.arange(20_000.0)})
    for seed in range(3):
        round_trip(store, tree(seed, shared))
    assert len(store.present()) == 4
    assert [part.digest for part in artifact.split(tree(0, shared))] == [shared.digest(), tree(0, shared).digest()]


@pytest.mark.parametrize("array", [np.zeros(2, np.longdouble), np.zeros(2, ">f16")])
def test_what_cannot_be_stored_is_refused_at_save(store, array):
    with pytest.raises(InvalidState, match="cannot be stored"):
        round_trip(store, State("K", {}, {"w": array}))
    assert store.present() == []


def test_deep_and_huge_specs_are_refused_at_save(store):
    deep: list = []
    for _ in range(60):
        deep = [deep]
    for spec in ({"x": deep}, {"x": [0] * 600_000}):
        with pytest.raises(InvalidState):
            round_trip(store, State("K", spec))
    assert store.present() == [] and list((store.root / "staging").iterdir()) == []


def test_restored_arrays_do_not_share_memory(store):
    back = round_trip(store, State("K", {}, {"a": np.zeros(4), "b": np.zeros(4)}))
    back.arrays["a"][:] = 1
    assert (back.arrays["b"] == 0).all()


def test_files_say_nothing_of_the_machine(store):
    round_trip(store, logistic())
    text = b"".join(path.read_bytes() for path in (store.root / "artifacts").rglob("*") if path.is_file())
    assert str(store.root).encode() not in text
