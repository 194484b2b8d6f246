"""How many states: the model with the best information criterion."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd
from sklearn.base import clone

from consilience.base import InvalidInput, invalid
from consilience.kernels.gaussian_hmm import GaussianHMM


@dataclass(frozen=True)
class Selection:
    """The models that were compared.

    Attributes
    ----------
    model : the fitted model with the lowest criterion.
    table : DataFrame, one row per number of states: log_likelihood, n_parameters, aic, bic.
    """

    model: GaussianHMM
    table: pd.DataFrame


def select_n_components(
    X: Any,
    candidates: Iterable[int] = (1, 2, 3, 4, 5),
    *,
    criterion: str = "bic",
    lengths: Any = None,
    model: GaussianHMM | None = None,
) -> Selection:
    """Fit one model per number of states, and keep the one with the lowest criterion.

    Parameters
    ----------
    criterion : "bic" (Schwarz 1978) or "aic" (Akaike 1974). Both judge the rows that were fitted.
    model : an unfitted model whose other parameters are used; ``GaussianHMM(random_state=0)`` by default.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(np.repeat([0, 5, 0, 5], 50)[:, None], 1.0, (200, 1))
    >>> select_n_components(X, [1, 2, 3]).model.n_components
    2
    """
    if criterion not in ("aic", "bic"):
        raise invalid("criterion", "select_n_components", "'aic' or 'bic'", criterion)
    numbers = list(candidates)
    if not numbers:
        raise InvalidInput("The 'candidates' parameter of select_n_components must hold at least one number of states.")
    base = GaussianHMM(random_state=0) if model is None else model
    fitted = {number: clone(base).set_params(n_components=number).fit(X, lengths) for number in numbers}
    table = pd.DataFrame(
        {
            "log_likelihood": {number: each.score(X, lengths) for number, each in fitted.items()},
            "n_parameters": {number: each.n_parameters for number, each in fitted.items()},
            "aic": {number: each.aic(X, lengths) for number, each in fitted.items()},
            "bic": {number: each.bic(X, lengths) for number, each in fitted.items()},
        }
    ).rename_axis("n_components")
    best = min(numbers, key=lambda number: float(table.loc[number, criterion]))  # type: ignore[arg-type]
    return Selection(fitted[best], table)
