"""Pictures of regimes. Matplotlib is imported when one is drawn."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from consilience.base import invalid

_COLOURS = {"bull": "#2a9d5c", "bear": "#c8443c", "accumulation": "#8fb8de", "distribution": "#e0a13a"}
_OTHERS = ("#7b6fb0", "#5f6b73", "#b06f9a", "#6fb0a7")


def _axes(ax: Any, size: tuple[float, float]) -> Any:
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]


def _times(rows: Any) -> Any:
    """The index of a Series or DataFrame, else row numbers."""
    return rows.index if isinstance(rows, pd.Series | pd.DataFrame) else np.arange(len(rows))


def _colour(name: str, number: int) -> str:
    return _COLOURS.get(name, _OTHERS[number % len(_OTHERS)])


def plot_states(price: Any, states: Any, names: Sequence[str], *, ax: Any = None) -> Any:
    """The price, each stretch of rows shaded by its regime.

    Parameters
    ----------
    price : (n,) Series (its index is the time axis) or array of positive prices. states : (n,) state numbers.
    names : one per state. ax : matplotlib axes to draw on, or None for a new figure.

    Returns
    -------
    The axes. Say in the caption whether ``states`` are filtered or a Viterbi path, which looks ahead.

    Raises
    ------
    InvalidInput : states that are not one per price.

    Examples
    --------
    >>> axes = plot_states([10.0, 11.0, 12.0, 9.0], [0, 0, 0, 1], ["bull", "bear"])
    >>> [text.get_text() for text in axes.get_legend().get_texts()]
    ['bull', 'bear']
    """
    states = np.asarray(states)
    values = np.asarray(price, dtype=np.float64)
    if states.shape != values.shape or states.ndim != 1 or len(states) == 0:
        raise invalid("states", "plot_states", f"one per price ({len(values)})", states)
    ax = _axes(ax, (10, 4))
    times = _times(price)
    ax.plot(times, values, color="#222222", linewidth=0.9)
    begins = np.flatnonzero(np.concatenate([[True], states[1:] != states[:-1]]))
    ends = np.concatenate([begins[1:], [len(states) - 1]])
    seen: set[int] = set()
    for begin, end in zip(begins.tolist(), ends.tolist()):
        state = int(states[begin])
        label = None if state in seen else names[state]
        seen.add(state)
        colour = _colour(names[state], state)
        ax.axvspan(times[begin], times[end], color=colour, alpha=0.25, linewidth=0, label=label)
    ax.set(yscale="log", ylabel="price")
    ax.legend(loc="upper left", frameon=False)
    return ax


def plot_transitions(transmat: Any, names: Sequence[str], *, ax: Any = None) -> Any:
    """The transition matrix as a heat map with its numbers; rows are where it comes from.

    Parameters
    ----------
    transmat : (K, K) probabilities. names : one per state. ax : matplotlib axes to draw on, or None for a new figure.

    Returns
    -------
    The axes.

    Raises
    ------
    InvalidInput : a matrix that is not one row and one column per name.

    Examples
    --------
    >>> axes = plot_transitions([[0.9, 0.1], [0.2, 0.8]], ["bull", "bear"])
    >>> [text.get_text() for text in axes.texts]
    ['0.900', '0.100', '0.200', '0.800']
    """
    matrix = np.asarray(transmat, dtype=np.float64)
    if matrix.shape != (len(names), len(names)):
        raise invalid("transmat", "plot_transitions", f"of shape ({len(names)}, {len(names)})", matrix.shape)
    ax = _axes(ax, (1.2 + len(names), 1 + 0.8 * len(names)))
    ax.imshow(matrix, cmap="Blues", vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(matrix):
        ax.text(column, row, f"{value:.3f}", ha="center", va="center", color="white" if value > 0.5 else "black")
    ax.set_xticks(range(len(names)), names, rotation=30, ha="right")
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel="to", ylabel="from")
    return ax


def plot_probabilities(proba: Any, names: Sequence[str], *, times: Any = None, ax: Any = None) -> Any:
    """Regime probabilities over time, stacked to 1.

    Parameters
    ----------
    proba : (n, K) array or DataFrame (its index is the time axis). names : one per state.
    times : (n,) instead of that index. ax : matplotlib axes to draw on, or None for a new figure.

    Returns
    -------
    The axes.

    Raises
    ------
    InvalidInput : proba without a column per name, or empty.

    Examples
    --------
    >>> axes = plot_probabilities([[0.9, 0.1], [0.4, 0.6]], ["bull", "bear"])
    >>> axes.get_ylabel(), len(axes.collections)
    ('probability', 2)
    """
    values = np.asarray(proba, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != len(names) or len(values) == 0:
        raise invalid("proba", "plot_probabilities", f"of shape (n, {len(names)})", values.shape)
    ax = _axes(ax, (10, 3))
    if times is None:
        times = _times(proba)
    ax.stackplot(
        times,
        values.T,
        labels=list(names),
        colors=[_colour(name, number) for number, name in enumerate(names)],
        linewidth=0,
    )
    ax.set(ylim=(0, 1), ylabel="probability")
    ax.margins(x=0)
    ax.legend(loc="upper left", ncols=len(names))
    return ax
