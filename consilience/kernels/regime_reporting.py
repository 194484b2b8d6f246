"""A short report on the regimes of a fitted model: what each is like, how long it lasts, and what is now."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from consilience.kernels.regime_features import RegimeFeatures


@dataclass(frozen=True)
class RegimeReport:
    """Regimes by name.

    Attributes
    ----------
    table : one row per regime: ``share`` of the rows, ``mean`` and ``volatility`` of the return per row,
        ``expected_rows`` that a stay lasts by the transition matrix, ``stays`` seen, ``mean_rows`` that they lasted.
    transitions : (K, K) DataFrame of probabilities, from row to column.
    now : the probabilities at the last row of each asset (one row per asset).
    """

    table: pd.DataFrame
    transitions: pd.DataFrame
    now: pd.DataFrame

    def __str__(self) -> str:
        lines = ["Regimes (filtered: each row judged without looking ahead)", self.table.round(4).to_string(), ""]
        lines += ["Transitions, per row", self.transitions.round(4).to_string(), ""]
        for asset, row in self.now.iterrows():
            where = f"{asset}: " if str(asset) else ""
            lines.append(f"Now: {where}{row.idxmax()} ({row.max():.0%})")
        return "\n".join(lines)


def regime_report(model: RegimeFeatures, X: Any) -> RegimeReport:
    """Report on fitted ``RegimeFeatures`` over the rows X (DataFrame or array).

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(np.repeat([0.1, -0.2], 100)[:, None], np.repeat([0.5, 2.0], 100)[:, None], (200, 1))
    >>> report = regime_report(RegimeFeatures(n_components=2, random_state=0).fit(X), X)
    >>> report.table["share"].round(1).to_dict()
    {'bear': 0.5, 'bull': 0.5}
    """
    names = model.regime_names_
    proba, sequences, returns = model.regime_rows(X)
    states = proba.argmax(axis=1)
    first = np.zeros(len(states), bool)
    first[sequences.starts[:-1]] = True
    stays = _stays(states, first, len(names))
    rows = np.bincount(states, minlength=len(names))
    weight = proba.sum(axis=0)
    mean = (proba * returns[:, None]).sum(axis=0) / weight
    variance = (proba * (returns[:, None] - mean) ** 2).sum(axis=0) / weight
    transmat = model.transmat_
    with np.errstate(divide="ignore"):
        expected = 1 / (1 - np.minimum(np.diagonal(transmat), 1))
    table = pd.DataFrame(
        {
            "share": rows / len(states),
            "mean": mean,
            "volatility": np.sqrt(variance),
            "expected_rows": expected,
            "stays": stays,
            "mean_rows": np.divide(rows, stays, out=np.zeros(len(names)), where=stays > 0),
        },
        index=names,
    )
    now = pd.DataFrame(proba[sequences.starts[1:] - 1], columns=names, index=list(sequences.names))
    return RegimeReport(table, pd.DataFrame(transmat, index=names, columns=names), now)


def _stays(states: np.ndarray, first: np.ndarray, k: int) -> np.ndarray:
    """How many uninterrupted stays each state has had."""
    begins = first.copy()
    begins[1:] |= states[1:] != states[:-1]
    return np.bincount(states[begins], minlength=k)
