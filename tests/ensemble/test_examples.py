"""Every example in the package's docstrings runs and gives what it shows."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import consilience.ensemble

MODULES = sorted(path.stem for path in Path(consilience.ensemble.__file__).parent.glob("[a-z]*.py"))


@pytest.mark.parametrize("module", MODULES)
def test_docstrings(module):
    found = doctest.testmod(import_module(f"consilience.ensemble.{module}"), optionflags=doctest.ELLIPSIS)
    assert found.failed == 0
