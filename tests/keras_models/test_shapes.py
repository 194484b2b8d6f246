"""The shapes that a stored state is held to are those of the network that would be built."""

import pytest

from consilience.keras_models import CNNClassifier, LSTMClassifier, TransformerClassifier
from consilience.keras_models.architecture import network
from consilience.keras_models.shapes import weight_shapes

pytestmark = pytest.mark.xdist_group("keras")


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
