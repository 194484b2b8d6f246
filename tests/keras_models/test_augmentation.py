"""Training windows are changed in ways that keep their newest row and their padding; no other window is."""

import numpy as np
import pytest

from consilience.keras_models import LSTMClassifier, training
from consilience.keras_models.augmentation import augment
from consilience.keras_models.prediction import Prediction
from tests.contracts.predictor import market

pytestmark = pytest.mark.xdist_group("keras")

TINY = {"window": 5, "units": 4, "epochs": 6, "batch_size": 64, "random_state": 0}


def test_augmentation_keeps_the_newest_row_and_the_padding():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((50, 6, 3)).astype(np.float32)
    lengths = rng.integers(1, 7, 50).astype(np.int32)
    x[np.arange(6) >= lengths[:, None]] = 0.0
    y, cut = augment(x, lengths, {"slicing": 0.5, "masking": 0.5}, rng)
    rows = np.arange(50)
    np.testing.assert_array_equal(y[rows, cut - 1], x[rows, lengths - 1])
    assert (cut >= 1).all() and (cut <= lengths).all() and (cut < lengths).any()
    assert not y[np.arange(6) >= cut[:, None]].any()
    noisy, same = augment(x, lengths, {"jitter": 0.1, "scaling": 0.1}, rng)
    np.testing.assert_array_equal(same, lengths)
    assert 0.01 < np.abs(noisy - x)[np.arange(6) < lengths[:, None]].mean() < 0.3
    assert not noisy[np.arange(6) >= lengths[:, None]].any()


@pytest.mark.parametrize("strength", [{}, {"jitter": 0.0}, {"slicing": 0, "masking": 0}])
def test_no_strength_changes_nothing(strength):
    x, lengths = np.ones((3, 4, 2), np.float32), np.array([4, 4, 4], np.int32)
    same, kept = augment(x, lengths, strength, np.random.default_rng(0))
    np.testing.assert_array_equal(same, x)
    np.testing.assert_array_equal(kept, lengths)


def test_only_training_windows_are_changed(monkeypatch):
    X, y = market()
    strength = {"jitter": 0.5, "scaling": 0.5}
    plain = LSTMClassifier(**TINY)
    plain.fit(X[:120], y[:120])
    own = plain._windows(X, X.to_numpy())
    calls, seen = [], []
    change, run = training.augment, Prediction.run_batch
    monkeypatch.setattr(training, "augment", lambda x, *rest: calls.append(len(x)) or change(x, *rest))

    def spying(self, x, lengths, embed=False):
        seen.append((x.copy(), lengths.copy()))
        return run(self, x, lengths, embed)

    monkeypatch.setattr(Prediction, "run_batch", spying)
    model = LSTMClassifier(**TINY, augmentation=strength).fit(X[:120], y[:120], validation=(X[120:], y[120:]))
    assert sum(calls) == 120 * len(model.history_["loss"]), "every training row once an epoch, no other"
    assert model.history_["loss"] != plain.history_["loss"]
    assert len(seen) == len(model.history_["val_loss"])
    model.predict_proba(X)
    later = np.arange(120, 160)
    for x, lengths in seen[:-1]:
        np.testing.assert_array_equal(x, own.left_aligned(later))
        np.testing.assert_array_equal(lengths, own.lengths[later])
    np.testing.assert_array_equal(seen[-1][0], own.left_aligned(np.arange(160)))
