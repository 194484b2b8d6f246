"""Importing the package first chooses the backend (jax unless KERAS_BACKEND says otherwise) before a test imports Keras."""

import consilience.keras_models  # noqa: F401
