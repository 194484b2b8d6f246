"""Class weights of any form are stored, cloned and applied."""

import numpy as np
import pytest
from sklearn.base import clone

from consilience.base import InvalidState, State, restore
from consilience.keras_models import LSTMClassifier
from tests.contracts.predictor import market

pytestmark = pytest.mark.xdist_group("keras")

TINY = {"window": 5, "units": 4, "epochs": 1, "batch_size": 64, "random_state": 0}


@pytest.mark.parametrize(
    ("labels", "weights"),
    [
        ((0, 1), {0: 1.0, 1: 3.0}),
        ((0, 1), {np.int64(0): np.float64(1.0), np.int64(1): 3}),
        ((-1.0, 1.0), {-1.0: 1.0, 1.0: 3.0}),
        (("down", "up"), {"down": 1.0, "up": 3.0}),
        (("down", "up"), {np.str_("down"): 1, np.str_("up"): 3}),
        ((False, True), {False: 1.0, True: 3.0}),
    ],
)
def test_a_dictionary_of_class_weights_is_saved_loaded_and_cloned(tmp_path, labels, weights):
    X, y = market()
    y = np.array(labels)[y]
    model = LSTMClassifier(**TINY, class_weight=weights).fit(X, y)
    by_rows = LSTMClassifier(**TINY).fit(X, y, sample_weight=np.where(y == labels[1], 3.0, 1.0))
    np.testing.assert_allclose(model.predict_proba(X), by_rows.predict_proba(X), atol=1e-5)
    model.save(tmp_path / "model")
    loaded = LSTMClassifier.load(tmp_path / "model")
    assert loaded.class_weight == weights == clone(model).class_weight == clone(loaded).class_weight
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(clone(loaded).fit(X, y).predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize("stored", [[1, 2], [[1]], [[[0], 1.0]]])
def test_class_weights_of_another_form_are_refused(stored):
    X, y = market()
    state = LSTMClassifier(**TINY, class_weight={0: 1.0, 1: 3.0}).fit(X, y).get_state()
    spec = {**state.spec, "params": {**state.spec["params"], "class_weight": stored}}
    with pytest.raises(InvalidState):
        restore(State(state.kind, spec, state.arrays))
