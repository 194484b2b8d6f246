"""Predicting the newest rows of one asset fast: each member gets no more rows than it needs."""

from typing import Any

import numpy as np
import pandas as pd

from consilience.base import invalid


class NewestRows:
    """The newest rows of one asset, cut for each member to the rows that it needs.

    Parameters
    ----------
    X : (n, d) rows of one asset in time order, a DataFrame or an array, the newest last. n : how many to predict.
    """

    def __init__(self, X: Any, n: int):
        if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= len(X):
            raise invalid("n", "predict_newest_proba", f"an integer from 1 to the number of rows ({len(X)})", n)
        # Without its index: one asset needs none, and reading it would cost more than a prediction.
        self.X = pd.DataFrame(X.to_numpy(), columns=X.columns) if isinstance(X, pd.DataFrame) else np.asarray(X)
        self.n, self._cuts = n, dict[int, Any]()

    def of(self, model: Any) -> Any:
        """The last n rows and the model's lookback before them."""
        size = min(self.n + int(getattr(model, "lookback", 0)), len(self.X))
        if size not in self._cuts:
            self._cuts[size] = self.X[-size:]
        return self._cuts[size]
