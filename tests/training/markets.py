"""One small training that several test files look at."""

from pathlib import Path

from consilience.training import Config

SMALL = [
    "data.planted.bars=720",
    "folds.splits=3",
    "members.forest.params.n_estimators=20",
    "members.xgboost.params.n_estimators=20",
    "members.lightgbm.params.n_estimators=20",
    *(f"members.{name}.params={{window: 8, units: 4, epochs: 2}}" for name in ("lstm", "lstm_2")),
    *(f"members.{name}.params={{window: 8, width: 8, epochs: 2}}" for name in ("transformer", "transformer_2")),
    "members.lorentzian.params.n_neighbors=16",
]


def small_config(folder: Path, *overrides: str) -> Config:
    """All members, small, on a small planted market, writing below ``folder``."""
    return Config.load(
        "planted", [*SMALL, f"output.runs={folder / 'runs'}", f"output.registry={folder / 'registry'}", *overrides]
    )
