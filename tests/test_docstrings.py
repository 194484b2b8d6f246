"""Every example in a docstring of these packages runs. Keras's own are run by tests/keras_models."""

import doctest
import importlib
import pkgutil

import pytest

import consilience

PACKAGES = ("base", "data", "training", "serving", "cli")


def modules():
    for package in PACKAGES:
        root = importlib.import_module(f"consilience.{package}")
        yield root.__name__
        yield from (info.name for info in pkgutil.walk_packages(root.__path__, root.__name__ + "."))


@pytest.mark.parametrize("name", sorted(modules()))
def test_docstring_examples(name):
    failed, _ = doctest.testmod(
        importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    )
    assert failed == 0


def test_the_version_is_a_string():
    assert isinstance(consilience.__version__, str)
