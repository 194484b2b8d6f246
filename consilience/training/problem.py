"""What a training works on: features, labels and returns of rows whose future is known, and the untouched hold-out."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from consilience.base.errors import InvalidInput
from consilience.data import WARM_UP, build_features, build_labels, load_csv, load_demo, planted_market
from consilience.evaluation import PurgedKFold, PurgedWalkForward
from consilience.training.config import Config


@dataclass(frozen=True)
class Problem:
    """Rows are aligned; the newest rows, whose label is not known yet, are in ``features`` only.

    Attributes
    ----------
    bars : the bars as loaded.
    features : (all rows, d) after the warm-up.
    X, y, label_end, forward_return : the rows with a known label, (n, d), (n,), (n,), (n,).
    development, holdout : row numbers into X; every development label is known before the hold-out begins.
    data_id : names the market that the ledger counts trials for: the same after new bars were appended.
    snapshot : SHA-256 of the bars exactly as they were.
    horizon : bars until a label is known.
    """

    bars: pd.DataFrame
    features: pd.DataFrame
    X: pd.DataFrame
    y: np.ndarray
    label_end: pd.Series
    forward_return: np.ndarray
    development: np.ndarray
    holdout: np.ndarray
    data_id: str
    snapshot: str
    horizon: int

    def part(self, rows: np.ndarray) -> tuple[pd.DataFrame, np.ndarray, pd.Series]:
        """(X, y, label_end) of some rows."""
        return self.X.iloc[rows], self.y[rows], self.label_end.iloc[rows]


def load_bars(config: Config) -> tuple[pd.DataFrame, str]:
    """The bars that the configuration names, and where they came from in words."""
    source = config.data
    if source.source == "csv":
        assert source.path is not None
        return load_csv(source.path), str(source.path)
    if source.source == "planted":
        planted = source.planted
        bars, _ = planted_market(planted.seed, planted.bars, planted.assets)
        return bars, f"planted market, seed {planted.seed}"
    return load_demo(), "S&P 500 and NASDAQ daily bars (package arch)"


def build_problem(config: Config, bars: pd.DataFrame) -> Problem:
    """Features, labels, and the split into development rows and hold-out.

    Raises
    ------
    InvalidInput : too few rows for the folds, or labels of one class only.
    """
    features = build_features(bars, config.feature_names)
    labels = build_labels(bars, config.label)
    known = features.index.isin(bars.index[labels.known])
    X = features[known]
    y = labels.y.loc[X.index].to_numpy().astype(np.int64)
    label_end = labels.label_end.loc[X.index]
    development, holdout = _split(X, label_end, config)
    # each walk-forward block must hold enough rows to say anything, and the shortest training set to learn anything
    needed = 60 * (config.folds.splits + 1)
    if len(development) < needed:
        raise InvalidInput(
            f"The data leave {len(development)} rows before the hold-out; {config.folds.splits} folds need at least "
            f"{needed}. Give more history, or set folds.splits lower."
        )
    for name, rows in (("before the hold-out", development), ("in the hold-out", holdout)):
        if len(np.unique(y[rows])) < 2:
            move = "up" if y[rows][0] else "down or unchanged"
            raise InvalidInput(f"All {len(rows)} labels {name} are one class ({move}): there is nothing to learn.")
    return Problem(
        bars=bars,
        features=features,
        X=X,
        y=y,
        label_end=label_end,
        forward_return=labels.forward_return.loc[X.index].to_numpy(),
        development=development,
        holdout=holdout,
        data_id=_data_id(bars),
        snapshot=hashlib.sha256(pd.util.hash_pandas_object(bars, index=True).to_numpy().tobytes()).hexdigest(),
        horizon=labels.horizon,
    )


def build_splitter(config: Config) -> Any:
    """The folds of the configuration."""
    kinds: dict[str, Any] = {"walk_forward": PurgedWalkForward, "purged_k_fold": PurgedKFold}
    try:
        return kinds[config.folds.scheme](n_splits=config.folds.splits, embargo=config.folds.embargo)
    except InvalidInput as error:
        raise InvalidInput(f"folds: {error}") from error


def _split(X: pd.DataFrame, label_end: pd.Series, config: Config) -> tuple[np.ndarray, np.ndarray]:
    times = X.index.get_level_values(1)
    distinct = times.unique().sort_values()
    if len(distinct) < 20:
        raise InvalidInput(f"Only {len(distinct)} days have features and a label; that is too few to hold any out.")
    cut = distinct[int((1.0 - config.holdout) * len(distinct))]
    ends = pd.DatetimeIndex(label_end)
    return np.flatnonzero(ends < cut), np.flatnonzero(times >= cut)


def _data_id(bars: pd.DataFrame) -> str:
    """A hash of each asset's name and first bars: last month's trials still count when new bars were appended."""
    content = hashlib.sha256()
    for asset, own in bars["close"].groupby(level=0, sort=True):
        content.update(str(asset).encode())
        content.update(own.iloc[:WARM_UP].round(6).to_numpy().tobytes())
    return content.hexdigest()
