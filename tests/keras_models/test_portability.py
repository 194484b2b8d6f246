"""Weights mean the same on every backend: each one's predictions against plain numpy, and hostile states refused."""

import numpy as np
import pytest

from consilience.base import InvalidState, State, restore
from consilience.keras_models import CNNClassifier, LSTMClassifier, LSTMRegressor, TransformerClassifier
from consilience.keras_models.architecture import initial_weights, network
from consilience.keras_models.shapes import weight_shapes
from tests.contracts.predictor import market
from tests.reference.networks import cnn, lstm, transformer

pytestmark = pytest.mark.xdist_group("keras")

TINY = {"window": 5, "epochs": 2, "batch_size": 64, "random_state": 0}
MODELS = [
    (LSTMClassifier(**TINY, units=4), lambda x, w: lstm(x, w, 4)),
    (TransformerClassifier(**TINY, width=4), lambda x, w: transformer(x, w, 2, 5)),
    (CNNClassifier(**TINY, filters=3, layers=1), lambda x, w: cnn(x, w, 3)),
]


@pytest.mark.parametrize(("model", "oracle"), MODELS, ids=lambda v: type(v).__name__)
def test_predictions_equal_numpy(model, oracle):
    X, y = market()
    model = model.fit(X, y)
    rng = np.random.default_rng(0)
    model.weights_ = [(w + 0.2 * rng.standard_normal(w.shape)).astype(np.float32) for w in model.weights_]
    scaled = model.scaler_.transform(X.to_numpy()).astype(np.float64)
    weights = [w.astype(np.float64) for w in model.weights_]
    logits = np.array([oracle(scaled[max(0, i - 4) : i + 1], weights) for i in range(len(X))])
    proba = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(X), proba, atol=1e-5)


def test_one_seed_starts_every_backend_alike():
    model = LSTMClassifier(**TINY, units=2)
    model.n_features_in_, model.n_outputs_ = 2, 2
    weights = initial_weights(network(model._architecture()), 7)
    np.testing.assert_allclose(weights[0][0, :4], _FIRST_KERNEL_ROW, atol=1e-7)
    np.testing.assert_allclose(weights[1] @ weights[1].T, 4 * np.eye(2), atol=1e-5)
    np.testing.assert_array_equal(weights[2], [0, 0, 1, 1, 0, 0, 0, 0])


_FIRST_KERNEL_ROW = np.random.default_rng([7, 0]).uniform(-np.sqrt(0.6), np.sqrt(0.6), (2, 8)).astype(np.float32)[0, :4]


@pytest.mark.parametrize("model", [m for m, _ in MODELS], ids=lambda m: type(m).__name__)
def test_the_newest_rows_alone_equal_the_last_of_all(model):
    X, y = market()
    model = model.fit(X, y)
    whole = model.predict_proba(X)
    for n in (1, 3):
        tail = X.iloc[-(model.lookback + n) :]
        np.testing.assert_allclose(model.warm(n).predict_newest_proba(tail, n), whole[-n:], atol=1e-6)
    np.testing.assert_allclose(model.predict_newest_proba(X.iloc[:2], 2), whole[:2], atol=1e-6)


@pytest.mark.parametrize(
    ("cls", "options"),
    [
        (LSTMClassifier, {"units": 3, "layers": 2, "feature_gate": True, "pooling": "attention"}),
        (TransformerClassifier, {"width": 4, "layers": 2, "positions": "learned", "pooling": "attention"}),
        (TransformerClassifier, {"width": 4, "layers": 2, "feature_gate": True}),
        (CNNClassifier, {"filters": 3, "layers": 2, "pooling": "mean"}),
        (CNNClassifier, {"filters": 2, "layers": 1, "pooling": "attention"}),
    ],
)
def test_shapes_are_those_of_the_built_network(cls, options):
    model = cls(window=5, **options)
    model.n_features_in_, model.n_outputs_ = 2, 3
    architecture = model._architecture()
    built = [tuple(variable.shape) for variable in network(architecture).trainable_variables]
    assert weight_shapes(architecture) == built


@pytest.fixture(scope="module")
def state():
    X, y = market()
    return LSTMRegressor(**TINY, units=4).fit(X, y - 0.5).get_state()


def changed(state, params=None, fitted=None, arrays=None, drop=()):
    spec = {
        **state.spec,
        "params": {**state.spec["params"], **(params or {})},
        "fitted": {**state.spec["fitted"], **(fitted or {})},
    }
    kept = {name: array for name, array in {**state.arrays, **(arrays or {})}.items() if name not in drop}
    return State(state.kind, spec, kept)


@pytest.mark.parametrize(
    "damage",
    [
        {"drop": ["w000"]},
        {"drop": ["mean"]},
        {"arrays": {"w000": np.zeros((3, 3), np.float32)}},
        {"arrays": {"w000": np.full((4, 16), np.nan, np.float32)}},
        {"arrays": {"w000": np.zeros((4, 16), np.int64)}},
        {"arrays": {"scale": np.zeros(4)}},
        {"arrays": {"mean": np.full(4, np.inf)}},
        {"arrays": {"extra": np.zeros(3)}},
        {"params": {"units": 4096, "layers": 32, "window": 4096}},
        {"params": {"units": -1}},
        {"params": {"window": "5"}},
        {"params": {"units": [4]}},
        {"params": {"pooling": {"kind": "last"}}},
        {"params": {"feature_gate": 1}},
        {"fitted": {"n_outputs": 10_000}},
        {"fitted": {"n_outputs": 10**12}},
        {"fitted": {"n_outputs": True}},
        {"fitted": {"history": [1, 2]}},
        {"fitted": {"one_target": "yes"}},
    ],
    ids=str,
)
def test_a_hostile_state_is_refused_before_anything_is_built(state, damage, monkeypatch):
    def build(*args, **kwargs):
        raise AssertionError("a network of unchecked size was built")

    monkeypatch.setattr("consilience.keras_models.architecture.keras.Model", build)
    with pytest.raises(InvalidState):
        restore(changed(state, **damage))


def test_an_unchanged_state_is_restored(state):
    X, _ = market()
    assert np.isfinite(restore(changed(state)).predict(X)).all()
