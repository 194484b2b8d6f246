"""The array forest against the plain walk, and its validator against broken and mutated arrays."""

import doctest

import numpy as np
import pytest

from consilience.base import InvalidInput, InvalidState
from consilience.kernels import forest as module
from consilience.kernels import workers
from consilience.kernels.forest import Forest
from tests.reference.forest import random_forest, shapley, walk


def rows(rng, n, n_features):
    X = rng.standard_normal((n, n_features))
    X[rng.random(X.shape) < 0.2] = np.nan
    X[rng.random(X.shape) < 0.2] = 0.0
    return X


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("width", [1, 2])
def test_equals_the_plain_walk(seed, width):
    rng = np.random.default_rng(seed)
    single_sum = {"single_sum": bool(seed % 2)}
    forest = Forest(**random_forest(rng, width=width, flags=[0, 1] if seed % 3 else [0, 1, 2, 4, 5]) | single_sum)
    X = rows(rng, 70, forest.n_features)
    expected = np.array([walk(forest, row) for row in X])
    np.testing.assert_allclose(forest.raw(X), expected, rtol=0, atol=1e-12)
    complete = np.nan_to_num(X, nan=0.3)
    np.testing.assert_allclose(forest.raw(complete), [walk(forest, row) for row in complete], rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_contributions_are_shapley_values(seed):
    rng = np.random.default_rng(seed)
    forest = Forest(**random_forest(rng, n_trees=3, n_features=4, width=1 + seed % 2, flags=[0, 1, 2, 4, 5]))
    X = rows(rng, 6, forest.n_features)
    expected = np.array([shapley(forest, row) for row in X])
    np.testing.assert_allclose(forest.contributions(X), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(forest.contributions(X).sum(axis=1), forest.raw(X), rtol=0, atol=1e-12)


def test_contributions_where_no_weight_arrived():
    arguments = random_forest(np.random.default_rng(0))
    forest = Forest(**arguments | {"cover": np.zeros_like(arguments["cover"])})
    X = rows(np.random.default_rng(1), 10, forest.n_features)
    np.testing.assert_allclose(forest.contributions(X).sum(axis=1), forest.raw(X), rtol=0, atol=1e-12)


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_threads_and_blocks_do_not_change_the_result(threads, monkeypatch):
    rng = np.random.default_rng(0)
    forest = Forest(**random_forest(rng, n_trees=10))
    X = rows(rng, 1000, forest.n_features)
    alone, parts = forest.raw(X), forest.contributions(X[:20])
    monkeypatch.setattr(module, "_PARALLEL_WORK", 0)
    monkeypatch.setattr(module, "n_threads", lambda: threads)
    counts = []

    def in_threads(work, count):
        counts.append(count)
        workers.in_threads(work, count)

    monkeypatch.setattr(module, "in_threads", in_threads)
    np.testing.assert_array_equal(forest.raw(X), alone)
    np.testing.assert_array_equal(forest.contributions(X[:20]), parts)
    assert counts == [threads, threads]
    np.testing.assert_array_equal(np.vstack([forest.raw(X[i : i + 7]) for i in range(0, len(X), 7)]), alone)
    assert counts[-1] == min(threads, len(X) % 7 or 7)
    np.testing.assert_array_equal(forest.raw(np.asfortranarray(X)), alone)


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize(
    "X",
    [
        np.empty((0, 3)),
        np.zeros((2, 4)),
        np.zeros(3),
        "abc",
        None,
        [[0.0, 1.0], [0.0]],
        [[0.0, np.inf, 0.0]],
        [[np.nan, -np.inf, 0.0]],
        [[np.inf, -np.inf, np.nan]],
    ],
)
def test_rows_that_are_refused(X, single):
    forest = Forest(**random_forest(np.random.default_rng(0), n_features=3) | {"single": single})
    for function in (forest.raw, forest.contributions):
        with pytest.raises(InvalidInput, match="The 'X' parameter of Forest"):
            function(X)


def test_what_float32_cannot_hold_is_refused_where_trees_compare_in_float32():
    arguments = random_forest(np.random.default_rng(0), n_features=3)
    X = np.array([[0.0, 1e39, np.nan], [1e308, 1e308, 1e308]])
    with pytest.raises(InvalidInput, match=r"float32.*1e.39 in row 0, column 1"):
        Forest(**arguments | {"single": True}).raw(X)
    forest = Forest(**arguments | {"single": False})
    np.testing.assert_allclose(forest.raw(X), [walk(forest, row) for row in X], rtol=0, atol=1e-12)


def test_parts_of_a_forest_add_up():
    rng = np.random.default_rng(1)
    forest = Forest(**random_forest(rng, n_trees=6))
    X = rows(rng, 20, forest.n_features)
    head = forest.head(4)
    assert head.n_trees == 4
    tail = {**random_forest(rng, n_trees=3), "single": forest.single, "base": np.zeros(2)}
    joined = forest.followed_by(Forest(**tail))
    np.testing.assert_allclose(joined.raw(X), forest.raw(X) + Forest(**tail).raw(X), atol=1e-12)
    np.testing.assert_allclose(head.raw(X), [walk(head, row) for row in X], atol=1e-12)


def broken(**changes):
    seeds = (random_forest(np.random.default_rng(seed), n_trees=3, depth=3) for seed in range(20))
    arguments = next(made for made in seeds if made["start"][1] >= 7)  # the first tree has inner nodes to break
    for name, change in changes.items():
        value = arguments[name]
        if callable(change):
            change(value)
        else:
            arguments[name] = change
    return arguments


def put(position, value):
    def change(array):
        array[position] = value

    return change


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"left": put(0, 0)}, "child"),
        ({"left": put(0, 10**6)}, "child"),
        ({"right": put(0, -5)}, "child"),
        ({"right": put(0, 1)}, "tree"),
        ({"feature": put(0, 3)}, "feature"),
        ({"feature": put(0, -2)}, "feature"),
        ({"threshold": put(0, np.nan)}, "threshold"),
        ({"value": put(0, np.inf)}, "leaf value"),
        ({"missing": put(0, 255)}, "flag"),
        ({"missing": put(0, 6)}, "flag"),
        ({"output": put(0, 2)}, "output"),
        ({"output": put(0, -1)}, "output"),
        ({"start": put(1, 0)}, "boundaries"),
        ({"start": put(1, 10**12)}, "boundaries"),
        ({"start": put(0, -1)}, "boundaries"),
        ({"base": put(0, np.nan)}, "base"),
        ({"cover": put(0, -1.0)}, "cover"),
        ({"gain": put(0, np.nan)}, "gain"),
        ({"n_features": 0}, "features"),
        ({"n_features": True}, "forest"),
        ({"threshold": np.zeros(3)}, "length"),
        ({"threshold": "x"}, "threshold"),
        ({"left": np.zeros(3)}, "left"),
    ],
)
def test_a_broken_forest_is_refused(changes, words):
    with pytest.raises(InvalidState, match=words):
        Forest(**broken(**changes))


def chain(length):
    """One tree whose left child goes on for ``length`` steps."""
    size = 2 * length + 1
    inner = np.arange(size) % 2 == 0
    inner[-1] = False
    index = np.arange(size, dtype=np.int32)
    return Forest(
        1,
        False,
        False,
        np.array([0, size]),
        np.zeros(1, np.int32),
        np.where(inner, 0, -1).astype(np.int32),
        np.zeros(size),
        np.where(inner, index + 2, -1).astype(np.int32),
        np.where(inner, index + 1, -1).astype(np.int32),
        np.zeros(size, np.uint8),
        np.zeros((size, 1)),
        np.zeros(size),
        np.ones(size),
        np.zeros(1),
    )


def test_absurd_depth_is_refused():
    assert chain(module.MAX_DEPTH).raw(np.zeros((2, 1))).tolist() == [[0.0], [0.0]]
    with pytest.raises(InvalidState, match="longer"):
        chain(module.MAX_DEPTH + 1)


def mutate(arguments, rng):
    """Change a few numbers, or the shape or type of an array."""
    names = [name for name, value in arguments.items() if isinstance(value, np.ndarray)]
    for _ in range(int(rng.integers(1, 4))):
        name = names[rng.integers(len(names))]
        array = arguments[name].copy()
        kind = rng.integers(8)
        if kind == 0:
            array = array[: rng.integers(len(array) + 1)]
        elif kind == 1:
            array = np.concatenate([array, array])
        elif kind == 2:
            array = array.astype(rng.choice(["f4", "i8", "i4", "u1", "f8", "?"]))
        elif kind == 3 and array.size:
            raw = array.view(np.uint8).reshape(-1)
            raw[rng.integers(raw.size)] ^= np.uint8(1 << rng.integers(8))
        elif array.size:
            flat = array.reshape(-1)
            extreme = [0, 1, -1, 2, len(array), 2**31 - 1, -(2**31)]
            with np.errstate(all="ignore"):
                flat[rng.integers(flat.size)] = np.array(rng.choice(extreme)).astype(flat.dtype)
        arguments[name] = array
    return arguments


def fuzz(n_mutants, seed):
    """Every mutant is refused, or predicts without reading where it must not."""
    rng = np.random.default_rng(seed)
    accepted = 0
    for _ in range(n_mutants):
        arguments = mutate(random_forest(rng, n_trees=3, depth=3, flags=[0, 1, 2, 4]), rng)
        try:
            forest = Forest(**arguments)
        except InvalidState:
            continue
        accepted += 1
        X = rows(rng, 5, forest.n_features)
        np.testing.assert_allclose(forest.raw(X), [walk(forest, row) for row in X], rtol=1e-9, atol=1e-9)
    return accepted


def test_mutated_arrays_never_crash():
    assert 0 < fuzz(600, 0) < 600


@pytest.mark.slow
def test_mutated_arrays_never_crash_campaign():
    for seed in range(1, 40):
        fuzz(2500, seed)


def test_examples():
    assert doctest.testmod(module).failed == 0
