"""Exact search: against the oracle at every scale, over ties, threads, layouts, and both methods."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import config

from consilience.kernels import LorentzianIndex, lorentzian_neighbors
from tests.reference import lorentzian as oracle

FEW = 130 if config.DISABLE_JIT else 400


def agree(index, reference, queries, k):
    distances, indices = index.query(queries, k)
    expected, rows = oracle.neighbors(reference, queries, k)
    np.testing.assert_allclose(distances, expected, rtol=1e-12)
    # Rows may only differ where the oracle's own rounding cannot tell them apart.
    for q, r in np.argwhere(indices != rows):
        assert oracle.distance(queries[q], reference[indices[q, r]]) == pytest.approx(expected[q, r], rel=1e-13)
    assert all(len(set(row)) == k for row in indices.tolist())
    return distances, indices


@pytest.mark.parametrize("method", ["brute", "tree"])
@pytest.mark.parametrize(
    "n, m, d, k", [(1, 1, 1, 1), (64, 4, 3, 8), (65, 5, 2, 65), (FEW, 9, 10, 8), (200, 3, 64, 5), (200, 6, 70, 40)]
)
def test_sizes(method, n, m, d, k):
    rng = np.random.default_rng(n + d)
    reference, queries = rng.standard_normal((n, d)), rng.standard_normal((m, d))
    agree(LorentzianIndex(reference, method=method), reference, queries, k)


@pytest.mark.parametrize("method", ["brute", "tree"])
@pytest.mark.parametrize("scale", [1e-300, 1e-12, 1e-6, 1.0, 1e5, 1e20, 1e300, 1e308])
@pytest.mark.parametrize("offset", [0.0, 1e9])
def test_scales_and_offsets(method, scale, offset):
    rng = np.random.default_rng(3)
    reference, queries = (offset + scale * rng.uniform(-1, 1, (n, 6)) for n in (150, 7))
    agree(LorentzianIndex(reference, method=method), reference, queries, 5)


@pytest.mark.parametrize("method", ["brute", "tree"])
def test_features_of_mixed_scales_and_heavy_tails(method):
    rng = np.random.default_rng(4)
    scales = np.array([1e-12, 1e-3, 1.0, 1e5, 1e9])
    reference, queries = rng.standard_cauchy((FEW, 5)) * scales, rng.standard_cauchy((9, 5)) * scales
    agree(LorentzianIndex(reference, method=method), reference, queries, 8)


@pytest.mark.parametrize("method", ["brute", "tree"])
def test_ties_in_masses_go_by_row(method):
    rng = np.random.default_rng(5)
    reference, queries = (rng.integers(0, 3, (n, 2)).astype(float) for n in (FEW, 6))
    distances, indices = LorentzianIndex(reference, method=method).query(queries, 20)
    expected, rows = oracle.neighbors(reference, queries, 20)
    np.testing.assert_array_equal(indices, rows)
    np.testing.assert_allclose(distances, expected, rtol=1e-12)


@pytest.mark.parametrize("method", ["brute", "tree"])
def test_identical_rows(method):
    index = LorentzianIndex(np.full((100, 3), 7.5), method=method)
    distances, indices = index.query([[7.5, 7.5, 7.5], [8.5, 7.5, 7.5]], 4)
    assert indices.tolist() == [[0, 1, 2, 3]] * 2
    np.testing.assert_allclose(distances, [[0.0] * 4, [np.log(2.0)] * 4], rtol=1e-15)


@pytest.mark.parametrize("gap", [1e-9, 1e-13])
def test_near_ties_are_told_apart(gap):
    # All rows at nearly the same distance: float32 cannot order them, the exact distances do.
    rng = np.random.default_rng(6)
    reference = np.full((200, 1), 3.0) + gap * rng.permutation(200)[:, None]
    _, indices = LorentzianIndex(reference).query([[0.0]], 5)
    assert indices[0].tolist() == np.argsort(reference[:, 0], kind="stable")[:5].tolist()


@pytest.mark.parametrize("seed", range(6))
def test_float32_would_choose_wrongly(seed):
    # Rows in all directions from each query whose distances differ by less than float32's error.
    rng = np.random.default_rng(seed)
    d, n, gap = 4, 300, 1e-9
    query = 5.0 + rng.standard_normal(d)
    logs = rng.dirichlet(np.ones(d), n) * (3.0 + gap * rng.permutation(n)[:, None])
    reference = query + rng.choice([-1.0, 1.0], (n, d)) * np.expm1(logs)
    index = LorentzianIndex(reference)
    _, indices = agree(index, reference, query[None], 8)
    _, places, _ = index._candidates(query[None], np.array([0]), None, 10)
    assert set(indices[0].tolist()) - set(places[0].tolist()), "the filter alone was right: no test of the proof"


@pytest.mark.parametrize("seed", range(6))
def test_far_from_the_centre_float32_is_not_trusted(seed):
    # Most rows lie around 0; the query and those near it lie so far out that float32 steps by 1.
    rng = np.random.default_rng(seed)
    reference = np.vstack([rng.standard_normal((300, 3)), 1e7 + rng.standard_normal((250, 3))])
    agree(LorentzianIndex(reference), reference, 1e7 + rng.standard_normal((4, 3)), 8)


@pytest.mark.parametrize("k", [1, 8, 40])
def test_the_tree_skips_and_loses_nothing(k):
    rng = np.random.default_rng(0)
    n, m = (900, 40) if config.DISABLE_JIT else (20_000, 600)
    data = np.cumsum(rng.standard_normal((n + m, 3)), axis=0) @ rng.standard_normal((3, 5)) * 0.02
    data = rng.permutation(data + 0.02 * rng.standard_normal(data.shape))
    tree, brute = (LorentzianIndex(data[:n], method=method) for method in ("tree", "brute"))
    for answer, same in zip(tree.query(data[n:], k), brute.query(data[n:], k)):
        np.testing.assert_array_equal(answer, same)
    if not config.DISABLE_JIT:
        assert tree._visited() < 0.3
        assert LorentzianIndex(data[:n]).method_ == "tree"
        assert LorentzianIndex(rng.standard_normal((n, 20))).method_ != "tree"


@pytest.mark.parametrize("method", ["brute", "tree"])
def test_one_outlier_does_not_blind_the_filter(method):
    rng = np.random.default_rng(7)
    reference, queries = rng.standard_normal((FEW, 4)), rng.standard_normal((5, 4))
    reference[10, 2], queries[0, 1] = 1e300, -1e300
    agree(LorentzianIndex(reference, method=method), reference, queries, 6)


def test_many_neighbours():
    rng = np.random.default_rng(8)
    reference, queries = rng.standard_normal((FEW, 3)), rng.standard_normal((5, 3))
    agree(LorentzianIndex(reference, method="tree"), reference, queries, FEW - 3)


def test_threads_order_and_type_change_nothing():
    rng = np.random.default_rng(9)
    n = 300 if config.DISABLE_JIT else 9000
    reference = rng.integers(-50, 50, (n, 8)).astype(float)
    queries = rng.integers(-50, 50, (66, 8)).astype(float)
    expected = LorentzianIndex(reference, method="brute", n_threads=1).query(queries, 7)
    wide = np.zeros((n, 16))
    wide[:, ::2] = reference
    variants = {
        "threads": LorentzianIndex(reference, n_threads=2),
        "tree": LorentzianIndex(reference, method="tree", n_threads=2),
        "sketch": LorentzianIndex(reference, method="sketch", n_threads=2),
        "fortran": LorentzianIndex(np.asfortranarray(reference)),
        "strided": LorentzianIndex(wide[:, ::2]),
        "float32": LorentzianIndex(reference.astype(np.float32)),
        "integers": LorentzianIndex(reference.astype(np.int16)),
    }
    for name, index in variants.items():
        for answer, same in zip(index.query(queries, 7), expected):
            np.testing.assert_array_equal(answer, same, err_msg=name)
    for block in (1, 3, 5):
        parts = [variants["tree"].query(queries[i : i + block], 7) for i in range(0, 20, block)]
        np.testing.assert_array_equal(np.vstack([p[1] for p in parts])[:20], expected[1][:20])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_small_input(data):
    n, m, d = (data.draw(st.integers(1, top), label=name) for name, top in (("n", 140), ("m", 6), ("d", 5)))
    seed = data.draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    kind = data.draw(st.sampled_from(["normal", "grid", "cauchy", "wide"]))
    draw = {
        "normal": lambda size: rng.standard_normal(size),
        "grid": lambda size: rng.integers(0, 4, size) * 0.1,
        "cauchy": lambda size: rng.standard_cauchy(size) * 1e3,
        "wide": lambda size: rng.choice([-1.0, 1.0], size) * 10.0 ** rng.uniform(-300, 300, size),
    }[kind]
    reference, queries = draw((n, d)), draw((m, d))
    method = data.draw(st.sampled_from(["brute", "sketch", "tree"]))
    agree(LorentzianIndex(reference, method=method), reference, queries, data.draw(st.integers(1, n)))


def test_function_equals_index():
    rng = np.random.default_rng(10)
    reference, queries = rng.standard_normal((100, 4)), rng.standard_normal((7, 4))
    for answer, same in zip(lorentzian_neighbors(reference, queries, 3), LorentzianIndex(reference).query(queries, 3)):
        np.testing.assert_array_equal(answer, same)


@pytest.mark.parametrize(
    "reference, queries, k, named",
    [
        ([[np.nan]], [[0.0]], 1, "reference"),
        ([[np.inf]], [[0.0]], 1, "reference"),
        ([[0.0]], [[-np.inf]], 1, "queries"),
        (np.empty((0, 2)), [[0.0, 0.0]], 1, "reference"),
        (np.empty((2, 0)), np.empty((1, 0)), 1, "reference"),
        ([0.0, 1.0], [[0.0]], 1, "reference"),
        ([[0.0]], [0.0], 1, "queries"),
        ([[0.0]], np.empty((0, 1)), 1, "queries"),
        ([[0.0]], [[0.0, 1.0]], 1, "queries"),
        ([[0.0]], [[0.0]], 2, "'k'"),
        ([[0.0]], [[0.0]], 0, "'k'"),
        ([[0.0]], [[0.0]], 1.0, "'k'"),
        ([[0.0]], [[0.0]], True, "'k'"),
        ([["a"]], [[0.0]], 1, "reference"),
        ([[1j]], [[0.0]], 1, "reference"),
        (None, [[0.0]], 1, "reference"),
    ],
)
def test_bad_arguments_are_named(reference, queries, k, named):
    with pytest.raises(ValueError, match=named):
        lorentzian_neighbors(reference, queries, k)


def test_bad_method_and_threads_are_named():
    with pytest.raises(ValueError, match="method"):
        LorentzianIndex([[0.0]], method="ball")
    with pytest.raises(ValueError, match="n_threads"):
        LorentzianIndex([[0.0]], n_threads=0)
