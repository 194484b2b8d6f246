"""The compiled LSTM inside JAX programs: same numbers as the loop in keras.ops, whoever computes which block."""

import threading

import keras
import numpy as np
import pytest

if keras.backend.backend() != "jax":
    pytest.skip("the kernel is an operation of JAX", allow_module_level=True)

import jax

from consilience.keras_models import LSTMClassifier
from consilience.keras_models._jax_lstm import available, fused_lstm
from consilience.keras_models.layers.recurrence import lstm_recurrence
from tests.kernels.test_lstm import draw

pytestmark = pytest.mark.skipif(not available(), reason="the JIT is disabled, or this JAX has another interface")


def loop(x, kernel, recurrent, bias):
    return lstm_recurrence(x.transpose(1, 0, 2) @ kernel + bias, recurrent).transpose(1, 0, 2)


def gradients(function, arrays, upstream, asked=(0, 1, 2, 3)):
    return jax.jit(jax.grad(lambda *given: (function(*given) * upstream).sum(), argnums=asked))(*arrays)


@pytest.mark.parametrize("shape", [(1, 3, 2, 4), (70, 20, 33, 40), (128, 60, 32, 64)])
def test_gradient_equals_the_loops(shape):
    *arrays, upstream = draw(*shape, size=0.2)
    np.testing.assert_allclose(jax.jit(fused_lstm)(*arrays), loop(*arrays), atol=2e-6)
    for ours, theirs in zip(gradients(fused_lstm, arrays, upstream), gradients(loop, arrays, upstream)):
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * max(1.0, float(abs(theirs).max())))


def test_weights_gradient_is_the_same_whether_or_not_the_inputs_is_asked_for():
    *arrays, upstream = draw(70, 6, 5, 9)
    whole, part = gradients(fused_lstm, arrays, upstream), gradients(fused_lstm, arrays, upstream, (1, 2, 3))
    assert all(np.array_equal(a, b) for a, b in zip(part, whole[1:]))


def test_many_programs_at_once_give_what_each_gives_alone():
    *arrays, upstream = draw(200, 10, 5, 16)
    call = jax.jit(jax.grad(lambda *given: (fused_lstm(*given) * upstream).sum(), argnums=(0, 1, 2, 3)))
    alone, found = call(*arrays), []

    def work():
        found.extend(call(*arrays) for _ in range(20))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    assert len(found) == 160
    assert all(np.array_equal(a, b) for one in found for a, b in zip(one, alone))


@pytest.mark.parametrize("options", [{}, {"layers": 2, "feature_gate": True}, {"precision": "bfloat16"}])
def test_training_learns_the_same_with_and_without(options, monkeypatch):
    from consilience.keras_models import _jax_lstm, programs

    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 4))
    y = (X[:, 0] > 0).astype(int)

    def fitted():
        programs._trainer.cache_clear()
        model = LSTMClassifier(window=7, units=9, epochs=2, dropout=0.0, random_state=0, device="cpu", **options)
        return model.fit(X, y).predict_proba(X)

    with_kernel = fitted()
    monkeypatch.setattr(_jax_lstm, "available", lambda: False)
    without = fitted()
    programs._trainer.cache_clear()
    np.testing.assert_allclose(with_kernel, without, atol=1e-4)
