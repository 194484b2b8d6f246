"""Every example in the package's docstrings runs and gives what it shows."""

import doctest
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest

import consilience.ensemble
from tests.contracts.predictor import market

MODULES = sorted(path.stem for path in Path(consilience.ensemble.__file__).parent.glob("[a-z]*.py"))


@pytest.mark.parametrize("module", MODULES)
def test_docstrings(module):
    found = doctest.testmod(import_module(f"consilience.ensemble.{module}"), optionflags=doctest.ELLIPSIS)
    assert found.failed == 0


def blocks_of_the_page():
    page = (Path(__file__).parents[2] / "docs" / "ensemble.md").read_text()
    return [part.split("```")[0] for part in page.split("```python\n")[1:]]


@pytest.mark.parametrize("number", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_the_page_in_docs(number):
    X, y = market(400)
    label_end = pd.Series(X.index, X.index).shift(-1).ffill()
    names = {"X": X, "y": y, "label_end": label_end, "X_new": X.iloc[-3:]}
    assert len(blocks_of_the_page()) == 2
    exec(blocks_of_the_page()[number], names)  # noqa: S102 (the page's own examples)
    model = names["stack"] if number == 0 else names["fusion"]
    assert model.predict_proba(X).shape == (400, 2)
