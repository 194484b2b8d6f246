"""Every optimizer shrinks the kernels alike, clips, and reaches the loss's minimum."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from consilience.keras_models import LSTMClassifier
from consilience.keras_models.optimizers import OPTIMIZERS, build_optimizer
from tests.contracts.predictor import market

pytestmark = pytest.mark.xdist_group("keras")

NAMES = ("kernel", "bias", "gamma", "beta", "table")


def one_step(optimizer, gradient, decay=0.1, clip_norm=None, rate=0.5):
    """What is left of ones after a step, by name of the variable."""
    recipe = SimpleNamespace(optimizer=optimizer, weight_decay=decay, clip_norm=clip_norm, accumulation=1)
    built = build_optimizer(recipe)
    variables = [keras.Variable(np.ones(2, np.float32), name=name) for name in NAMES]
    built.build(variables)
    built.learning_rate.assign(rate)
    gradients = [keras.ops.convert_to_tensor(np.full(2, gradient, np.float32)) for _ in variables]
    built.apply(gradients, variables)
    return {name: keras.ops.convert_to_numpy(v.value)[0] for name, v in zip(NAMES, variables, strict=True)}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_kernels_alone_decay_by_the_rate_times_the_decay(optimizer):
    after = one_step(optimizer, gradient=0.0)
    assert after == pytest.approx({"kernel": 1 - 0.5 * 0.1, "bias": 1, "gamma": 1, "beta": 1, "table": 1})
    assert one_step(optimizer, gradient=0.0, decay=0.0) == pytest.approx(dict.fromkeys(NAMES, 1.0))


def test_gradients_are_clipped_by_their_common_norm():
    whole = one_step("sgd", gradient=1.0, decay=0.0, rate=0.01)
    norm = float(np.sqrt(2 * len(NAMES)))
    clipped = one_step("sgd", gradient=1.0, decay=0.0, rate=0.01, clip_norm=norm / 4)
    for name in NAMES:
        assert 1 - clipped[name] == pytest.approx((1 - whole[name]) / 4, rel=1e-4)


@pytest.mark.parametrize(("optimizer", "rate"), [("adam", 0.02), ("sgd", 0.2)])
def test_each_learns(optimizer, rate):
    X, y = market()
    kw = {"window": 5, "units": 4, "epochs": 20, "random_state": 0, "weight_decay": 0.0}
    model = LSTMClassifier(**kw, optimizer=optimizer, learning_rate=rate).fit(X, y)
    assert model.history_["loss"][-1] < 0.85 * model.history_["loss"][0]
    tight = LSTMClassifier(**kw, optimizer=optimizer, learning_rate=rate, clip_norm=1e-4).fit(X, y)
    assert optimizer == "adam" or tight.history_["loss"][-1] > model.history_["loss"][-1]
