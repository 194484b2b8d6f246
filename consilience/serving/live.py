"""A loaded version at work: bars or features in, probabilities out."""

from typing import Any, Self

import numpy as np
import pandas as pd

from consilience.base import predict_newest
from consilience.base.errors import InvalidInput, InvalidState, invalid
from consilience.base.frame import check_one_series, newest_proba
from consilience.data import FEATURES, build_features


class Live:
    """A predictor together with the contract it was trained under: which features, which label, which classes.

    Parameters
    ----------
    predictor : a fitted predictor.
    contract : ``{"features": [...], "label": "...", "classes": [...]}`` as the training recipe publishes it.

    Examples
    --------
    >>> from consilience.boosting import LogisticClassifier
    >>> from consilience.data import build_features, build_labels, planted_market
    >>> bars, _ = planted_market(seed=1, n_bars=400, n_assets=1)
    >>> X = build_features(bars, ["ret_1", "gap"])
    >>> y = build_labels(bars).y.loc[X.index]
    >>> model = LogisticClassifier().fit(X[y.notna()], y[y.notna()].astype(int))
    >>> live = Live(model, {"features": ["ret_1", "gap"], "label": "direction_1d", "classes": [0, 1]})
    >>> live.predict_bars(bars, newest=1).columns.tolist()
    ['p_0', 'p_1']
    """

    def __init__(self, predictor: Any, contract: dict[str, Any]) -> None:
        self.predictor = predictor
        self.contract = contract
        features = contract.get("features")
        if not isinstance(features, list) or not all(name in FEATURES for name in features):
            raise InvalidState(
                "The version's contract names no features that this release can compute; it was not made by "
                "`consilience train`. Use Registry.load and give the model its own features."
            )
        self.features: list[str] = features

    @classmethod
    def load(cls, registry: Any, ref: str) -> Self:
        """Load ``ref`` ("name", "name==1.0.0", "name@production") from a Registry, ready for its first row.

        What compiles on its first prediction (the networks, on their own or inside an ensemble) has done so after this.
        """
        version = registry.show(ref)
        live = cls(registry.load(ref), version.contract or {})
        _warm(live.predictor)
        return live

    @property
    def classes(self) -> np.ndarray:
        """The labels, in the order of the probability columns."""
        return self.predictor.classes_

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities (n, n_classes) of a block of feature rows (n, d); rows before the block's start are not known.

        For sequence models pass the ``lookback`` rows before the rows of interest too, and drop their outputs.
        """
        return self.predictor.predict_proba(X)

    def predict_newest_proba(self, X: Any, n: int = 1) -> np.ndarray:
        """Probabilities (n, n_classes) of the last n of one asset's feature rows: the fastest way to one answer.

        Parameters
        ----------
        X : (rows, d) array or DataFrame of one asset in time order, with ``lookback`` rows before the first wanted.

        Raises
        ------
        InvalidInput : n is no whole number from 1 to the rows given; X of several assets, not in time order or not as
            the model was trained.
        """
        if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= len(X):
            raise invalid("n", "Live.predict_newest_proba", f"a whole number from 1 to the {len(X)} rows given", n)
        check_one_series(X)
        return newest_proba(self.predictor, X, n)

    def predict_newest(self, X: pd.DataFrame, newest: int = 1) -> pd.DataFrame:
        """Probabilities of each asset's newest feature rows: index (asset, time), a column ``p_<class>`` per class."""
        return predict_newest(self.predictor, X, newest)

    def predict_bars(self, bars: pd.DataFrame, newest: int = 1) -> pd.DataFrame:
        """Probabilities of each asset's newest bars; ``bars`` as ``load_csv`` gives them, history included."""
        X = build_features(bars, self.features)
        shortest = X.groupby(level=0).size().min()
        if shortest < self.predictor.lookback + 1:
            raise InvalidInput(
                f"The shortest asset leaves {shortest} rows after the features' warm-up; this model needs "
                f"{self.predictor.lookback + 1}. Give more history."
            )
        return self.predict_newest(X, newest)


def _warm(predictor: Any) -> None:
    """Let a predictor, and an ensemble's members, compile what one row needs."""
    warm = getattr(predictor, "warm", None)
    if callable(warm):
        warm()
    members = getattr(predictor, "members_", None)
    for member in members.values() if isinstance(members, dict) else ():
        _warm(member)
