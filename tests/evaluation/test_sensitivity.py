import numpy as np
import pandas as pd
import pytest

from consilience.base import InvalidInput
from consilience.evaluation.sensitivity import noise_sensitivity


def test_a_steep_predictor_is_more_sensitive_than_a_flat_one():
    X = pd.DataFrame(np.random.default_rng(0).standard_normal((300, 2)) * [1.0, 100.0], columns=["a", "b"])

    def proba(slope):
        def predict(frame):
            up = 1 / (1 + np.exp(-slope * frame["a"].to_numpy()))
            return np.column_stack([1 - up, up])

        return predict

    flat, steep = (noise_sensitivity(proba(slope), X) for slope in (0.1, 10.0))
    assert (steep["mean_change"] > 3 * flat["mean_change"]).all()
    assert flat["mean_change"].is_monotonic_increasing and (flat["flipped"] <= 0.3).all()
    assert noise_sensitivity(proba(1.0), X, scales=[0.0])["largest_change"].iloc[0] == 0.0
    with pytest.raises(InvalidInput):
        noise_sensitivity(proba(1.0), np.zeros(5))
