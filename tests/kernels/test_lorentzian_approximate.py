"""Approximate search: recall, exact distances, and the same interface."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numba import config

from consilience.base import MissingDependency
from consilience.kernels import ApproximateLorentzianIndex, LorentzianIndex
from tests.reference import lorentzian as oracle

N = 1500 if config.DISABLE_JIT else 12_000


def walk(n: int, seed: int = 0) -> np.ndarray:
    """Autocorrelated features with two directions that matter."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((n, 2))
    for t in range(1, n):
        noise[t] += 0.95 * noise[t - 1]
    return noise @ rng.standard_normal((2, 6)) + 0.2 * rng.standard_normal((n, 6))


@pytest.mark.parametrize("wanted", [0.8, 0.95])
@pytest.mark.parametrize("method", ["brute", "tree"])
def test_recall_target_is_met_and_saves_visits(method, wanted):
    data = walk(N + 300)
    reference, queries = data[:N], data[N:]
    index = LorentzianIndex(reference, method="tree")
    exact, _ = index.query(queries, 8)
    index._shrink(8, wanted)  # learns from visits that are not the query's
    visits = []
    candidates = index._candidates

    def counted(*args):
        found = candidates(*args)
        visits.append(found[2])
        return found

    index._candidates = counted
    index.query(queries, 8)
    exactly = sum(visits)
    visits.clear()
    index.method_ = method  # a tree that was built and then not chosen still serves the approximate search
    distances, indices = index.query(queries, 8, recall=wanted)
    assert sum(visits) < (0.9 if wanted > 0.9 else 0.75) * exactly
    # the target is an average over rows like the reference's; 300 rows that come after 1500 of a walk are not quite
    assert np.mean(distances <= exact[:, -1:]) >= wanted - (0.02 if config.DISABLE_JIT else 0.0)
    for q in (0, 150, 299):
        expected = [oracle.distance(queries[q], reference[i]) for i in indices[q]]
        np.testing.assert_allclose(distances[q], expected, rtol=1e-12)
        assert len(set(indices[q].tolist())) == 8


def test_brute_force_stays_exact_whatever_the_recall():
    data = walk(N + 20)
    index = LorentzianIndex(data[:N], method="brute")
    for answer, same in zip(index.query(data[N:], 8, recall=0.5), index.query(data[N:], 8)):
        np.testing.assert_array_equal(answer, same)


def test_small_references_are_searched_exactly():
    rng = np.random.default_rng(1)
    index = LorentzianIndex(rng.standard_normal((50, 3)))
    queries = rng.standard_normal((5, 3))
    np.testing.assert_array_equal(index.query(queries, 7, recall=0.5)[1], index.query(queries, 7)[1])


@pytest.mark.parametrize("recall", [0.0, 1.0, -1.0, float("nan"), True, "high"])
def test_bad_recall_is_named(recall):
    with pytest.raises(ValueError, match="recall"):
        LorentzianIndex(np.zeros((5, 1))).query([[0.0]], 1, recall=recall)


@pytest.fixture(scope="module")
def data():
    pytest.importorskip("usearch")
    if config.DISABLE_JIT:
        pytest.skip("usearch calls the metric as a compiled C function")
    rows = walk(3200)
    return rows[:3000], rows[3000:]


class TestGraph:
    def test_recall_and_distances(self, data):
        reference, queries = data
        index = ApproximateLorentzianIndex(reference, n_threads=1)
        exact, _ = LorentzianIndex(reference).query(queries, 8)
        distances, indices = index.query(queries, 8, recall=0.95)
        assert np.mean(distances <= exact[:, -1:] * (1 + 1e-6)) >= 0.95
        found = index._graph.search(queries.astype(np.float32), 8, threads=1)
        assert found.computed_distances < 0.4 * len(queries) * len(reference), "it looks at most rows"
        expected = [oracle.distance(queries[0], reference[i]) for i in indices[0]]
        np.testing.assert_allclose(distances[0], expected, rtol=1e-5)
        assert (np.diff(distances, axis=1) >= 0).all() and indices.dtype == np.int64

    def test_rows_that_are_not_in_the_graph_find_their_neighbours_too(self, data):
        """The graph's own rows are linked to their neighbours: what they need is too little for new ones."""
        rows = np.random.default_rng(0).standard_normal((20_500, 10))
        reference, queries = rows[:20_000], rows[20_000:]
        exact, _ = LorentzianIndex(reference).query(queries, 8)
        distances, _ = ApproximateLorentzianIndex(reference, n_threads=1).query(queries, 8, recall=0.95)
        assert np.mean(distances <= exact[:, -1:] * (1 + 1e-5)) >= 0.95

    def test_rows_can_be_added(self, data):
        reference, queries = data
        index = ApproximateLorentzianIndex(reference[:100], n_threads=1).add(queries[:1])
        assert index.shape == (101, 6)
        assert index.query(queries[:1], 1)[1].tolist() == [[100]]

    def test_high_dimensions_do_not_overflow(self, data):
        far = np.full((4, 40), 1e30) * np.arange(4)[:, None]
        distances, indices = ApproximateLorentzianIndex(far).query(far[1:2], 2)
        assert indices[0, 0] == 1 and np.isfinite(distances).all()
        np.testing.assert_allclose(distances[0, 1], 40 * np.log1p(1e30), rtol=1e-6)

    @pytest.mark.parametrize("d", [1, 6, 7, 8, 14, 64])
    def test_the_largest_float32_does_not_overflow(self, data, d):
        largest = float(np.finfo(np.float32).max)
        index = ApproximateLorentzianIndex([[largest] * d, [-largest] * d, [0.0] * d], n_threads=1)
        distances, indices = index.query([[largest] * d], 3)
        assert indices.tolist() == [[0, 2, 1]]
        np.testing.assert_allclose(distances[0], [0.0, d * np.log(largest), d * np.log(2 * largest)], rtol=1e-6)

    @pytest.mark.parametrize("copies", [40, 700, 1100])
    @pytest.mark.parametrize("m", [1, 7])
    def test_duplicates_part_the_graph_and_every_query_is_answered_all_the_same(self, data, copies, m):
        few = data[0][:3]
        reference = np.repeat(few, copies, axis=0)
        index = ApproximateLorentzianIndex(reference, n_threads=1)
        for k in (8, copies + 5, 3 * copies):
            distances, indices = index.query(data[1][:m], k)
            exact, _ = LorentzianIndex(reference).query(data[1][:m], k)
            np.testing.assert_allclose(distances, exact, rtol=1e-5)
            assert all(len(set(row)) == k and max(row) < len(reference) for row in indices.tolist())

    def test_no_recall_given_is_the_default_of_both_indexes(self, data):
        index = ApproximateLorentzianIndex(data[0][:300], n_threads=1)
        for other in (index.query(data[1], 3, recall=None), index.query(data[1], 3, recall=0.95)):
            np.testing.assert_array_equal(index.query(data[1], 3)[1], other[1])

    def test_threads_that_want_different_recalls_do_not_exchange_them(self, data):
        reference, queries = data
        index = ApproximateLorentzianIndex(reference, n_threads=1)
        index._expansions = {(8, 0.5): 16, (8, 0.99): 512}
        wanted = [0.5, 0.99] * 8
        expected = {recall: index.query(queries, 8, recall=recall)[1] for recall in wanted[:2]}
        assert (expected[0.5] != expected[0.99]).any()
        search = index._graph.search

        def slow(*args, **options):
            time.sleep(0.002)  # long enough for another thread to set its own width
            return search(*args, **options)

        index._graph.search = slow
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda recall: index.query(queries, 8, recall=recall)[1], wanted))
        for recall, indices in zip(wanted, found):
            np.testing.assert_array_equal(indices, expected[recall])

    @pytest.mark.parametrize(
        "call, named",
        [
            (lambda index: index.query([[0.0] * 6], 0), "'k'"),
            (lambda index: index.query([[0.0] * 6], 11), "'k'"),
            (lambda index: index.query([[0.0] * 5], 1), "queries"),
            (lambda index: index.query([[1e300] * 6], 1), "queries"),
            (lambda index: index.query([[np.nan] * 6], 1), "queries"),
            (lambda index: index.query([[0.0] * 6], 1, recall=2.0), "recall"),
            (lambda index: index.add([[0.0] * 7]), "rows"),
            (lambda index: index.query([["a"] * 6], 1), "queries"),
            (lambda index: index.add([[1e39] * 6]), "'rows'"),
            (lambda index: ApproximateLorentzianIndex([[1e39]]), "'reference'"),
            (lambda index: ApproximateLorentzianIndex({}), "'reference'"),
            (lambda index: ApproximateLorentzianIndex([[1.0]], connectivity=0), "connectivity"),
        ],
    )
    def test_bad_arguments_are_named(self, data, call, named):
        index = ApproximateLorentzianIndex(data[0][:10], n_threads=1)
        with pytest.raises(ValueError, match=named):
            call(index)


def test_a_missing_usearch_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "usearch.index", None)
    with pytest.raises(MissingDependency, match="ann"):
        ApproximateLorentzianIndex([[0.0]])
