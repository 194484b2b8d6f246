"""One small training that several test files look at."""

from pathlib import Path

from consilience.training import Config

TRANSFORMERS = ["transformer", *(f"transformer_{number}" for number in range(2, 6))]
SMALL = [
    "data.planted.bars=720",
    "folds.splits=3",
    "members.forest.params.n_estimators=20",
    "members.xgboost.params.n_estimators=20",
    "members.lightgbm.params.n_estimators=20",
    "members.lstm.params={window: 8, units: 4, epochs: 2}",
    *(f"members.{name}.params.{size}" for name in TRANSFORMERS for size in ("window=8", "width=8", "epochs=2")),
    "members.lorentzian.params.n_neighbors=16",
]


def small_config(folder: Path, *overrides: str) -> Config:
    """All members, small, on a small planted market, writing below ``folder``."""
    return Config.load(
        "planted", [*SMALL, f"output.runs={folder / 'runs'}", f"output.registry={folder / 'registry'}", *overrides]
    )
