import re
from pathlib import Path

import matplotlib
import pytest
from numba import config

matplotlib.use("Agg")


@pytest.mark.skipif(config.DISABLE_JIT, reason="whole fits")
def test_the_examples_of_the_page_run(capsys):
    page = Path(__file__).parents[2] / "docs" / "hmm.md"
    examples = "\n".join(re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))
    names: dict = {}
    exec(examples, names)  # noqa: S102 - our own page
    assert "Transitions" in capsys.readouterr().out
    assert names["model"].regime_names() == ["bear", "bull"]
    matplotlib.pyplot.close("all")
