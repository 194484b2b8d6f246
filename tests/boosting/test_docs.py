"""The examples of the package's page run."""

import re
from pathlib import Path


def test_the_page_runs():
    page = (Path(__file__).parents[2] / "docs" / "boosting.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert blocks
    names: dict = {}
    for block in blocks:
        exec(block, names)  # noqa: S102 - our own page
    assert names["model"].best_iteration_ >= 1
