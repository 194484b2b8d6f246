"""Every Python example in README and docs runs, page by page, in a folder of its own."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# The other pages' examples need something fitted first; the tests of their package provide it and run them.
WHOLE = ["README.md", "docs/data.md", "docs/keras_models.md", "docs/training.md"]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", [ROOT / name for name in WHOLE], ids=lambda page: page.name)
def test_examples_of_the_page_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    names: dict = {"__name__": "__page__"}
    found = BLOCK.findall(page.read_text())
    assert found
    for code in found:
        exec(compile(code, str(page), "exec"), names)  # noqa: S102 - our own documentation


def test_the_readme_shows_the_example_as_it_is():
    text = (ROOT / "README.md").read_text()
    assert (ROOT / "examples" / "train.py").read_text().strip() in text
    assert len((ROOT / "examples" / "train.py").read_text().splitlines()) < 40


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:\s]+?)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_no_page_names_this_machine():
    for page in PAGES:
        assert str(ROOT) not in page.read_text() and str(Path.home()) not in page.read_text()
