"""The examples in the docstrings run."""

import doctest

import pytest

from consilience.keras_models import cnn, lstm, transformer

pytestmark = pytest.mark.xdist_group("keras")


@pytest.mark.parametrize("module", [lstm, transformer, cnn])
def test_examples(module):
    assert doctest.testmod(module).failed == 0
