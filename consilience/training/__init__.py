"""The training recipe, its configuration, and the search for better settings."""

# Imported here and not when first used: a submodule of the same name would otherwise hide the function.
from consilience.training.config import Config
from consilience.training.result import Result
from consilience.training.train import train
from consilience.training.tune import tune

__all__ = ["Config", "Result", "train", "tune"]
