"""Importing the package first chooses the backend before a test imports Keras: KERAS_BACKEND, or jax."""

import consilience.keras_models  # noqa: F401
