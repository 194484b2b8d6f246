import numpy as np
import pytest

from consilience.base import InvalidInput
from consilience.ensemble.abstention import check_threshold, positions


def test_two_and_three_classes():
    assert positions(np.array([[0.6, 0.4], [0.4, 0.6]])).tolist() == [-1, 1]
    assert positions(np.array([[0.5, 0.3, 0.2], [0.2, 0.6, 0.2], [0.1, 0.3, 0.6]])).tolist() == [-1, 0, 1]


@pytest.mark.parametrize("threshold", np.linspace(0.5, 1.0, 6))
def test_below_the_threshold_there_is_no_position(threshold):
    proba = np.random.default_rng(0).dirichlet([1, 1], 200)
    taken = positions(proba, threshold) != 0
    np.testing.assert_array_equal(taken, proba.max(axis=1) >= threshold)


@pytest.mark.parametrize("threshold", [-0.1, 1.5, True])
def test_thresholds_that_are_no_probability(threshold):
    with pytest.raises(InvalidInput, match="confidence_threshold"):
        check_threshold(threshold, "Stack")
