"""Writes small networks that jax has trained, and what they predict: ``python -m tests.keras_models.trained_on_jax``.

Every backend's suite loads them (``test_portability``).
"""

from pathlib import Path

import numpy as np
from sklearn.base import ClassifierMixin

from consilience.base.persistence import write_state
from consilience.keras_models import (
    CNNClassifier,
    CNNRegressor,
    LSTMClassifier,
    LSTMRegressor,
    TransformerClassifier,
    TransformerRegressor,
)
from tests.contracts.predictor import market, outputs

SMALL = {"window": 6, "epochs": 4, "random_state": 0, "feature_gate": True, "layers": 2}
MODELS = {
    "lstm": LSTMClassifier(**SMALL, units=4, pooling="attention"),
    "lstm-regressor": LSTMRegressor(**SMALL, units=4, pooling="mean"),
    "transformer": TransformerClassifier(**SMALL, width=8, positions="learned"),
    "transformer-regressor": TransformerRegressor(**SMALL, width=8, positions="rotary", pooling="attention"),
    "cnn": CNNClassifier(**SMALL, filters=4, pooling="mean"),
    "cnn-regressor": CNNRegressor(**SMALL, filters=4),
}


def main() -> None:
    folder = Path(__file__).with_suffix("")
    folder.mkdir(exist_ok=True)
    X, y = market()
    for name, model in MODELS.items():
        target = y + (X["f2"] > 0.3) if isinstance(model, ClassifierMixin) else X[["f0", "f1"]].to_numpy()
        model.fit(X[:120], target[:120], validation=(X[120:], target[120:]))
        write_state(model.get_state(), folder / f"{name}.state")
        np.savez(folder / f"{name}.npz", outputs=outputs(model, X), embedded=model.embed(X))


if __name__ == "__main__":
    main()
