"""Where a network trains, what happens when that place is full, and in which precision it computes."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from consilience.base import InvalidInput
from consilience.keras_models import CNNClassifier, LSTMClassifier, TransformerClassifier, device, prediction, programs
from consilience.keras_models.device import OutOfMemory, out_of_memory, precise, resolve_device, single
from tests.contracts.predictor import market
from tests.keras_models.interrupted import before_each_chunk

pytestmark = pytest.mark.xdist_group("keras")

TINY = {"window": 5, "units": 4, "epochs": 6, "batch_size": 64, "random_state": 0}
FULL = "RESOURCE_EXHAUSTED: Out of memory allocating 8589934592 bytes."

# -- policy --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_gpus", "policy", "found"),
    [
        (0, "auto", "cpu"),
        (2, "auto", "gpu:0"),
        (2, "cpu", "cpu"),
        (2, "gpu", "gpu:0"),
        (2, "gpu:1", "gpu:1"),
        (1, "gpu:all", "gpu:0"),
    ],
)
def test_policies(monkeypatch, n_gpus, policy, found):
    monkeypatch.setattr(device, "_gpu_count", lambda: n_gpus)
    monkeypatch.setattr(device.keras.backend, "backend", lambda: "jax")
    assert resolve_device(policy, "Owner") == found


@pytest.mark.parametrize(("n_gpus", "policy"), [(0, "gpu"), (1, "gpu:1"), (2, "gpu:2"), (0, "gpu:all")])
def test_a_card_that_is_not_there_is_refused_to_train_and_replaced_to_predict(monkeypatch, n_gpus, policy):
    monkeypatch.setattr(device, "_gpu_count", lambda: n_gpus)
    monkeypatch.setattr(device.keras.backend, "backend", lambda: "jax")
    with pytest.raises(InvalidInput, match=rf"here \({n_gpus} GPUs\)"):
        resolve_device(policy, "Owner")
    assert single(resolve_device(policy, "Owner", strict=False)) == ("gpu:0" if n_gpus else "cpu")


@pytest.mark.parametrize(
    ("cards", "precision", "place", "policy"),
    [
        ([(8, 0), (7, 5)], "auto", "gpu:0", "mixed_bfloat16"),
        ([(8, 0), (7, 5)], "auto", "gpu:1", "float32"),
        ([(8, 0), (7, 5)], "auto", "gpu:all", "float32"),
        ([(9, 0), (12, 0)], "auto", "gpu:all", "mixed_bfloat16"),
        ([(0,)], "auto", "gpu:0", "float32"),
        ([], "auto", "cpu", "float32"),
        ([], "bfloat16", "cpu", "mixed_bfloat16"),
        ([(9, 0)], "float32", "gpu:0", "float32"),
    ],
)
def test_precision_follows_the_card(monkeypatch, cards, precision, place, policy):
    monkeypatch.setattr(device, "_gpu_count", lambda: len(cards))
    monkeypatch.setattr(device, "_capability", lambda number: cards[number])
    assert precise(precision, place) == policy


def test_the_capability_of_a_card_is_read(monkeypatch):
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        class Card:
            platform, compute_capability = "gpu", "8.6"

        monkeypatch.setattr(jax, "local_devices", lambda: [Card()])
    elif backend == "tensorflow":
        import tensorflow as tf

        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["a card"])
        details = lambda card: {"compute_capability": (8, 6)}  # noqa: E731
        monkeypatch.setattr(tf.config.experimental, "get_device_details", details)
    else:
        import torch

        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda number: (8, 6))
    assert device._capability.__wrapped__(0) == (8, 6)


@pytest.mark.parametrize(
    ("cls", "size"), [(LSTMClassifier, "units"), (TransformerClassifier, "width"), (CNNClassifier, "filters")]
)
def test_reduced_precision_trains_to_about_the_same_but_not_the_same(cls, size):
    X, y = market()
    kw = {"window": 5, "epochs": 3, "random_state": 0, size: 4}
    full, reduced = cls(**kw).fit(X, y), cls(**kw, precision="bfloat16").fit(X, y)
    assert all(w.dtype == np.float32 for w in reduced.weights_)
    gap = np.abs(reduced.predict_proba(X) - full.predict_proba(X)).mean()
    assert 1e-5 < gap < 0.03, "bfloat16 keeps 8 bits"
    assert any("bfloat16" in str(layer.compute_dtype) for layer in _trained_layers(reduced))


def _trained_layers(model):
    from consilience.keras_models.architecture import network

    return network(model._architecture("cpu", "mixed_bfloat16")).layers


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="jax's matrix products have a precision each")
def test_predictions_multiply_in_float32_on_every_card():
    X, y = market()
    model = LSTMClassifier(**{**TINY, "epochs": 1}).fit(X, y)
    forward = programs.forward(model._architecture())
    given = forward.place(model.weights_), np.zeros((1, 5, 4), np.float32), np.ones(1, np.int32)
    for compiled in (forward._call, forward._embed):
        products = [line for line in compiled.lower(*given).as_text().splitlines() if "dot_general" in line]
        assert products and all("HIGHEST" in line for line in products)


# -- full memory ---------------------------------------------------------------------------------------------------


def test_full_memory_halves_the_batch_and_says_so(monkeypatch):
    X, y = market(n_rows=128)
    kw = {**TINY, "dropout": 0.0}
    build = programs.trainer

    def trainer(recipe):
        if recipe.batch_size > 16:
            raise RuntimeError(FULL)
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
    chunks = []

    def act(recipe):
        chunks.append(recipe.batch_size)
        if recipe.batch_size == 64 // before and chunks.count(64 // before) == 3:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    expected = LSTMClassifier(**kw).fit(X, y)
    before_each_chunk(monkeypatch, act)
    with pytest.warns(UserWarning, match=f"after epoch 2 with batches of {32 // before}, {2 * before} per update"):
        model = LSTMClassifier(**kw).fit(X, y)
    assert chunks == [64 // before] * 3 + [32 // before] * 4
    assert len(model.history_["loss"]) == 6
    # the same rows per update and the same moments: the last four epochs end where they would have ended
    np.testing.assert_allclose(model.history_["loss"], expected.history_["loss"], rtol=2e-3)
    for a, b in zip(model.weights_, expected.weights_, strict=True):
        np.testing.assert_allclose(a, b, atol=5e-3)


@pytest.mark.parametrize(("n_devices", "sizes"), [(1, [6, 3, 2, 1]), (2, [6, 4, 2]), (3, [6, 3])])
def test_a_batch_is_halved_in_whole_shares_down_to_one_row_each(monkeypatch, n_devices, sizes):
    X, y = market()
    seen = []

    def trainer(recipe):
        seen.append(recipe.batch_size)
        raise RuntimeError(FULL)

    monkeypatch.setattr(programs, "trainer", trainer)
    monkeypatch.setattr(LSTMClassifier, "_n_devices", lambda self, device: n_devices)
    with (
        pytest.warns(UserWarning, match="is full") if len(sizes) > 1 else pytest.raises(OutOfMemory),
        pytest.raises(OutOfMemory, match=f"full even with batches of {n_devices}") as caught,
    ):
        LSTMClassifier(**{**TINY, "batch_size": 6}).fit(X, y)
    assert seen == sizes and "\n" not in str(caught.value)


def test_other_errors_are_not_taken_for_full_memory(monkeypatch):
    X, y = market()
    monkeypatch.setattr(programs, "trainer", lambda recipe: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        LSTMClassifier(**TINY).fit(X, y)
    assert out_of_memory(RuntimeError(FULL)) and not out_of_memory(OutOfMemory("out of memory"))


def full_above(most, monkeypatch):
    """Predictions of more than ``most`` windows find the memory full; gives the sizes that were tried."""
    tried, run = [], prediction.Prediction._run_padded

    def running(self, x, lengths, size, embed):
        tried.append(size)
        if size > most:
            raise RuntimeError(FULL)
        return run(self, x, lengths, size, embed)

    monkeypatch.setattr(prediction.Prediction, "_run_padded", running)
    monkeypatch.setattr(prediction, "_LARGEST", {})
    return tried


def test_full_memory_while_predicting_takes_smaller_batches_and_keeps_to_them(monkeypatch):
    X, y = market()
    model = LSTMClassifier(**{**TINY, "epochs": 1}).fit(X, y)
    expected = model.predict_proba(X)
    tried = full_above(8, monkeypatch)
    with pytest.warns(UserWarning, match="predictions go on in batches of 8"):
        np.testing.assert_allclose(model.predict_proba(X), expected, atol=1e-6)
    assert tried == [512, 64] + [8] * 20
    tried.clear()
    model.predict_proba(X[:20])
    assert tried == [8, 8, 8]


def test_full_memory_in_validation_leaves_the_training_batch_alone(monkeypatch):
    X, y = market()
    tried, chunks = full_above(8, monkeypatch), []
    before_each_chunk(monkeypatch, lambda recipe: chunks.append(recipe.batch_size))
    with pytest.warns(UserWarning, match="predictions go on in batches of 8") as told:
        LSTMClassifier(**{**TINY, "epochs": 3}).fit(X[:120], y[:120], validation=(X[120:], y[120:]))
    assert chunks == [64] * 3 and tried.count(64) == 1
    assert sum("predictions go on" in str(each.message) for each in told) == 1


def test_memory_that_holds_no_single_window_is_said_in_one_line(monkeypatch):
    X, y = market()
    full_above(0, monkeypatch)
    with pytest.warns(UserWarning, match="is full"), pytest.raises(OutOfMemory, match="one window") as caught:
        LSTMClassifier(**{**TINY, "epochs": 1}).fit(X[:120], y[:120], validation=(X[120:], y[120:]))
    assert "\n" not in str(caught.value)


# -- several devices -----------------------------------------------------------------------------------------------

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
