"""Early stopping, schedules, weights, augmentation, memory, and going on after a kill."""

import os
import signal
import subprocess
import sys
import time
import tracemalloc
import warnings

import keras
import numpy as np
import pytest

from consilience.base import InvalidInput
from consilience.keras_models import LSTMClassifier, TransformerClassifier, programs
from consilience.keras_models.augmentation import augment
from consilience.keras_models.training import Plan, Progress, _rate
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
    proba = model.predict_proba(X[100:])[np.arange(len(X) - 100), noise[100:]]
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


def test_a_plateau_halves_the_rate():
    X, _ = market()
    noise = np.random.default_rng(0).integers(0, 2, len(X))
    model = LSTMClassifier(**{**TINY, "epochs": 30}, learning_rate=0.05, schedule="plateau", patience=9, dropout=0.0)
    model.fit(X[:100], noise[:100], validation=(X[100:], noise[100:]))
    assert min(model.history_["learning_rate"]) <= 0.025 * 1.001


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


def test_reduced_precision_trains_to_about_the_same():
    X, y = market()
    full = LSTMClassifier(**TINY).fit(X, y)
    reduced = LSTMClassifier(**TINY, precision="bfloat16").fit(X, y)
    assert all(w.dtype == np.float32 for w in reduced.weights_)
    np.testing.assert_allclose(reduced.predict_proba(X), full.predict_proba(X), atol=0.05)


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


def test_augmentation_never_reaches_prediction():
    X, y = market()
    model = LSTMClassifier(**TINY, augmentation={"jitter": 0.5}).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), model.predict_proba(X))
    assert model.history_["loss"] != LSTMClassifier(**TINY).fit(X, y).history_["loss"]


class Killed(BaseException):
    pass


def killed_at(chunks, monkeypatch):
    """Make the training of the next fit die before its chunk number ``chunks``."""
    build, left = programs.trainer, [chunks]

    def trainer(recipe):
        real = build(recipe)

        class Dying:
            start, weights, dump, load = real.start, real.weights, real.dump, real.load

            def run(self, *args):
                left[0] -= 1
                if left[0] < 0:
                    raise Killed
                return real.run(*args)

        return Dying()

    monkeypatch.setattr(programs, "trainer", trainer)


@pytest.mark.parametrize("validated", [True, False])
@pytest.mark.parametrize("epoch", [1, 4])
def test_a_resumed_training_ends_with_the_weights_of_an_uninterrupted_one(tmp_path, monkeypatch, epoch, validated):
    X, y = market()
    validation = (X[120:], y[120:]) if validated else None
    make = lambda: LSTMClassifier(**TINY, augmentation={"jitter": 0.1}, checkpoint=str(tmp_path))  # noqa: E731
    whole = LSTMClassifier(**TINY, augmentation={"jitter": 0.1}).fit(X[:120], y[:120], validation=validation)
    with monkeypatch.context() as patch:
        killed_at(epoch, patch)
        with pytest.raises(Killed):
            make().fit(X[:120], y[:120], validation=validation)
    assert len(list(tmp_path.iterdir())) == 1
    resumed = make().fit(X[:120], y[:120], validation=validation)
    for a, b in zip(resumed.weights_, whole.weights_):
        np.testing.assert_array_equal(a, b)
    assert resumed.history_ == whole.history_
    assert not list(tmp_path.iterdir()), "a finished training leaves no checkpoint"


def test_a_checkpoint_of_other_rows_or_settings_is_not_used(tmp_path, monkeypatch):
    X, y = market()
    with monkeypatch.context() as patch:
        killed_at(3, patch)
        with pytest.raises(Killed):
            LSTMClassifier(**TINY, checkpoint=str(tmp_path)).fit(X[:120], y[:120])
    other = LSTMClassifier(**TINY, checkpoint=str(tmp_path)).fit(X[:130], y[:130])
    np.testing.assert_array_equal(other.weights_[0], LSTMClassifier(**TINY).fit(X[:130], y[:130]).weights_[0])


def test_a_damaged_checkpoint_is_left_aside_with_a_warning(tmp_path, monkeypatch):
    X, y = market()
    with monkeypatch.context() as patch:
        killed_at(3, patch)
        with pytest.raises(Killed):
            LSTMClassifier(**TINY, checkpoint=str(tmp_path)).fit(X, y)
    (file,) = tmp_path.iterdir()
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.warns(UserWarning, match="damaged checkpoint"):
        model = LSTMClassifier(**TINY, checkpoint=str(tmp_path)).fit(X, y)
    np.testing.assert_array_equal(model.weights_[0], LSTMClassifier(**TINY).fit(X, y).weights_[0])


def test_full_memory_halves_the_batch_and_says_so(monkeypatch):
    X, y = market(n_rows=128)
    kw = {**TINY, "dropout": 0.0}
    build = programs.trainer

    def trainer(recipe):
        if recipe.batch_size > 16:
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8589934592 bytes.")
        return build(recipe)

    expected = LSTMClassifier(**kw).fit(X, y).predict_proba(X)
    monkeypatch.setattr(programs, "trainer", trainer)
    with pytest.warns(UserWarning, match="from its beginning with batches of 16, 4 per update"):
        model = LSTMClassifier(**kw).fit(X, y)
    assert model.batch_size == 64, "the parameter stays as it was given"
    np.testing.assert_allclose(model.predict_proba(X), expected, atol=0.02)


@pytest.mark.parametrize("before", [1, 2])
def test_full_memory_in_the_third_epoch_goes_on_from_the_second(monkeypatch, before):
    X, y = market(n_rows=128)
    kw = {**TINY, "dropout": 0.0, "batch_size": 64 // before, "accumulation": before}
    build, chunks = programs.trainer, []

    def trainer(recipe):
        real = build(recipe)

        class Full:
            start, weights, dump, load = real.start, real.weights, real.dump, real.load

            def run(self, state, chunk):
                chunks.append(recipe.batch_size)
                if recipe.batch_size == 64 // before and chunks.count(64 // before) == 3:
                    raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
                return real.run(state, chunk)

        return Full()

    expected = LSTMClassifier(**kw).fit(X, y)
    monkeypatch.setattr(programs, "trainer", trainer)
    with pytest.warns(UserWarning, match=f"after epoch 2 with batches of {32 // before}, {2 * before} per update"):
        model = LSTMClassifier(**kw).fit(X, y)
    assert chunks == [64 // before] * 3 + [32 // before] * 4
    assert len(model.history_["loss"]) == 6
    # the same rows per update and the same moments: the last four epochs end where they would have ended
    np.testing.assert_allclose(model.history_["loss"], expected.history_["loss"], rtol=2e-3)
    for a, b in zip(model.weights_, expected.weights_):
        np.testing.assert_allclose(a, b, atol=5e-3)


def test_other_errors_are_not_taken_for_full_memory(monkeypatch):
    X, y = market()
    monkeypatch.setattr(programs, "trainer", lambda recipe: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        LSTMClassifier(**TINY).fit(X, y)


def test_six_folds_compile_once(monkeypatch):
    X, y = market(n_rows=300)
    LSTMClassifier(**TINY).fit(X[:80], y[:80], validation=(X[80:100], y[80:100])).predict_proba(X[80:140])
    built = []
    real = programs.program_module()
    monkeypatch.setattr(programs, "program_module", lambda: built.append(1) or real)
    sizes = _compilations()
    for end in (100, 140, 180, 220, 260, 300):
        model = LSTMClassifier(**{**TINY, "random_state": end})
        model.fit(X[: end - 40], y[: end - 40], validation=(X[end - 40 : end], y[end - 40 : end]))
        model.predict_proba(X[end - 40 : end])
    assert not built
    assert _compilations() == sizes


def _compilations():
    """How many shapes the tiny LSTM's programs were compiled for; eager backends have none."""
    model = LSTMClassifier(**TINY)
    model.n_features_in_, model.n_outputs_ = 4, 2
    counters = [getattr(programs.forward(model._architecture()), "_call", None)]
    return [c._cache_size() if hasattr(c, "_cache_size") else 0 for c in counters]


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


def test_nan_is_refused_and_a_new_label_in_validation_too():
    X, y = market()
    broken = X.copy()
    broken.iloc[3, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        LSTMClassifier(**TINY).fit(broken, y)
    with pytest.raises(InvalidInput, match="label 7"):
        LSTMClassifier(**TINY).fit(X, y, validation=(X, np.full(len(X), 7)))


def test_an_unknown_backend_names_the_choices():
    environment = {**os.environ, "KERAS_BACKEND": "tensorflw"}
    code = "import consilience.keras_models"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "one of jax, tensorflow, torch. Got 'tensorflw' instead. Did you mean 'tensorflow'?" in done.stderr


_VICTIM = """
import sys, numpy as np
from consilience.keras_models import LSTMClassifier
from tests.contracts.predictor import market
X, y = market()
print("ready", flush=True)
model = LSTMClassifier(window=5, units=4, epochs=200, batch_size=8, random_state=0, checkpoint=sys.argv[1] or None)
model.fit(X[:120], y[:120], validation=(X[120:], y[120:]))
np.savez(sys.argv[2], *model.weights_)
"""


@pytest.mark.slow
def test_twenty_kills_at_random_moments(tmp_path):
    """kill -9 in the middle of a training, 20 times; what is left always ends with the uninterrupted weights."""

    def start(folder, out):
        return subprocess.Popen([sys.executable, "-c", _VICTIM, str(folder), str(out)], stdout=subprocess.PIPE)

    begin = start("", tmp_path / "whole.npz")
    begin.stdout.readline()
    began = time.monotonic()
    assert begin.wait() == 0
    seconds = time.monotonic() - began
    whole = np.load(tmp_path / "whole.npz")
    rng, kills = np.random.default_rng(0), 0
    for trial in range(20):
        folder = tmp_path / f"trial{trial}"
        with warnings.catch_warnings():
            victim = start(folder, tmp_path / "resumed.npz")
            victim.stdout.readline()
            time.sleep(rng.random() * seconds)
            victim.send_signal(signal.SIGKILL)
            kills += victim.wait() == -signal.SIGKILL
            assert start(folder, tmp_path / "resumed.npz").wait() == 0
        resumed = np.load(tmp_path / "resumed.npz")
        for name in whole.files:
            np.testing.assert_array_equal(resumed[name], whole[name])
    assert kills >= 10


_PARALLEL = """
import jax, numpy as np
from consilience.keras_models import LSTMClassifier, _jax_program
from consilience.base import InvalidInput
from tests.contracts.predictor import market

assert len(jax.devices()) == 4
X, y = market()
seen = []
spread = _jax_program.shares("cpu:all").spread

def spying(self, data):
    out = spread(data)
    seen.append((data, out))
    return out

type(_jax_program.shares("cpu:all")).spread = spying
kw = {"units": 4, "window": 5, "epochs": 3, "batch_size": 32, "random_state": 0}
one = LSTMClassifier(**kw, device="cpu").fit(X, y)
assert not seen
four = LSTMClassifier(**kw, device="cpu:all").fit(X, y)
for a, b in zip(four.weights_, one.weights_):
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
np.testing.assert_allclose(four.predict_proba(X), one.predict_proba(X), atol=1e-4)
for data, out in seen:
    for given, placed in zip(data[:4], out[:4]):
        held = sorted(placed.addressable_shards, key=lambda shard: shard.index[1].start or 0)
        assert [shard.device.id for shard in held] == [0, 1, 2, 3]
        for number, shard in enumerate(held):
            np.testing.assert_array_equal(shard.data, given[:, 8 * number : 8 * number + 8])
assert len(seen) == 3
try:
    LSTMClassifier(window=5, batch_size=30, device="cpu:all").fit(X, y)
except InvalidInput as error:
    assert "multiple of the 4 devices" in str(error)
else:
    raise AssertionError("a batch that cannot be shared out was taken")
print("done")
"""


def test_four_devices_share_each_batch_and_train_the_weights_of_one():
    environment = {**os.environ, "KERAS_BACKEND": "jax", "XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    command = [sys.executable, "-c", _PARALLEL]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "done", done.stderr


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="jax trains on several")
def test_several_devices_are_refused_on_other_backends():
    X, y = market()
    with pytest.raises(InvalidInput, match="KERAS_BACKEND=jax"):
        LSTMClassifier(**TINY, device="cpu:all").fit(X, y)
