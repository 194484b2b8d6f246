"""LSTM, Transformer and temporal CNN over windows of rows, written once in Keras 3 for jax, tensorflow and torch.

The backend is chosen once, when this package is first imported: ``KERAS_BACKEND``, or jax where it is not set.
"""

from consilience.keras_models.backend import choose_backend

choose_backend()  # before anything imports Keras

from consilience.keras_models.cnn import CNNClassifier, CNNRegressor  # noqa: E402
from consilience.keras_models.lstm import LSTMClassifier, LSTMRegressor  # noqa: E402
from consilience.keras_models.transformer import TransformerClassifier, TransformerRegressor  # noqa: E402

__all__ = [
    "CNNClassifier",
    "CNNRegressor",
    "LSTMClassifier",
    "LSTMRegressor",
    "TransformerClassifier",
    "TransformerRegressor",
]
