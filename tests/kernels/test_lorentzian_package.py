"""Examples in the Lorentzian docstrings, how all kernels are compiled, and the public names."""

import doctest
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import config, njit

import consilience.kernels
from consilience.kernels import _lorentzian_candidates as candidates

MODULES = [
    importlib.import_module(f"consilience.kernels.{module.name}")
    for module in pkgutil.iter_modules(consilience.kernels.__path__)
    if module.name.lstrip("_").startswith("lorentzian") and module.name != "_lorentzian_usearch"
]


COMPILED = [
    importlib.import_module(f"consilience.kernels.{module.name}")
    for module in pkgutil.iter_modules(consilience.kernels.__path__)
    if module.name.startswith(("_lorentzian", "_hmm", "_forest")) and module.name != "_lorentzian_usearch"
]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rsplit(".", 1)[1])
def test_docstring_examples(module):
    if module.__name__.endswith("approximate"):
        pytest.importorskip("usearch")
        if config.DISABLE_JIT:
            pytest.skip("usearch calls the metric as a compiled C function")
    assert doctest.testmod(module).failed == 0


def test_examples_of_the_page():
    page = Path(__file__).parents[2] / "docs" / "kernels.md"
    assert doctest.testfile(str(page), module_relative=False).failed == 0


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled")
def test_compiled_code_releases_the_gil_and_is_cached():
    from numba.core.caching import NullCache
    from numba.core.registry import CPUDispatcher

    compiled = {
        f"{module.__name__}.{name}": value
        for module in COMPILED
        for name, value in vars(module).items()
        if isinstance(value, CPUDispatcher)
    }
    calls = {"scan", "settle", "search_again", "pruned_scan", "fill_pairs", "spaced"}  # Lorentzian
    calls |= {"run", "run_gather", "step", "steps", "forward", "backward", "windowed_filter"}  # hidden Markov models
    calls |= {"check_trees", "add_trees", "add_contributions"}  # forests
    assert calls <= {name.rsplit(".", 1)[1] for name in compiled}
    for name, function in compiled.items():
        assert function.targetoptions.get("nogil"), f"{name} holds the GIL"
        assert not isinstance(function._cache, NullCache), f"{name} is compiled anew in every process"


def test_importing_the_package_compiles_and_imports_nothing_heavy():
    heavy = {"keras", "jax", "usearch", "matplotlib.pyplot"}
    use_all = "import sys, consilience.kernels as k; [getattr(k, name) for name in k.__all__]"
    code = f"{use_all}; print({heavy} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="compares compiled vectors with their NumPy twins")
def test_vector_code_equals_its_numpy_twin():
    from numba import njit

    from consilience.kernels import _lorentzian_lanes as lanes

    @njit
    def call(blocks, queries, d, limits, products, masks):
        return lanes.below4(blocks, 0, queries, 0, d, limits, 0, products, masks)

    @njit
    def call_boxes(boxes, start, queries, d, limits, out):
        return lanes.boxes_below4(boxes, start, queries, 0, d, limits, 0, out)

    @njit
    def call_shrunk(product, share):
        return lanes.shrunk(product, share)

    for exponent in (0.0, 0.3, 5.0, 60.0, np.inf, -1.0, -np.inf):
        product = np.float32(lanes.START * np.exp(exponent))
        assert call_shrunk(product, 1.0) == product
        for share in (0.0, 0.3, 0.99):
            mine = call_shrunk(product, share)
            assert mine == lanes._shrunk_in_numpy(product, share)
            if 0.0 < exponent < np.inf:
                np.testing.assert_allclose(np.log(mine / lanes.START), share * exponent, atol=0.061)
    assert call_shrunk(np.float32(-1.0), 0.5) == -1.0

    rng = np.random.default_rng(0)
    for d in (1, 3, 40):
        blocks, queries = (rng.standard_normal(size).astype(np.float32) for size in (d * 64, d * 4))
        blocks[3] = np.inf  # a missing lane
        twin = np.empty(256, np.float32), np.zeros(4, np.uint64)
        lanes._below_in_numpy(4)(blocks, 0, queries, 0, d, np.full(4, np.inf, np.float32), 0, *twin)
        limits = np.sort(twin[0].reshape(4, 64), axis=1)[:, 20] * np.float32(1 + 1e-5)
        mine = np.zeros(256, np.float32), np.zeros(4, np.uint64)
        assert call(blocks, queries, d, limits, *mine)
        lanes._below_in_numpy(4)(blocks, 0, queries, 0, d, limits, 0, *twin)
        np.testing.assert_array_equal(mine[1], twin[1])
        np.testing.assert_allclose(mine[0], twin[0], rtol=1e-5)
        assert not call(blocks, queries, d, np.zeros(4, np.float32), *mine)
        edges = np.sort(rng.standard_normal((d, 2, 64)), axis=1).astype(np.float32).ravel()
        bounds, expected = np.empty(64, np.float32), np.empty(64, np.float32)
        for start in (0, 48):
            lanes._boxes_below_in_numpy(edges, start, queries, 0, d, np.zeros(4, np.float32), 0, expected)
            limits = np.sort(expected.reshape(4, 16), axis=1)[:, 2] * np.float32(1 + 1e-5)
            mask = call_boxes(edges, start, queries, d, limits, bounds)
            assert mask == lanes._boxes_below_in_numpy(edges, start, queries, 0, d, limits, 0, expected) != 0
            np.testing.assert_allclose(bounds, expected, rtol=1e-5)


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), max_size=200), st.integers(1, 50))
def test_candidates_are_those_of_a_stable_sort(offered, n_candidates):
    size = candidates.length(n_candidates)
    keys, rows = np.full((3, size), np.inf, np.float32), np.full((3, size), -7, np.int32)
    keys[:, :-n_candidates] = candidates.NOBODY
    worst = _offer_all(np.array(offered, np.float32), keys.reshape(-1), rows.reshape(-1), size)
    kept = np.sort(np.array(offered, np.float32))[:n_candidates]
    real = keys[1] > candidates.NOBODY
    assert real.sum() == n_candidates
    assert worst == keys[1, -1]
    np.testing.assert_array_equal(keys[1][real][: len(kept)], kept)
    np.testing.assert_array_equal(keys[1][real][len(kept) :], np.inf)
    np.testing.assert_array_equal(rows[1][real][: len(kept)], np.argsort(offered, kind="stable")[:n_candidates])
    for other in (0, 2):
        np.testing.assert_array_equal(rows[other], -7)
        assert set(keys[other]) <= {np.inf, candidates.NOBODY}


@njit
def _offer_all(offered, keys, rows, size):
    """All of them, 64 at a time, to the second of three queries."""
    limits, masks, products = np.full(3, np.inf, np.float32), np.empty(1, np.uint64), np.empty(64, np.float32)
    for start in range(0, len(offered), 64):
        masks[0] = 0
        for lane in range(min(64, len(offered) - start)):
            products[lane] = offered[start + lane]
            if products[lane] < limits[1]:
                masks[0] |= np.uint64(1) << np.uint64(lane)
        candidates.offer(masks, products, 1, start // 64, keys, rows, size, limits, 1)
    return limits[1]


@pytest.mark.parametrize(
    "name",
    [name for name in consilience.kernels.__all__ if name not in ("forest", "HMMParameters")],
)
def test_public_names_are_listed_and_documented(name):
    assert name in dir(consilience.kernels)
    assert ">>>" in getattr(consilience.kernels, name).__doc__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nothing"):
        consilience.kernels.nothing  # noqa: B018
