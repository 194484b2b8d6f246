import numpy as np
import pytest

from consilience.base import InvalidInput
from consilience.evaluation.drift import effective_size, feature_drift, population_stability_index


def persistent(n, d, phi, rng):
    out, shocks = np.zeros((n + 100, d)), rng.standard_normal((n + 100, d)) * np.sqrt(1 - phi**2)
    for i in range(1, len(out)):
        out[i] = phi * out[i - 1] + shocks[i]
    return out[100:]


@pytest.mark.parametrize("phi", [0.0, 0.9])
@pytest.mark.parametrize("n, m", [(100, 100), (1000, 300)])
def test_no_drift_alarms_rarely_whatever_the_sample_size(phi, n, m):
    rng = np.random.default_rng(1)
    alarms = [
        len(feature_drift(persistent(n, 10, phi, rng), persistent(m, 10, phi, rng)).drifted) > 0 for _ in range(60)
    ]
    assert np.mean(alarms) <= 0.15


def test_ignoring_persistence_or_sample_size_is_seen_to_fail():
    rng = np.random.default_rng(1)
    naive = feature_drift(persistent(500, 20, 0.9, rng), persistent(300, 20, 0.9, rng), dependent=False)
    assert len(naive.drifted) > 10
    fixed = [population_stability_index(rng.standard_normal(100), rng.standard_normal(100))[0] > 0.1 for _ in range(50)]
    assert np.mean(fixed) > 0.5


@pytest.mark.parametrize(
    "change", [lambda x: x + 0.6, lambda x: 2 * x, lambda x: np.where(x > 0, 1.0, -1.0)], ids=["mean", "scale", "shape"]
)
def test_drift_is_found_and_named(change):
    rng = np.random.default_rng(2)
    train, test = persistent(1500, 6, 0.5, rng), persistent(500, 6, 0.5, rng)
    test[:, 3] = change(test[:, 3])
    found = feature_drift(train, test, names=list("abcdef"))
    assert "d" in found.drifted and len(found.drifted) <= 2
    assert found.drifted[0] == found.table["ks"].idxmax()


def test_degenerate_features():
    constant, rng = np.zeros((50, 1)), np.random.default_rng(0)
    assert feature_drift(constant, constant).drifted == ()
    assert feature_drift(constant, constant + 1).drifted == ("0",)
    gone = feature_drift(rng.random((50, 1)), np.full((50, 1), np.nan))
    assert gone.drifted == ("0",) and np.isfinite(gone.table["p_value"]).all()
    assert feature_drift(np.full((5, 1), np.nan), np.full((5, 1), np.nan)).drifted == ()
    with pytest.raises(InvalidInput, match="same columns"):
        feature_drift(np.zeros((5, 2)), np.zeros((5, 3)))


def test_effective_size_of_autoregressive_series():
    rng = np.random.default_rng(0)
    sizes = [effective_size(persistent(4000, 1, 0.8, rng)[:, 0]) for _ in range(10)]
    assert np.mean(sizes) == pytest.approx(4000 * (1 - 0.8) / (1 + 0.8), rel=0.2)
