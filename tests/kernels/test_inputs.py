"""What the kernels' public functions accept and refuse, and that one form of array reaches the compiled code."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest
from numba import config

import consilience.kernels
from consilience.base import InvalidInput, State, restore
from consilience.kernels import (
    GaussianHMM,
    LorentzianIndex,
    LorentzianRegressor,
    RegimeFeatures,
    forward_filter,
    inputs,
    lorentzian_distances,
    lorentzian_neighbors,
)
from consilience.kernels.forest import Forest
from tests.kernels.test_hmm import parameters
from tests.reference.forest import random_forest

N, D = 300, 4


def frozen(array):
    array = np.array(array)
    array.flags.writeable = False
    return array


def unaligned(array):
    raw = np.zeros(array.nbytes + 1, np.uint8)
    out = raw[1:].view(array.dtype).reshape(array.shape)
    out[:] = array
    return out


LAYOUTS = {
    "read-only": frozen,
    "Fortran": np.asfortranarray,
    "strided": lambda array: np.repeat(array, 2, axis=0)[::2],
    "backwards": lambda array: array[::-1, ::-1].copy()[::-1, ::-1],
    "unaligned": unaligned,
    "big-endian": lambda array: array.astype(">f8"),
    "float32": lambda array: array.astype(np.float32),
    "integers": lambda array: array.astype(np.int16),
    "a list": lambda array: array.tolist(),
    "read-only float32": lambda array: frozen(array.astype(np.float32)),
}


def numbers(n=N, seed=0):
    return np.random.default_rng(seed).integers(-20, 20, (n, D)).astype(float)


def distances(given):
    return lorentzian_distances(given(numbers()), given(numbers(40, 1)))


def neighbours(given):
    X, queries = given(numbers()), numbers(9, 1)
    found = [*lorentzian_neighbors(X, given(queries), 3), *lorentzian_neighbors(X, given(queries[:1]), 3)]
    tree = LorentzianIndex(X, method="tree")
    return np.concatenate([np.ravel(part) for part in (*found, *tree.query(given(queries), 3))])


def memory(given):
    y = np.arange(N, dtype=float)
    model = LorentzianRegressor(3, min_spacing=3).fit(given(numbers()), y)
    state = model.get_state()
    keep = frozen if given is LAYOUTS["read-only"] else np.array
    again = restore(State(state.kind, state.spec, {name: keep(array) for name, array in state.arrays.items()}))
    return again.predict(given(numbers(9, 1)))


def hidden_states(covariance_type):
    def infer(given):
        p = parameters(3, D, covariance_type)
        model = GaussianHMM(3, covariance_type, n_iter=2, init_params="", order_feature=None)
        model.startprob_, model.transmat_ = frozen(p.startprob), frozen(p.transmat)
        model.means_, model.covars_ = frozen(p.means), frozen(p.covars)
        X = given(numbers())
        first = model.step(None, X[0])
        second = model.step(frozen(first), X[1])  # from now on the parameters are read-only whatever they were
        outputs = [second, model.predict_proba(X), model.smooth_proba(X), model.decode(X)[1], model.fit(X).means_]
        return np.concatenate([np.ravel(part) for part in outputs])

    return infer


def regimes(given):
    return RegimeFeatures(2, n_iter=2, n_init=1, random_state=0).fit(given(numbers())).transform(given(numbers()))


def trees(given):
    arguments = random_forest(np.random.default_rng(0), n_features=D)
    if given is LAYOUTS["read-only"]:
        arguments = {name: frozen(a) if isinstance(a, np.ndarray) else a for name, a in arguments.items()}
    forest = Forest(**arguments)
    X = given(numbers())
    return np.concatenate([np.ravel(forest.raw(X)), np.ravel(forest.contributions(X[:5]))])


FAMILIES = {
    "distances": distances,
    "neighbours": neighbours,
    "memory": memory,
    "diagonal HMM": hidden_states("diag"),
    "full HMM": hidden_states("full"),
    "regimes": regimes,
    "forest": trees,
}


def signatures():
    """How many versions of each kernel are compiled."""
    from numba.core.registry import CPUDispatcher

    names = [module.name for module in pkgutil.iter_modules(consilience.kernels.__path__) if module.name[0] == "_"]
    modules = [importlib.import_module(f"consilience.kernels.{name}") for name in names]
    return {
        f"{module.__name__}.{name}": len(value.signatures)
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, CPUDispatcher)
    }


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled")
@pytest.mark.parametrize("family", FAMILIES)
def test_no_layout_of_the_input_changes_the_answer_or_compiles_a_kernel_again(family):
    expected = FAMILIES[family](np.array)
    before = signatures()
    for name, layout in LAYOUTS.items():
        np.testing.assert_array_equal(FAMILIES[family](layout), expected, err_msg=name)
        assert signatures() == before, name


def test_a_read_only_array_is_lent_without_a_copy_and_stays_alive():
    X = frozen(np.arange(6.0).reshape(2, 3))
    lent = inputs.for_kernels(X)
    assert np.shares_memory(lent, X) and not X.flags.writeable
    assert inputs.matrix(X, "X", "f").flags.writeable and np.shares_memory(inputs.matrix(X, "X", "f"), X)
    lent = inputs.for_kernels(frozen(np.arange(100_000.0)))
    np.testing.assert_array_equal(lent, np.arange(100_000.0))
    plain = np.zeros(3)
    assert inputs.for_kernels(plain) is plain


@pytest.mark.parametrize(
    ("X", "words"),
    [
        (None, "real numbers"),
        ("abc", "real numbers"),
        ({"a": [1.0]}, "real numbers"),
        ([[1.0, 2.0], [3.0]], "real numbers"),
        ([["a"]], "real numbers"),
        ([[1j]], "real numbers"),
        (np.array([["2020-01-01"]], "datetime64[D]"), "real numbers"),
        (np.array([[10**400]], object), "real numbers"),
        (1.0, "two-dimensional"),
        ([1.0, 2.0], "two-dimensional"),
        ([[[1.0]]], "two-dimensional"),
        (np.empty((0, 2)), "at least one row"),
        (np.empty((2, 0)), "at least one row"),
        ([[1.0, 2.0, 3.0]], "2 features"),
        ([[1.0, 2.0], [3.0, np.nan]], "nan in row 1, column 1"),
        ([[1.0, -np.inf], [3.0, 4.0]], "-inf in row 0, column 1"),
        ([[1.0, None]], "nan in row 0, column 1"),
    ],
)
def test_matrices_that_are_refused(X, words):
    with pytest.raises(InvalidInput, match=f"The 'X' parameter of f must be .*{words}"):
        inputs.matrix(X, "X", "f", 2)


def test_matrices_that_are_taken():
    np.testing.assert_array_equal(inputs.matrix([[True, 2]], "X", "f"), [[1.0, 2.0]])
    np.testing.assert_array_equal(inputs.matrix([[1.7e308, 1.7e308]], "X", "f"), [[1.7e308, 1.7e308]])
    assert np.isnan(inputs.matrix([[np.nan, 1.0]], "X", "f", missing=True)[0, 0])
    assert np.isinf(inputs.matrix([[np.inf, 1.0]], "X", "f", finite=False)[0, 0])
    with pytest.raises(InvalidInput, match=r"infinities.*inf in row 0, column 1"):
        inputs.matrix([[np.nan, np.inf]], "X", "f", missing=True)


@pytest.mark.parametrize("value", [None, "1", True, np.nan, np.inf, 1j, [1.0], -0.5])
def test_numbers_that_are_refused(value):
    with pytest.raises(InvalidInput, match="The 'a' parameter of f must be a finite number >= 0"):
        inputs.number(value, "a", "f", at_least=0.0)


def test_numbers_that_are_taken():
    assert inputs.number(np.float32(0.5), "a", "f", above=0.0) == 0.5
    assert inputs.number(0, "a", "f", at_least=0.0) == 0.0
    with pytest.raises(InvalidInput, match="> 0, or None"):
        inputs.number(0, "a", "f", above=0.0, remark=", or None")


@pytest.mark.parametrize("value", ["ret_1", 0.5, True, None, 2, -3])
def test_columns_that_are_refused(value):
    with pytest.raises(InvalidInput, match="'a'"):
        inputs.column(value, "a", "f", 2)


def test_columns_count_from_the_end_too():
    assert [inputs.column(value, "a", "f", 2) for value in (0, np.int32(1), -1, -2)] == [0, 1, -1, -2]


def test_filter_of_a_series_of_rows_from_pandas():
    """pandas hands out read-only views of its own memory."""
    import pandas as pd

    p = parameters(2, D)
    frame = pd.DataFrame(numbers(20))
    np.testing.assert_array_equal(forward_filter(frame, p)[0], forward_filter(numbers(20), p)[0])


def test_docstrings():
    result = doctest.testmod(inputs)
    assert result.attempted and not result.failed
