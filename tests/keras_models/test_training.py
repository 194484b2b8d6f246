"""Early stopping, schedules, weights, divergence and memory."""

import tracemalloc

import numpy as np
import pytest

from consilience.keras_models import LSTMClassifier, LSTMRegressor, programs
from consilience.keras_models.training import Plan, Progress, TrainingDiverged, _rate
from tests.contracts.predictor import market

pytestmark = pytest.mark.xdist_group("keras")

TINY = {"window": 5, "units": 4, "epochs": 6, "batch_size": 64, "random_state": 0}


def test_early_stopping_gives_the_best_epoch_back():
    X, _ = market()
    noise = np.random.default_rng(0).integers(0, 2, len(X))  # nothing to learn: validation gets worse at some epoch
    model = LSTMClassifier(**{**TINY, "epochs": 60}, learning_rate=0.05, patience=3, dropout=0.0)
    model.fit(X[:100], noise[:100], validation=(X[100:], noise[100:]))
    curve = model.history_["val_loss"]
    assert len(curve) < 60 and len(curve) == int(np.argmin(curve)) + 1 + 3
    proba = model.predict_proba(X)[np.arange(100, len(X)), noise[100:]]
    assert -np.log(proba).mean() == pytest.approx(min(curve), abs=1e-5)


def test_without_validation_every_epoch_runs():
    X, y = market()
    assert len(LSTMClassifier(**TINY, patience=1).fit(X, y).history_["loss"]) == 6


def test_schedules():
    def rates(schedule, warmup=0.0, factor=1.0):
        plan = Plan(10, 1, 2.0, schedule, warmup, None, 0)
        return [_rate(plan, Progress(factor=factor), step, 100) for step in range(100)]

    assert rates("constant") == [2.0] * 100
    assert rates("plateau", factor=0.5) == [1.0] * 100
    cosine = rates("cosine", warmup=0.2)
    assert cosine[0] == pytest.approx(0.1) and cosine[19] == cosine[20] == 2.0 and cosine[60] == pytest.approx(1.0)
    assert cosine[-1] < 0.01 and all(np.diff(cosine[20:]) <= 0)


@pytest.mark.parametrize("validated", [True, False])
def test_a_plateau_halves_the_rate(validated):
    X, _ = market()
    noise = np.random.default_rng(0).integers(0, 2, len(X))
    kw = {**TINY, "epochs": 30, "learning_rate": 0.05, "schedule": "plateau", "warmup": 0.0, "dropout": 0.9}
    options = {"validation": (X[100:], noise[100:])} if validated else {}
    model = LSTMClassifier(**kw, patience=9).fit(X[:100], noise[:100], **options)
    rates = np.array(model.history_["learning_rate"])
    watched = model.history_["val_loss" if validated else "loss"]
    assert rates[0] == pytest.approx(0.05)
    fallen = np.flatnonzero(rates[1:] < rates[:-1]) + 1
    assert len(fallen) > 0
    np.testing.assert_allclose(rates[fallen], rates[fallen - 1] / 2, rtol=1e-6)
    first = int(fallen[0])  # two epochs without gain came right before it
    assert min(watched[first - 2 : first]) >= min(watched[: first - 2])
    assert len(rates) == 30 or validated, "without validation nothing stops early"


@pytest.mark.parametrize("weighting", ["sample", "class"])
def test_weights_move_the_base_rate(weighting):
    X, _ = market()
    y = (np.random.default_rng(1).random(len(X)) < 0.2).astype(int)
    kw = {**TINY, "epochs": 30, "learning_rate": 0.02}
    plain = LSTMClassifier(**kw).fit(X, y).predict_proba(X)[:, 1].mean()
    if weighting == "class":
        even = LSTMClassifier(**kw, class_weight="balanced").fit(X, y)
    else:
        even = LSTMClassifier(**kw).fit(X, y, sample_weight=np.where(y == 1, 4.0, 1.0))
    assert plain < 0.3 and 0.4 < even.predict_proba(X)[:, 1].mean() < 0.6


def test_rows_of_no_weight_teach_nothing():
    X, y = market()
    wrong = y.copy()
    wrong[:80] = 1 - wrong[:80]
    weight = np.concatenate([np.zeros(80), np.ones(80)])
    kw = {**TINY, "random_state": 3}
    first = LSTMClassifier(**kw).fit(X, y, sample_weight=weight).predict_proba(X)
    second = LSTMClassifier(**kw).fit(X, wrong, sample_weight=weight).predict_proba(X)
    np.testing.assert_allclose(second, first, atol=1e-6)


def test_accumulated_batches_equal_one_large_batch():
    X, y = market(n_rows=128)
    kw = {**TINY, "epochs": 4, "dropout": 0.0, "schedule": "constant", "warmup": 0.0}
    kw.pop("batch_size")
    large = LSTMClassifier(**kw, batch_size=64).fit(X, y)
    small = LSTMClassifier(**kw, batch_size=32, accumulation=2).fit(X, y)
    np.testing.assert_allclose(small.predict_proba(X), large.predict_proba(X), atol=1e-4)


@pytest.mark.parametrize("validated", [True, False])
def test_a_training_that_diverges_ends_in_one_clear_line(validated):
    X, y = market()
    kw = {**TINY, "epochs": 200, "optimizer": "sgd", "learning_rate": 10.0, "weight_decay": 10.0}
    options = {"validation": (X[120:], y[120:])} if validated else {}
    with pytest.raises(TrainingDiverged) as caught:
        LSTMClassifier(**kw, schedule="constant", clip_norm=None, patience=None).fit(X[:120], y[:120], **options)
    text = str(caught.value)
    assert "after epoch " in text and "learning_rate (10)" in text and "set clip_norm" in text and "\n" not in text


def test_weights_that_the_last_step_broke_are_not_returned(monkeypatch):
    X, y = market()
    weights = programs.program_module().Trainer.weights
    broken = lambda self, state: [w * np.nan for w in weights(self, state)]  # noqa: E731
    monkeypatch.setattr(programs.program_module().Trainer, "weights", broken)
    with pytest.raises(TrainingDiverged, match="sum of the weights is nan after epoch 6"):
        LSTMClassifier(**TINY).fit(X, y)


def test_huber_is_moved_less_by_an_outlier():
    X, _ = market()
    y = X["f0"].to_numpy().copy()
    y[::20] += 40.0
    kw = {**TINY, "epochs": 40, "learning_rate": 0.02}
    squared, huber = (LSTMRegressor(**kw, loss=loss).fit(X, y).predict(X) for loss in ("squared_error", "huber"))
    others = np.arange(len(y)) % 20 != 0
    assert abs(huber[others].mean() - y[others].mean()) < 0.5 * abs(squared[others].mean() - y[others].mean())


def test_targets_of_rows_without_weight_are_not_read():
    X, _ = market()
    y = X["f0"].to_numpy()
    weight = np.r_[np.zeros(80), np.ones(80)]
    wild = np.where(weight == 0, 1e6, y)
    plain, other = (LSTMRegressor(**TINY).fit(X, target, sample_weight=weight) for target in (y, wild))
    np.testing.assert_array_equal(other.target_scaler_.mean, [y[80:].mean()])
    np.testing.assert_allclose(other.predict(X), plain.predict(X), atol=1e-6)


def test_memory_does_not_grow_with_the_window():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40_000, 32))
    y = (X[:, 0] > 0).astype(int)
    model = LSTMClassifier(window=30, units=4, epochs=1, batch_size=16, random_state=0)
    model.fit(X[:100], y[:100])  # compiled before memory is counted
    tracemalloc.start()
    model.fit(X, y)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.5 * X.nbytes, "numpy memory beyond X itself; the windows alone would be 15 times X"
