"""The examples in the docstrings run."""

import doctest

import pytest

from consilience.keras_models import cnn, lstm, sequence, sequence_classifier, sequence_regressor, transformer

pytestmark = pytest.mark.xdist_group("keras")


@pytest.mark.parametrize("module", [lstm, transformer, cnn, sequence, sequence_classifier, sequence_regressor])
def test_examples(module):
    found = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.attempted and not found.failed
