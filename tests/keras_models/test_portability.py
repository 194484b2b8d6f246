"""Weights mean the same on every backend: each one's predictions against plain numpy, and hostile states refused."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.base import ClassifierMixin

from consilience.base import InvalidState, State, restore
from consilience.base.persistence import read_state
from consilience.keras_models import (
    CNNClassifier,
    CNNRegressor,
    LSTMClassifier,
    LSTMRegressor,
    TransformerClassifier,
    TransformerRegressor,
)
from consilience.keras_models.architecture import initial_weights, network
from tests.contracts.predictor import check_causal, market, outputs
from tests.reference import networks

pytestmark = pytest.mark.xdist_group("keras")

TINY = {"window": 5, "epochs": 2, "batch_size": 64, "random_state": 0}
MODELS = [
    LSTMClassifier(**TINY, units=4),
    LSTMClassifier(**TINY, units=3, layers=2, pooling="attention", feature_gate=True),
    LSTMRegressor(**TINY, units=3, pooling="mean"),
    TransformerClassifier(**TINY, width=4),
    TransformerClassifier(**TINY, width=4, layers=2, positions="learned", pooling="attention"),
    TransformerClassifier(**TINY, width=4, layers=2, positions="rotary"),
    TransformerRegressor(**TINY, width=4, heads=1, layers=2, positions="none", pooling="mean", feature_gate=True),
    CNNClassifier(**TINY, filters=3, layers=1),
    CNNClassifier(**TINY, filters=4, layers=2, kernel_size=2, pooling="attention", feature_gate=True),
    CNNRegressor(**TINY, filters=3, layers=2, pooling="mean"),
]


def fitted(model):
    """Three classes, or two targets; weights moved away from the constants that layers start with."""
    X, y = market()
    X, y = X[:80], y[:80]
    if isinstance(model, ClassifierMixin):
        model = model.fit(X, y + (X["f2"] > 0.3))
    else:
        model = model.fit(X, X[["f0", "f1"]].to_numpy() * [1.0, 50.0])
    rng = np.random.default_rng(0)
    model.weights_ = [(w + 0.2 * rng.standard_normal(w.shape)).astype(np.float32) for w in model.weights_]
    return X, model


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_predictions_equal_numpy_and_are_causal(model):
    X, model = fitted(model)
    scaled = model.scaler_.transform(X.to_numpy()).astype(np.float64)
    raw = np.array([networks.outputs(model, scaled[max(0, i - 4) : i + 1]) for i in range(len(X))])
    expected = networks.softmax(raw) if isinstance(model, ClassifierMixin) else model.target_scaler_.inverse(raw)
    unit = 1.0 if isinstance(model, ClassifierMixin) else model.target_scaler_.scale
    assert expected.shape == (80, 3 if isinstance(model, ClassifierMixin) else 2)
    np.testing.assert_allclose(outputs(model, X) / unit, expected / unit, atol=1e-5)
    check_causal(lambda rows: outputs(model, rows) / unit, X, atol=2e-6)
    assert model.embed(X).shape == (80, getattr(model, {"lstm": "units", "cnn": "filters"}.get(model.family, "width")))
    np.testing.assert_allclose(model.embed(X) @ model.weights_[-2] + model.weights_[-1], raw, atol=1e-4)


STORED = Path(__file__).parent / "trained_on_jax"


@pytest.mark.parametrize("path", sorted(STORED.glob("*.state")), ids=lambda path: path.stem)
def test_what_jax_has_trained_predicts_the_same_here(path):
    """The files are made by ``python -m tests.keras_models.trained_on_jax``."""
    model = restore(read_state(path))
    with np.load(path.with_suffix(".npz")) as expected:
        np.testing.assert_allclose(outputs(model, market()[0]), expected["outputs"], atol=1e-5)
        np.testing.assert_allclose(model.embed(market()[0]), expected["embedded"], atol=1e-5)


def test_every_family_has_a_stored_network():
    assert len(list(STORED.glob("*.state"))) == 6


def test_one_seed_starts_every_backend_alike():
    model = LSTMClassifier(**TINY, units=2)
    model.n_features_in_, model.n_outputs_ = 2, 2
    weights = initial_weights(network(model._architecture()), 7)
    np.testing.assert_allclose(weights[0][0, :4], _FIRST_KERNEL_ROW, atol=1e-7)
    np.testing.assert_allclose(weights[1] @ weights[1].T, 4 * np.eye(2), atol=1e-5)
    np.testing.assert_array_equal(weights[2], [0, 0, 1, 1, 0, 0, 0, 0])


_FIRST_KERNEL_ROW = np.random.default_rng([7, 0]).uniform(-np.sqrt(0.6), np.sqrt(0.6), (2, 8)).astype(np.float32)[0, :4]


@pytest.mark.parametrize("model", [MODELS[0], MODELS[3], MODELS[7]], ids=lambda m: type(m).__name__)
def test_the_newest_rows_alone_equal_the_last_of_all(model):
    X, y = market()
    model = model.fit(X, y)
    whole = model.predict_proba(X)
    for n in (1, 3):
        tail = X.iloc[-(model.lookback + n) :]
        np.testing.assert_allclose(model.warm(n).predict_newest_proba(tail, n), whole[-n:], atol=1e-6)
    np.testing.assert_allclose(model.predict_newest_proba(X.iloc[:2], 2), whole[:2], atol=1e-6)


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
