"""The report's plots, as SVG text; matplotlib is imported when the first one is drawn."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from consilience.evaluation.classification import calibration_curve
from consilience.evaluation.leaderboard import LeaderboardRow

STYLE = {
    "font.size": 14,
    "axes.titlesize": 16,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "lines.linewidth": 2.2,
    "legend.frameon": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "consilience",
}
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#999999")  # Okabe & Ito


def draw(paint: Any, width: float = 11.0, height: float = 5.0, columns: int = 1) -> str:
    """One figure as an SVG element: ``paint(axes)`` draws on the axes (an array of them for several columns)."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.rcsetup import cycler

    with rc_context({**STYLE, "axes.prop_cycle": cycler(color=COLOURS)}):
        figure = Figure(figsize=(width, height), layout="constrained")
        paint(figure.subplots(1, columns))
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def equity(rows: Sequence[LeaderboardRow], chosen: str) -> str:
    """Wealth from 1 after costs, on a logarithmic axis, with the drawdown of the chosen row below."""

    def paint(axes: Any) -> None:
        for row in rows:
            strong = row.name == chosen
            axes.plot(
                row.strategy.times,
                row.strategy.equity,
                label=row.name,
                lw=2.8 if strong else 1.8,
                zorder=3 if strong else 2,
            )
        if all((row.strategy.equity > 0).all() for row in rows):
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter("{x:g}")
        axes.set(title="Out-of-fold wealth after costs, from 1", ylabel="wealth (log scale)")
        axes.legend()

    return draw(paint)


def calibration(outcome: np.ndarray, proba: np.ndarray) -> str:
    """Observed frequency against predicted probability in ten bins of equal count, with two standard errors."""

    def paint(axes: Any) -> None:
        curve = calibration_curve(outcome, proba)
        spread = 2.0 * np.sqrt(curve["frequency"] * (1.0 - curve["frequency"]) / curve["count"])
        low, high = min(curve["mean"].min(), 0.45), max(curve["mean"].max(), 0.55)
        axes.plot([low, high], [low, high], color="0.5", ls="--", lw=1.5, label="perfect")
        axes.errorbar(
            curve["mean"], curve["frequency"], spread, marker="o", ms=8, capsize=4, lw=0, elinewidth=2, label="observed"
        )
        axes.set(title="Calibration", xlabel="predicted probability", ylabel="observed frequency")
        axes.legend()

    return draw(paint, 7.5, 5.5)


def regimes(price: pd.Series, probabilities: pd.DataFrame) -> str:
    """Price with the background coloured by the most probable filtered regime."""

    def paint(axes: Any) -> None:
        shared = price.index.intersection(probabilities.index)
        level, weight = price.loc[shared], probabilities.loc[shared]
        axes.plot(level.index, level.to_numpy(), color="black", lw=1.4)
        if (level > 0).all():
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter("{x:g}")
        best = weight.to_numpy().argmax(axis=1)
        edges = np.flatnonzero(np.diff(best, prepend=-1))
        ends = np.append(edges[1:], len(best) - 1)
        for start, end in zip(edges.tolist(), ends.tolist()):
            colour = COLOURS[int(best[start]) % len(COLOURS)]
            axes.axvspan(level.index[start], level.index[end], color=colour, alpha=0.3, lw=0)
        for number, name in enumerate(weight.columns):
            axes.fill_between([], [], [], color=COLOURS[number % len(COLOURS)], alpha=0.3, label=str(name))
        axes.set(title="Price and the most probable regime (filtered: known at the time)", ylabel="price (log scale)")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=len(weight.columns))

    return draw(paint)


def bars(values: pd.Series, title: str, label: str) -> str:
    """Horizontal bars, the largest on top; at most twenty."""
    shown = values.sort_values(key=np.abs, ascending=False)[:20][::-1]

    def paint(axes: Any) -> None:
        axes.barh([str(name) for name in shown.index], shown.to_numpy(), color=COLOURS[0])
        axes.set(title=title, xlabel=label)
        axes.grid(axis="y", visible=False)

    return draw(paint, 9.0, 1.2 + 0.42 * len(shown))


def learning_curves(member: str, folds: Sequence[Mapping[str, Sequence[float]]]) -> str:
    """Each fold's training and validation curves of one member, one panel per pair of curves."""
    names = sorted({name.removeprefix("val_") for fold in folds for name in fold})

    def paint(axes: Any) -> None:
        for panel, name in zip(np.atleast_1d(axes), names):
            for number, fold in enumerate(folds):
                for key, colour in ((name, COLOURS[0]), (f"val_{name}", COLOURS[1])):
                    if fold.get(key):
                        kind = "validation" if key.startswith("val_") else "training"
                        epochs = range(1, len(fold[key]) + 1)
                        panel.plot(
                            epochs, fold[key], color=colour, alpha=0.75, lw=1.8, label=kind if number == 0 else None
                        )
            panel.set(title=f"{member}: {name}", xlabel="epoch")
            panel.locator_params(axis="x", integer=True)
            panel.legend()

    return draw(paint, 6.5 * len(names), 4.2, len(names))
