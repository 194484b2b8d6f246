"""Exported networks, read back by TensorFlow and ONNX Runtime, give the predictor's numbers."""

import doctest
from importlib.util import find_spec

import keras
import numpy as np
import pytest

from consilience.base import InvalidInput
from consilience.base.errors import MissingDependency
from consilience.keras_models import CNNRegressor, LSTMClassifier, TransformerClassifier, export
from consilience.keras_models.layers import gelu
from tests.contracts.predictor import market

pytestmark = pytest.mark.xdist_group("keras")

BACKEND = keras.backend.backend()
TINY = {"window": 5, "epochs": 1, "batch_size": 64, "random_state": 0}
MODELS = [
    LSTMClassifier(**TINY, units=4, pooling="attention", feature_gate=True),
    TransformerClassifier(**TINY, width=4, positions="rotary"),
    TransformerClassifier(**TINY, width=4, layers=2, pooling="mean"),
    CNNRegressor(**TINY, filters=4, layers=2),
]
needs_onnx = pytest.mark.skipif(
    not all(map(find_spec, ("onnxruntime", export._CONVERTERS[BACKEND]))), reason="the extra `onnx` is not installed"
)
needs_saved_model = pytest.mark.skipif(BACKEND == "torch", reason="torch writes no SavedModel")


def fitted(model):
    X, y = market()
    X = X * [1.0, 20.0, 300.0, 0.01] + [0.0, 50.0, 90_000.0, 3.0]
    return X, model.fit(X, y if hasattr(model, "predict_proba") else 100.0 + 7.0 * np.c_[y, 1 - y])


def expected(model, X):
    out = model.predict_proba(X) if hasattr(model, "predict_proba") else model.predict(X)
    return out[[0, 2, 80, 159]]


def windows(X, window=5):
    """The raw rows that the outputs of rows 0, 2, 80 and 159 see, written out by hand."""
    rows = X.to_numpy().astype(np.float32)
    seen = [rows[max(0, last - window + 1) : last + 1] for last in (0, 2, 80, 159)]
    padded = np.stack([np.concatenate([part, np.full((window - len(part), 4), 1e3, np.float32)]) for part in seen])
    return padded, np.array([len(part) for part in seen], np.int32)


@needs_saved_model
@pytest.mark.parametrize(
    "model", [MODELS[1], *(pytest.param(m, marks=pytest.mark.slow) for m in (MODELS[0], *MODELS[2:]))], ids=str
)
def test_a_saved_model_gives_the_predictors_numbers_from_raw_rows(model, tmp_path):
    import tensorflow as tf

    X, model = fitted(model)
    assert model.export(tmp_path / "out") == tmp_path / "out"
    loaded = tf.saved_model.load(str(tmp_path / "out"))
    np.testing.assert_allclose(np.asarray(loaded.serve(list(windows(X)))), expected(model, X), rtol=1e-5, atol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@needs_onnx
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_onnx_gives_the_predictors_numbers_from_raw_rows(model, tmp_path):
    import onnxruntime

    X, model = fitted(model)
    session = onnxruntime.InferenceSession(str(model.export(tmp_path / "out.onnx", format="onnx")))
    given = dict(zip((i.name for i in session.get_inputs()), windows(X)))
    np.testing.assert_allclose(session.run(None, given)[0], expected(model, X), rtol=1e-5, atol=1e-5)


@needs_saved_model
def test_an_export_that_gives_other_numbers_is_not_kept(tmp_path, monkeypatch):
    _, model = fitted(MODELS[0])
    right = export._served

    def wrong(predictor):
        network = right(predictor)
        network.trainable_variables[-1].assign([0.01, 0.0])
        return network

    monkeypatch.setattr(export, "_served", wrong)
    with pytest.raises(export.ExportFailed, match=r"outputs .*e-0[34] from the predictor's"):
        model.export(tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_backend_that_cannot_write_it_ends_in_one_clear_line(tmp_path, monkeypatch):
    _, model = fitted(MODELS[0])

    def broken(predictor):
        raise NotImplementedError("no conversion for Scan\nand a long trace")

    monkeypatch.setattr(export, "_served", broken)
    monkeypatch.setattr(export, "find_spec", lambda name: object())
    with pytest.raises(export.ExportFailed, match=r"could not write this LSTMClassifier as onnx: .*no conversion") as e:
        model.export(tmp_path / "out.onnx", format="onnx")
    assert "\n" not in str(e.value) and not list(tmp_path.iterdir())


def test_what_cannot_be_exported_is_said_first(tmp_path, monkeypatch):
    _, model = fitted(MODELS[0])
    with pytest.raises(InvalidInput, match="Did you mean 'onnx'"):
        model.export(tmp_path / "x", format="onxx")
    with pytest.raises(InvalidInput, match="exists already"):
        model.export(tmp_path)
    with pytest.raises(InvalidInput, match="does not exist"):
        model.export(tmp_path / "no" / "x")
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=r"consilience\[onnx\]"):
        model.export(tmp_path / "x", format="onnx")
    monkeypatch.setattr(export.keras.backend, "backend", lambda: "torch")
    with pytest.raises(InvalidInput, match="KERAS_BACKEND=jax or tensorflow"):
        model.export(tmp_path / "x")


def test_gelu_by_elementary_operations_is_the_same():
    x = np.linspace(-8, 8, 1001, dtype=np.float32)
    with gelu.elementary_operations():
        plain = keras.ops.convert_to_numpy(gelu.gelu(keras.ops.convert_to_tensor(x)))
    np.testing.assert_allclose(plain, keras.ops.convert_to_numpy(gelu.gelu(keras.ops.convert_to_tensor(x))), atol=2e-6)
    np.testing.assert_allclose(plain, keras.ops.convert_to_numpy(keras.ops.gelu(x, approximate=False)), atol=2e-6)
    assert doctest.testmod(gelu).failed == 0
