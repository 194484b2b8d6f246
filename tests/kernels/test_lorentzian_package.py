"""Examples in the Lorentzian docstrings, how all kernels are compiled, and the public names."""

import doctest
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba import config

import consilience.kernels

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
    def call_bounds(boxes, queries, d, out):
        lanes.bounds4(boxes, 0, queries, 0, d, out, 0, 64)
        return lanes.any_under4(out, 0, 64, np.full(4, out[5] * np.float32(1.1), np.float32))

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
        bounds, expected = np.empty(256, np.float32), np.empty(256, np.float32)
        mask = call_bounds(edges, queries, d, bounds)
        lanes._bounds_in_numpy(edges, 0, queries, 0, d, expected, 0, 64)
        np.testing.assert_allclose(bounds, expected, rtol=1e-5)
        assert mask == lanes._any_under_in_numpy(bounds, 0, 64, np.full(4, bounds[5] * np.float32(1.1), np.float32))


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
