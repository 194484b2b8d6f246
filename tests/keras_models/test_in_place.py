"""Trainings that share one network do not disturb each other."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import keras
import numpy as np
import pytest

from consilience.keras_models import LSTMClassifier, programs
from tests.contracts.predictor import market
from tests.keras_models.interrupted import before_each_chunk

pytestmark = pytest.mark.xdist_group("keras")

KINDS = [
    {"optimizer": "adamw", "learning_rate": 0.02},
    {"optimizer": "sgd", "learning_rate": 0.05},
    {"optimizer": "adamw", "learning_rate": 0.01, "clip_norm": None},
]


def model(kind):
    return LSTMClassifier(window=5, units=4, epochs=5, batch_size=64, random_state=0, **kind)


def test_recipes_of_one_network_take_turns(monkeypatch):
    X, y = market()
    alone = [model(kind).fit(X, y).weights_ for kind in KINDS]
    turn = Barrier(len(KINDS), timeout=60)
    before_each_chunk(monkeypatch, lambda recipe: turn.wait())  # each chunk of one between two of the others
    with ThreadPoolExecutor(len(KINDS)) as pool:
        together = [job.result().weights_ for job in [pool.submit(model(kind).fit, X, y) for kind in KINDS]]
    for one, other in zip(alone, together, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="jax takes the values as arguments")
def test_a_state_that_lacks_an_array_is_refused_and_a_finished_one_is_let_go():
    from consilience.keras_models.in_place import seat_of

    X, y = market()
    fitted = model(KINDS[0]).fit(X, y)
    recipe = fitted._recipe(fitted._architecture(), "cross_entropy", 64, 1)
    trainer = programs.trainer(recipe)
    assert seat_of(trainer._model).taken is None, "the fit before has left nothing"
    state = trainer.start(fitted.weights_, 0)
    state.parts[2].pop()
    with pytest.raises(ValueError, match="zip"):
        trainer._enter(state)
    assert seat_of(trainer._model).taken is None
