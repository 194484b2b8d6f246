"""Serving a version: the live predictor that turns bars into probabilities."""

from consilience.serving.live import Live

__all__ = ["Live"]
