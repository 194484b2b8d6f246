"""A fitted network's memory on its device goes with it; outputs do not depend on how rows are cut into batches."""

import gc
import weakref

import keras
import numpy as np
import pytest

from consilience.base import InvalidInput, restore
from consilience.keras_models import LSTMClassifier, sequence
from tests.contracts.predictor import market

pytestmark = pytest.mark.xdist_group("keras")

TINY = {"window": 5, "units": 4, "epochs": 2, "batch_size": 64, "random_state": 0}


def test_the_memory_of_a_finished_model_is_released():
    X, y = market()

    def life():
        model = LSTMClassifier(**TINY).fit(X[:120], y[:120], validation=(X[120:], y[120:]))
        model.predict_proba(X)
        model.embed(X)
        placed = sequence._COMPILED[model]._weights
        held = [weakref.ref(model), weakref.ref(sequence._COMPILED[model]), *map(weakref.ref, model.weights_)]
        return held, weakref.ref(placed[0])

    life()
    gc.collect()
    if keras.backend.backend() == "jax":
        import jax

        before = len(jax.live_arrays())
    held, placed = life()
    gc.collect()
    assert [ref() for ref in held] == [None] * len(held)
    assert placed() is None
    if keras.backend.backend() == "jax":
        assert len(jax.live_arrays()) <= before


def test_a_refit_predicts_with_its_own_weights():
    X, y = market()
    model = LSTMClassifier(**TINY).fit(X, y)
    first = model.predict_proba(X)
    again = model.fit(X, 1 - y).predict_proba(X)
    assert np.abs(first - again).max() > 1e-3
    np.testing.assert_array_equal(restore(model.get_state()).predict_proba(X), again)


def test_any_number_of_rows_gives_the_same_outputs():
    X, y = market(n_rows=700)
    model = LSTMClassifier(**{**TINY, "epochs": 1}).fit(X, y)
    whole = model.predict_proba(X)
    for n in (1, 7, 8, 9, 65, 513):
        np.testing.assert_allclose(model.predict_proba(X[:n]), whole[:n], atol=1e-6)


@pytest.mark.parametrize("n", [0, 41, 1.0, True, "1"])
def test_newest_rows_are_a_whole_number_of_those_given(n):
    X, y = market()
    model = LSTMClassifier(**{**TINY, "epochs": 1}).fit(X, y)
    with pytest.raises(InvalidInput, match="an integer from 1 to the 40 rows given"):
        model.predict_newest_proba(X[:40], n)


def test_newest_rows_are_of_one_asset_and_in_order():
    X, y = market(assets=2)
    model = LSTMClassifier(**{**TINY, "epochs": 1}).fit(X, y)
    own = X.index.get_level_values("asset") == "a1"
    np.testing.assert_allclose(model.predict_newest_proba(X[own], 2), model.predict_proba(X)[own][-2:], atol=1e-6)
    with pytest.raises(InvalidInput, match="rows of one asset"):
        model.predict_newest_proba(X)
    with pytest.raises(InvalidInput, match="time order"):
        model.predict_newest_proba(X[own][::-1])
