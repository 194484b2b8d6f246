"""Approximate search: recall, exact distances, and the same interface."""

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
    index.method_ = method  # a tree that was built and then not chosen still serves the approximate search
    exact, _ = index.query(queries, 8)
    distances, indices = index.query(queries, 8, recall=wanted)
    recall = np.mean(distances <= exact[:, -1:])
    assert recall >= wanted - 0.03
    for q in (0, 150, 299):
        expected = [oracle.distance(queries[q], reference[i]) for i in indices[q]]
        np.testing.assert_allclose(distances[q], expected, rtol=1e-12)
        assert len(set(indices[q].tolist())) == 8
    assert index._shrink(8, wanted) < 1.0


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
        assert np.mean(distances <= exact[:, -1:] * (1 + 1e-6)) >= 0.93
        expected = [oracle.distance(queries[0], reference[i]) for i in indices[0]]
        np.testing.assert_allclose(distances[0], expected, rtol=1e-5)
        assert (np.diff(distances, axis=1) >= 0).all() and indices.dtype == np.int64

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
            (lambda index: ApproximateLorentzianIndex([[1e39]]), "rows"),
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
