"""Degenerate numbers through the networks: what goes in is standardised and clipped, whatever its scale."""

import numpy as np
import pytest
from hypothesis import strategies as st

from consilience.base.windows import sliding_windows
from consilience.keras_models import CNNClassifier, LSTMClassifier, TransformerRegressor
from consilience.keras_models.scaling import LIMIT, Scaler
from tests.contracts.degenerate import any_case, check_degenerate
from tests.support.campaign import holds_for
from tests.support.degenerate import CASES, case

pytestmark = pytest.mark.xdist_group("keras")

TINY = {"window": 3, "epochs": 1, "batch_size": 64, "random_state": 0}
MODELS = {
    "LSTMClassifier": LSTMClassifier(**TINY, units=2),
    "CNNClassifier": CNNClassifier(**TINY, filters=2, layers=1),
    "TransformerRegressor": TransformerRegressor(**TINY, width=2),
}
REFUSED = {"all labels equal", "2 rows"}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("model", MODELS)
def test_degenerate_inputs(model, name):
    assert check_degenerate(MODELS[model], case(name)) or name in REFUSED


@pytest.mark.filterwarnings("error")
@holds_for(any_case())
def test_what_a_network_reads_is_finite(drawn):
    """The standardised columns and targets, also of later rows far outside the training range."""
    scaler = Scaler.fit(drawn.X)
    later = np.concatenate([drawn.X, drawn.X * 3.0, -drawn.X, np.full_like(drawn.X, 1e300)])
    scaled = scaler.transform(later)
    assert np.isfinite(scaled).all() and np.abs(scaled).max() <= LIMIT
    assert np.isfinite(scaler.inverse(scaled.astype(np.float64))).all()
    windows = sliding_windows(drawn.X, 3, transform=scaler.transform)
    assert np.isfinite(windows.left_padded(np.arange(drawn.n_rows))).all()


@pytest.mark.parametrize("scale", [1e-280, 1e-9, 1e280])
def test_scaling_does_not_depend_on_the_scale(scale):
    X = case("60 rows").X
    np.testing.assert_allclose(Scaler.fit(X * scale).transform(X * scale), Scaler.fit(X).transform(X), rtol=1e-5)


@holds_for(st.integers(1, 40), st.floats(-1e6, 1e6), suite=50)
def test_a_column_that_is_constant_but_for_rounding_stays_constant(n, value):
    column = np.full((n, 1), value) * (1.0 + 2e-16 * np.random.default_rng(n).standard_normal((n, 1)))
    assert np.abs(Scaler.fit(column).transform(column)).max() < 1e-6
