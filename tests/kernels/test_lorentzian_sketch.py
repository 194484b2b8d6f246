"""Search by sketches: bounds that hold, the very answers of a scan, few rows measured, every width of registers."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import config, njit

from consilience.kernels import LorentzianIndex, lorentzian_sketch
from consilience.kernels._lorentzian_exact import distance
from consilience.kernels._lorentzian_sketch import _fill_table, _sum_up
from consilience.kernels._lorentzian_sketch_lanes import AVAILABLE, ROWS, WIDTH
from consilience.kernels.lorentzian_sketch import Sketches
from tests.reference import lorentzian as oracle

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="the processor looks up no register of bytes at once")
FEW = 2 * ROWS + 31  # full blocks and one that is not


@pytest.fixture
def all_rows(monkeypatch):
    """Sketches may measure every row, so that small references are searched by them too."""
    monkeypatch.setattr(lorentzian_sketch, "_MEASURED", 1.0)


def search(reference, queries, k):
    """Distances, indices, which queries are answered, and the number of rows measured."""
    reference, queries = np.ascontiguousarray(reference), np.ascontiguousarray(queries)
    distances, indices = np.empty((len(queries), k)), np.empty((len(queries), k), np.int64)
    answered, measured = Sketches(reference, 1).search(queries, distances, indices)
    return distances, indices, answered, measured


def same_as_a_scan(reference, queries, k):
    distances, indices, answered, measured = search(reference, queries, k)
    expected = LorentzianIndex(reference, method="brute").query(queries, k)
    np.testing.assert_array_equal(indices[answered], expected[1][answered])
    np.testing.assert_array_equal(distances[answered], expected[0][answered])
    return answered, measured


@njit
def sums_and_distances(codes, ends, queries, unit, tables, sums, reference, true):
    """What the search does inside: kernels that only kernels call."""
    _fill_table(queries, 0, ends, unit, 1, 0, tables)
    _sum_up(codes, tables, 1, len(reference), sums, np.empty(2 * ROWS, np.uint8))
    for row in range(len(reference)):
        true[row] = distance(queries[0], reference[row])


def draw(rng, kind, size):
    return {
        "normal": lambda: rng.standard_normal(size),
        "grid": lambda: rng.integers(0, 4, size) * 0.1,
        "cauchy": lambda: rng.standard_cauchy(size) * 1e3,
        "narrow": lambda: 7.0 + 1e-7 * rng.standard_normal(size),
        "wide": lambda: rng.choice([-1.0, 1.0], size) * 10.0 ** rng.uniform(-300, 308, size),
        "two values": lambda: rng.choice([-1e308, 1e308], size),
    }[kind]()


KINDS = ["normal", "grid", "cauchy", "narrow", "wide", "two values"]


@settings(max_examples=10 if config.DISABLE_JIT else 150, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.sampled_from(KINDS), st.sampled_from([1e-4, 0.01, 0.3, 50.0]))
def test_a_sum_never_says_more_than_the_distance(seed, d, kind, unit):
    rng = np.random.default_rng(seed)
    reference, query = draw(rng, kind, (60, d)), draw(rng, kind, d) * rng.choice([1.0, 0.5])
    codes, ends = (part for part in Sketches(reference, 1)._prepared[1:3])
    n_pairs = codes.shape[1]
    tables, sums = np.full(2 * n_pairs * WIDTH, 9, np.uint8), np.empty(ROWS, np.uint8)
    true = np.empty(60)
    sums_and_distances(codes, ends, query[None], unit, tables, sums, reference, true)
    assert (sums[:60] * unit <= true * (1 + 1e-12)).all()
    assert (sums[60:] == 255).all(), "what fills up a block is no row"


@pytest.mark.usefixtures("all_rows")
@pytest.mark.parametrize(
    ("m", "d", "k"), [(1, 1, 1), (3, 2, 8), (4, 3, 8), (9, 10, 8), (5, 33, 3), (6, 64, 16), (2, 5, 70)]
)
def test_sizes(m, d, k):
    rng = np.random.default_rng(d)
    answered, _ = same_as_a_scan(rng.standard_normal((FEW, d)), rng.standard_normal((m, d)), k)
    assert answered.all()


@pytest.mark.usefixtures("all_rows")
@settings(max_examples=8 if config.DISABLE_JIT else 120, deadline=None)
@given(st.data())
def test_any_input_is_answered_as_by_a_scan(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    n, m, d = (data.draw(st.integers(*ends)) for ends in ((ROWS, 3 * ROWS), (1, 9), (1, 7)))
    kind, other = data.draw(st.sampled_from(KINDS)), data.draw(st.sampled_from(KINDS))
    same_as_a_scan(draw(rng, kind, (n, d)), draw(rng, other, (m, d)), data.draw(st.integers(1, 40)))


@pytest.mark.usefixtures("all_rows")
def test_against_the_oracle_with_ties_in_masses():
    rng = np.random.default_rng(0)
    reference, queries = (rng.integers(0, 3, (n, 3)).astype(float) for n in (FEW, 6))
    distances, indices, answered, _ = search(reference, queries, 20)
    expected, rows = oracle.neighbors(reference, queries, 20)
    assert answered.all()
    np.testing.assert_array_equal(indices, rows)
    np.testing.assert_allclose(distances, expected, rtol=1e-12)


@pytest.mark.usefixtures("all_rows")
@pytest.mark.parametrize("gap", [1e-9, 1e-13])
def test_near_ties_are_told_apart(gap):
    rng = np.random.default_rng(1)
    reference = np.full((FEW, 1), 3.0) + gap * rng.permutation(FEW)[:, None]
    _, indices, answered, _ = search(reference, np.zeros((1, 1)), 5)
    assert answered.all()
    assert indices[0].tolist() == np.argsort(reference[:, 0], kind="stable")[:5].tolist()


@pytest.mark.usefixtures("all_rows")
def test_far_queries_and_rows_far_from_the_sample():
    """The first estimate is far too large, or far too small, and the unit is chosen again."""
    rng = np.random.default_rng(2)
    reference = np.concatenate([rng.standard_normal((FEW, 4)), 1e6 + rng.standard_normal((FEW, 4))])
    queries = np.concatenate([1e6 + rng.standard_normal((3, 4)), np.full((2, 4), -1e12), rng.standard_normal((4, 4))])
    answered, _ = same_as_a_scan(reference, queries, 30)
    assert answered.all()


def test_what_would_take_too_many_measurements_is_left_to_a_scan():
    rng = np.random.default_rng(3)
    reference, queries = rng.integers(0, 2, (4 * ROWS, 3)).astype(float), rng.integers(0, 2, (6, 3)).astype(float)
    *_, answered, _ = search(reference, queries, 2)
    assert not answered.any(), "each query has an eighth of all rows at distance 0"
    index = LorentzianIndex(reference, method="sketch")
    brute = LorentzianIndex(reference, method="brute").query(queries, 2)
    for block in (1, 6):
        for answer, same in zip(index.query(queries[:block], 2), brute):
            np.testing.assert_array_equal(answer, same[:block])


def test_few_rows_are_measured_and_the_index_knows_when():
    rng = np.random.default_rng(4)
    n = 20 * ROWS if config.DISABLE_JIT else 20_000
    reference, queries = rng.standard_normal((n, 8)), rng.standard_normal((8, 8))
    answered, measured = same_as_a_scan(reference, queries, 8)
    assert answered.all()
    assert measured < 0.05 * 8 * n
    if not config.DISABLE_JIT:
        assert LorentzianIndex(reference).method_ == "sketch"
        wide = LorentzianIndex(rng.standard_normal((40_000, 12)))
        assert wide.method_ == "sketch" and wide._splits is None, "no tree is built where it would skip nothing"
        assert LorentzianIndex(rng.standard_normal((10_000, 80)), method="auto").method_ == "brute"


def test_an_index_of_sketches_answers_as_a_scan_does():
    rng = np.random.default_rng(5)
    n = 5 * ROWS if config.DISABLE_JIT else 9000
    reference, queries = rng.standard_normal((n, 5)), rng.standard_normal((30, 5))
    index, brute = (LorentzianIndex(reference, method=method, n_threads=2) for method in ("sketch", "brute"))
    assert index.method_ == "sketch"
    for k in (1, 2, 50):  # the last is too many for sketches
        for block in (1, 3, 30):
            for answer, same in zip(index.query(queries[:block], k), brute.query(queries[:block], k)):
                np.testing.assert_array_equal(answer, same)
    with pytest.raises(ValueError, match="queries"):
        index.query(np.full((1, 5), np.nan), 2)


@pytest.mark.skipif(config.DISABLE_JIT, reason="too slow without the compiler")
@pytest.mark.parametrize("recall", [0.8, 0.95])
def test_a_recall_is_kept_and_saves_measurements(recall):
    rng = np.random.default_rng(6)
    reference, queries = rng.standard_normal((20_000, 12)), rng.standard_normal((400, 12))
    index = LorentzianIndex(reference, method="sketch")
    exact = index.query(queries, 8)
    distances, indices = index.query(queries, 8, recall=recall)
    assert recall <= (distances <= exact[0][:, -1:]).mean() < 1.0
    true = np.log1p(np.abs(queries[:, None] - reference[indices])).sum(axis=2)
    np.testing.assert_allclose(distances, true, rtol=1e-12)
    shrink = index._shrink(8, recall)
    measured = [index._sketches.search(queries, *(part.copy() for part in exact), s)[1] for s in (1.0, shrink)]
    assert measured[1] < 0.7 * measured[0]


def test_single_queries_of_a_tree_are_exact_also_with_a_recall():
    rng = np.random.default_rng(7)
    n = 1100 if config.DISABLE_JIT else 9000
    reference = np.cumsum(rng.standard_normal((n, 8)), axis=0) * 0.02
    index = LorentzianIndex(reference, method="tree")
    index._sketches = Sketches(index.reference, 1)
    brute = LorentzianIndex(reference, method="brute")
    for query in reference[:: n // 40] + 0.1 * rng.standard_normal((len(reference[:: n // 40]), 8)):
        for answer, same in zip(index.query(query[None], 4, recall=0.3), brute.query(query[None], 4)):
            np.testing.assert_array_equal(answer, same)


PROGRAM = """
import numpy as np
from consilience.kernels import lorentzian_distances
from consilience.kernels._lorentzian_sketch_lanes import AVAILABLE, WIDTH
from consilience.kernels.lorentzian_sketch import Sketches
rng = np.random.default_rng(0)
reference, queries = rng.standard_normal((2500, 7)), rng.standard_normal((5, 7))
table = np.log1p(np.abs(queries[:, None] - reference)).sum(axis=2)
if AVAILABLE:
    distances, indices = np.empty((5, 2)), np.empty((5, 2), np.int64)
    answered, _ = Sketches(reference, 1).search(queries, distances, indices)
    assert answered.all() and (indices == table.argsort(axis=1)[:, :2]).all()
else:
    assert np.allclose(lorentzian_distances(queries, reference), table, rtol=1e-12)
print(AVAILABLE, WIDTH)
"""


@pytest.mark.skipif(config.DISABLE_JIT, reason="nothing is compiled")
@pytest.mark.parametrize(
    ("features", "said"), [("+ssse3", "True 16"), ("+avx2,+avx,+ssse3", "True 32"), ("", "False 16")]
)
def test_processors_with_less(features, said, tmp_path):
    """Also as Numba is told to compile for caches that several processors share."""
    if said == f"True {WIDTH}":
        pytest.skip("every other test runs at this processor's own width")
    settings = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": features, "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env={**os.environ, **settings}, check=False
    )
    assert done.stdout.strip() == said, done.stderr
