"""A picture of folds: which rows train, which are purged or embargoed, which test, over time."""

from pathlib import Path
from typing import Any

import numpy as np

from consilience.base import time_axis
from consilience.evaluation import plots
from consilience.evaluation.folds import Fold

_KINDS = (("train", plots.COLOURS[0]), ("purged or not used", "#D9D9D9"), ("test", plots.COLOURS[1]))


def plot_folds(splitter: Any, X: Any, *, label_end: Any = None, path: str | Path | None = None) -> str:
    """Draw every fold of a splitter as one line over time.

    Parameters
    ----------
    splitter, X, label_end : as for ``splitter.split``.
    path : an SVG file to write; without it the picture is only returned.

    Returns
    -------
    SVG text, as it can be put into HTML (a notebook: ``IPython.display.SVG(plot_folds(...))``).

    >>> from consilience.evaluation import PurgedKFold
    >>> plot_folds(PurgedKFold(3, label_horizon=2), np.zeros((30, 1)))[:4]
    '<svg'
    """
    folds: list[Fold] = list(splitter.split(X, label_end=label_end))
    times = time_axis(X).times

    def paint(axes: Any) -> None:
        steps = np.unique(times)
        for number, (train, test) in enumerate(folds):
            kind = np.ones(len(steps), np.int64)
            kind[np.searchsorted(steps, times[train])] = 0
            kind[np.searchsorted(steps, times[test])] = 2
            starts = np.flatnonzero(np.diff(kind, prepend=-1))
            stops = np.append(starts[1:], len(steps) - 1)
            for start, stop in zip(starts.tolist(), stops.tolist()):
                colour = _KINDS[int(kind[start])][1]
                axes.fill_between([steps[start], steps[stop]], number + 0.6, number + 1.4, color=colour, lw=0)
        for name, colour in _KINDS:
            axes.fill_between([], [], [], color=colour, label=name)
        axes.set(title=f"{type(splitter).__name__}: {len(folds)} folds", ylabel="fold")
        axes.set_ylim(len(folds) + 0.6, 0.4)
        axes.locator_params(axis="y", integer=True)
        axes.grid(visible=False)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=3)

    text = plots.draw(paint, 11.0, 2.0 + 0.32 * len(folds))
    if path is not None:
        Path(path).write_text(text, encoding="utf-8")
    return text
