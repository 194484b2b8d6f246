"""Every example in the docstrings and the page of this package is run."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import consilience.registry
from consilience.registry import Registry
from tests.reference import zoo

MODULES = [m.name for m in pkgutil.iter_modules(consilience.registry.__path__, "consilience.registry.")]
PAGE = Path(__file__).parents[2] / "docs" / "registry.md"


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_the_page_shows_what_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[0]
    registry = Registry("registry")  # so that there is something to roll back to
    registry.publish("spx-direction", zoo.fitted("RidgeRegressor"))
    registry.promote("spx-direction", "production", reason="first")
    code = code.replace("spx-direction==1.0.0", "spx-direction==2.0.0")
    exec(code, {"model": zoo.fitted("LogisticClassifier")})  # noqa: S102
    assert registry.show("spx-direction@production").number == "1.0.0"


def test_the_commands_of_the_page_exist():
    import typer

    from consilience.cli import registry_commands

    app = typer.Typer()
    registry_commands.register(app)
    known = {command.name for command in app.registered_commands}
    shown = set(re.findall(r"consilience ([a-z]+)", PAGE.read_text())) - {"train"}
    assert shown - {"versions"} <= known and {"versions", "migrate", "gc"} <= known
