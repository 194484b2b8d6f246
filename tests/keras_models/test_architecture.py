"""Networks are built once per architecture, with every layer under a name of its own."""

import itertools
import re

import keras
import pytest

from consilience.keras_models import CNNClassifier, LSTMClassifier, TransformerClassifier
from consilience.keras_models.architecture import build_network, network

pytestmark = pytest.mark.xdist_group("keras")

MODELS = [
    LSTMClassifier(window=4, units=3, layers=2, pooling="attention", feature_gate=True),
    LSTMClassifier(window=4, units=3, dropout=0.0),
    *(
        TransformerClassifier(window=4, width=4, layers=2, positions=positions, pooling=pooling, feature_gate=True)
        for positions, pooling in zip(("sinusoidal", "learned", "rotary", "none"), itertools.cycle(("last", "mean")))
    ),
    CNNClassifier(window=4, filters=3, layers=2, pooling="attention", feature_gate=True),
]


def architecture(model):
    model.n_features_in_, model.n_outputs_ = 2, 3
    return model._architecture()


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_every_layer_is_named_alike_in_every_building(model):
    first, again = build_network(architecture(model)), build_network(architecture(model))
    names = [layer.name for layer in first._flatten_layers()]
    assert names == [layer.name for layer in again._flatten_layers()], "Keras has counted a name up"
    kinds = {re.sub(r"(?<!^)(?=[A-Z])", "_", type(layer).__name__).lower() for layer in first._flatten_layers()}
    own = [layer.name for layer in first.layers if not isinstance(layer, keras.layers.InputLayer)]
    assert not any(re.fullmatch(rf"{kind}(_\d+)?", name) for name, kind in itertools.product(own, kinds))
    paths = [variable.path for variable in first.trainable_variables]
    assert len(set(paths)) == len(paths) and paths == [variable.path for variable in again.trainable_variables]


def test_equal_architectures_share_a_network():
    assert network(architecture(MODELS[0])) is network(architecture(MODELS[0]))
    assert network(architecture(MODELS[0])) is not network(architecture(MODELS[1]))
