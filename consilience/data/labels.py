"""Labels, each with the time at which it becomes known."""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from consilience.base.errors import invalid

_NAME = re.compile(r"(direction|return)_([1-9]\d{0,3})d")


@dataclass(frozen=True)
class Labels:
    """Aligned with the bars they were made from.

    Attributes
    ----------
    y : the label; NaN where the future is not there yet.
    label_end : when the label becomes known (the time of the bar that settles it); NaT where y is NaN.
    forward_return : simple return from this bar's close to that bar's close; NaN where y is NaN.
    horizon : bars from one to the other.
    """

    y: pd.Series
    label_end: pd.Series
    forward_return: pd.Series
    horizon: int

    @property
    def known(self) -> np.ndarray:
        """(n,) bool: rows whose label is known."""
        return self.y.notna().to_numpy()


def build_labels(bars: pd.DataFrame, name: str = "direction_1d") -> Labels:
    """``direction_Nd``: 1 where the close N bars later is above this close, else 0; ``return_Nd``: that simple return.

    The position is taken at this bar's close, from which features are computed, and settled N bars later, per asset.

    >>> import pandas as pd
    >>> days = pd.MultiIndex.from_product([["X"], pd.bdate_range("2024-01-01", periods=3)], names=["asset", "time"])
    >>> labels = build_labels(pd.DataFrame({"close": [10.0, 11.0, 10.5]}, index=days))
    >>> labels.y.tolist(), str(labels.label_end.iloc[0].date())
    ([1.0, 0.0, nan], '2024-01-02')
    """
    match = _NAME.fullmatch(name) if isinstance(name, str) else None
    if match is None:
        raise invalid(
            "label", "build_labels", "'direction_Nd' or 'return_Nd' with N bars, such as 'direction_1d'", name
        )
    kind, horizon = match[1], int(match[2])
    close = bars["close"]
    by_asset = close.groupby(level=0, sort=False)
    forward = by_asset.shift(-horizon) / close - 1.0
    times = pd.Series(bars.index.get_level_values(1), index=bars.index)
    end = times.groupby(level=0, sort=False).shift(-horizon)
    y = forward if kind == "return" else (forward > 0).astype(np.float64).where(forward.notna())
    return Labels(y.rename("y"), end.rename("label_end"), forward.rename("forward_return"), horizon)
