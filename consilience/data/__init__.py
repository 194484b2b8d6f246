"""From files of daily bars to features known at each bar's close, and labels with the time each becomes known."""

from consilience.data.bars import check_bars, load_csv, load_demo
from consilience.data.features import FEATURES, WARM_UP, build_features
from consilience.data.labels import Labels, build_labels
from consilience.data.planted import planted_market

__all__ = [
    "FEATURES",
    "WARM_UP",
    "Labels",
    "build_features",
    "build_labels",
    "check_bars",
    "load_csv",
    "load_demo",
    "planted_market",
]
