"""Every example in a docstring of the package, and in its page, runs."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

from consilience import evaluation

MODULES = sorted(module.name for module in pkgutil.iter_modules(evaluation.__path__))


@pytest.mark.parametrize("name", MODULES)
def test_examples_of(name):
    module = importlib.import_module(f"consilience.evaluation.{name}")
    assert doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS).failed == 0


def test_examples_of_the_page(tmp_path, monkeypatch, capsys):
    page = Path(__file__).parents[2] / "docs" / "evaluation.md"
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(block, str(page), "exec"), names)  # noqa: S102
    shown = capsys.readouterr().out
    assert "logit: every gate passed" in shown and "'smooth' looks ahead: row 2" in shown
