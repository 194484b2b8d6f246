"""Parameters and rows that cannot be used end in one clear line."""

import numpy as np
import pytest

from consilience.base import InvalidInput
from consilience.keras_models import LSTMClassifier, TransformerClassifier
from tests.contracts.predictor import market

pytestmark = pytest.mark.xdist_group("keras")

TINY = {"window": 5, "units": 4, "epochs": 6, "batch_size": 64, "random_state": 0}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"window": 0}, "window"),
        ({"window": 500}, "at least window = 500 rows"),
        ({"units": 2.5}, "units"),
        ({"schedule": "cosin"}, "Did you mean 'cosine'"),
        ({"optimizer": "lbfgs"}, "'adamw', 'adam', 'sgd'"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"dropout": 1.0}, "dropout"),
        ({"augmentation": {"jiter": 0.1}}, "Did you mean 'jitter'"),
        ({"precision": "float16"}, "precision"),
        ({"device": "tpu"}, "device"),
        ({"device": "gpu:99"}, "GPUs"),
        ({"class_weight": "even"}, "class_weight"),
        ({"patience": 0}, "patience"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 64.0}, "batch_size"),
        ({"epochs": 0}, "epochs"),
        ({"epochs": True}, "epochs"),
        ({"warmup": 1.0}, "warmup"),
        ({"warmup": -0.1}, "warmup"),
        ({"clip_norm": 0.0}, "clip_norm"),
        ({"clip_norm": "1"}, "clip_norm"),
        ({"weight_decay": -1.0}, "weight_decay"),
        ({"pooling": "max"}, "'last', 'mean', 'attention'"),
        ({"feature_gate": 1}, "feature_gate"),
        ({"checkpoint": 3}, "checkpoint"),
        ({"random_state": -1}, "random_state.* an integer from 0"),
        ({"random_state": 1.5}, "random_state"),
        ({"random_state": np.random.RandomState(0)}, "random_state"),
        ({"class_weight": {0: 1.0, 7: 2.0}}, "class_weight"),
        ({"class_weight": {0: 1.0, 1: -2.0}}, "class_weight"),
        ({"class_weight": {0: 1.0, 1: "two"}}, "class_weight"),
        ({"accumulation": 19}, "at most the 18 batches"),
    ],
)
def test_wrong_parameters_end_in_one_clear_line(wrong, message):
    X, y = market()
    with pytest.raises(InvalidInput, match=message) as caught:
        LSTMClassifier(**{**TINY, **wrong}).fit(X, y)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"positions": "rotray"}, "Did you mean 'rotary'"),
        ({"width": 5, "heads": 2}, "multiple of heads"),
        ({"width": 3, "heads": 3}, "even with sinusoidal"),
        ({"width": 6, "heads": 2, "positions": "rotary"}, "even multiple of heads"),
    ],
)
def test_wrong_widths_and_positions(wrong, message):
    X, y = market()
    with pytest.raises(InvalidInput, match=message):
        TransformerClassifier(window=5, epochs=1, **wrong).fit(X, y)


def test_the_checkpoint_folder_must_be_one(tmp_path):
    X, y = market()
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput, match="cannot be made"):
        LSTMClassifier(**TINY, checkpoint=str(tmp_path / "file")).fit(X, y)


def test_no_asset_fills_a_window():
    X, y = market(n_rows=20, assets=2)
    with pytest.raises(InvalidInput, match="at least window = 21 rows of one asset to fit; its longest asset has 20"):
        LSTMClassifier(**{**TINY, "window": 21}).fit(X, y)
    LSTMClassifier(**{**TINY, "window": 20, "epochs": 1}).fit(X, y)
