"""Networks in Keras's formats give, in a process of their own, what the version gives."""

import subprocess
import sys

import numpy as np
import pytest

from consilience.registry import Refused, Registry, RegistryError
from tests.reference import zoo
from tests.registry.processes import ROOT, environment


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    with Registry(tmp_path_factory.mktemp("networks")) as opened:
        opened.publish("line", zoo.fitted("RidgeRegressor"))
        yield opened


# What a stranger does with the exported files.
_USE = """
import json, sys
import numpy as np
path, rows, window, out = sys.argv[1:]
X, window = np.load(rows).astype(np.float32), int(window)
cut = lambda values: np.stack([values[end - window : end] for end in range(window, len(X) + 1)])
lengths = np.full(len(X) - window + 1, window, np.int32)
if path.endswith(".keras"):
    import keras, consilience.keras_models.layers
    inputs = json.load(open(path + ".inputs.json"))
    scaled = np.clip((X - inputs["mean"]) / inputs["scale"], -inputs["clip"], inputs["clip"]).astype(np.float32)
    found = np.asarray(keras.models.load_model(path, safe_mode=True)([cut(scaled), lengths])[0], np.float64)
    if "classes" in inputs:
        found = np.exp(found) / np.exp(found).sum(axis=1, keepdims=True)
    else:
        found = found * inputs["target_scale"] + inputs["target_mean"]
else:
    import tensorflow as tf
    loaded = tf.saved_model.load(path)
    found = np.asarray(loaded.serve([cut(X), lengths]), np.float64)
    assert not any(name.startswith("consilience") for name in sys.modules)
np.save(out, found)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "form"),
    [
        ("LSTMClassifier", ".keras"),
        ("TransformerClassifier", ".keras"),
        ("CNNRegressor", ".keras"),
        ("CNNRegressor", ""),
    ],
)
def test_a_network_in_keras_format_predicts_the_same_elsewhere(registry, tmp_path, kind, form):
    registry.publish("net", zoo.fitted(kind), number="major")
    path = registry.export_keras("net", tmp_path / f"net{form}")[0]
    X = zoo.rows()
    np.save(tmp_path / "rows.npy", X.to_numpy())
    model = registry.load("net")
    command = [sys.executable, "-c", _USE, path, tmp_path / "rows.npy", model.window, tmp_path / "found.npy"]
    subprocess.run(list(map(str, command)), check=True, cwd=ROOT, env=environment())
    expected = zoo.outputs(kind, model, X)[model.window - 1 :]
    found = np.load(tmp_path / "found.npy").reshape(expected.shape)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_weights_alone_and_a_member_of_an_ensemble(registry, tmp_path):
    from consilience.keras_models.architecture import build_network

    registry.publish("vote", zoo.fitted("VotingClassifier"))
    path, _ = registry.export_keras("vote", tmp_path / "net.weights.h5", member="lstm")
    member = registry.load("vote").members_["lstm"]
    model = build_network(member._architecture())
    model.load_weights(path)
    for variable, value in zip(model.trainable_variables, member.weights_, strict=True):
        np.testing.assert_array_equal(np.asarray(variable.value), value)


def test_what_is_no_network_is_refused(registry, tmp_path):
    with pytest.raises(Refused, match="no network"):
        registry.export_keras("line", tmp_path / "x.keras")
    with pytest.raises(RegistryError, match="no member"):
        registry.export_keras("line", tmp_path / "x.keras", member="lstm")
