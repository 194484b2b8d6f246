import json

import numpy as np
import pytest

from consilience.registry import Refused, Registry, RegistryError
from tests.reference import zoo


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    with Registry(tmp_path_factory.mktemp("networks")) as opened:
        opened.publish("line", zoo.fitted("RidgeRegressor"))
        yield opened


@pytest.mark.slow
def test_the_network_in_keras_format_gives_the_same_probabilities(registry, tmp_path):
    import keras

    from consilience.keras_models.layers.recurrent import CausalLSTM

    registry.publish("net", zoo.fitted("LSTMClassifier"))
    path, beside = registry.export_keras("net", tmp_path / "net.keras")
    assert registry.export_keras("net", tmp_path / "net.weights.h5")[0].stat().st_size > 0
    inputs = json.loads(beside.read_text())
    model = keras.models.load_model(path, custom_objects={"CausalLSTM": CausalLSTM}, safe_mode=True)
    X = zoo.rows()
    scaled = np.clip((X.to_numpy() - inputs["mean"]) / inputs["scale"], -inputs["clip"], inputs["clip"])
    window = inputs["window"]
    windows = np.stack([scaled[end - window : end] for end in range(window, len(X) + 1)]).astype(np.float32)
    logits = np.asarray(model([windows, np.full(len(windows), window, np.int32)])[0])
    if logits.shape[1] == 2:
        proba = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    else:
        proba = 1 / (1 + np.exp(-logits))
    expected = registry.load("net").predict_proba(X)[window - 1 :, 1]
    np.testing.assert_allclose(proba[:, -1], expected, atol=1e-5)


def test_what_is_no_network_is_refused(registry, tmp_path):
    with pytest.raises(Refused, match="no network"):
        registry.export_keras("line", tmp_path / "x.keras")
    with pytest.raises(RegistryError, match="no member"):
        registry.export_keras("line", tmp_path / "x.keras", member="lstm")
