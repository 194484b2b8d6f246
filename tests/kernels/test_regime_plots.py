import doctest
import subprocess
import sys
from itertools import pairwise

import matplotlib
import numpy as np
import pandas as pd
import pytest

from consilience.base import InvalidInput

matplotlib.use("Agg")

from consilience.kernels import regime_plots

NAMES = ["bull", "bear", "accumulation", "somewhere else"]


def test_states_shade_every_row_once():
    price = pd.Series(np.exp(np.arange(10) / 10), index=pd.date_range("2020-01-01", periods=10))
    ax = regime_plots.plot_states(price, [0, 0, 1, 1, 1, 0, 2, 3, 3, 3], NAMES)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == NAMES
    edges = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in ax.patches]
    assert len(edges) == 5
    assert all(a[1] == pytest.approx(b[0]) for a, b in pairwise(edges))
    matplotlib.pyplot.close("all")


def test_transitions_show_their_numbers():
    ax = regime_plots.plot_transitions([[0.9, 0.1], [0.25, 0.75]], ["bull", "bear"])
    assert [text.get_text() for text in ax.texts] == ["0.900", "0.100", "0.250", "0.750"]
    matplotlib.pyplot.close("all")


def test_probabilities_are_stacked_on_given_axes():
    given = matplotlib.pyplot.subplots()[1]
    proba = np.random.default_rng(0).dirichlet(np.ones(4), 20)
    ax = regime_plots.plot_probabilities(proba, NAMES, ax=given)
    assert ax is given and len(ax.collections) == 4
    matplotlib.pyplot.close("all")


def test_wrong_shapes_are_named():
    with pytest.raises(InvalidInput, match="states"):
        regime_plots.plot_states([1.0, 2.0], [0], NAMES)
    with pytest.raises(InvalidInput, match="transmat"):
        regime_plots.plot_transitions(np.eye(3), NAMES)
    with pytest.raises(InvalidInput, match="proba"):
        regime_plots.plot_probabilities(np.zeros((0, 4)), NAMES)


def test_matplotlib_is_imported_late():
    code = "import sys, consilience.kernels.regime_plots; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_lists_have_row_numbers_for_times():
    ax = regime_plots.plot_states([1.0, 2.0, 3.0], [0, 0, 1], NAMES)
    assert ax.lines[0].get_xdata().tolist() == [0, 1, 2]
    matplotlib.pyplot.close("all")


def test_docstrings():
    result = doctest.testmod(regime_plots)
    assert result.attempted and not result.failed
    matplotlib.pyplot.close("all")
