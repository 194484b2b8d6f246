"""Every example in a docstring of the package runs."""

import doctest
import importlib
import pkgutil

import pytest

from consilience import evaluation

MODULES = sorted(module.name for module in pkgutil.iter_modules(evaluation.__path__))


@pytest.mark.parametrize("name", MODULES)
def test_examples_of(name):
    module = importlib.import_module(f"consilience.evaluation.{name}")
    assert doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS).failed == 0
