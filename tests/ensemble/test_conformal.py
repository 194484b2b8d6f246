import numpy as np
import pytest

from consilience.base import InvalidInput
from consilience.ensemble.conformal import (
    class_scores,
    class_sets,
    coverage_over_time,
    threshold,
    value_intervals,
    value_scores,
)


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95])
def test_coverage_on_exchangeable_classes(coverage):
    """Within 1.5 points of nominal, over 20 draws of calibration and test rows; the probabilities need not be right."""
    hits = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        odds = rng.standard_normal((3000, 3))
        codes = (odds + rng.gumbel(size=odds.shape)).argmax(axis=1)
        wrong = np.exp(2.5 * odds)
        proba = wrong / wrong.sum(axis=1, keepdims=True)
        scores = class_scores(proba[:1000], codes[:1000])
        sets = class_sets(proba[1000:], threshold(scores, coverage))
        hits.append(sets[np.arange(2000), codes[1000:]].mean())
    assert abs(np.mean(hits) - coverage) < 0.015


@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_coverage_on_exchangeable_values(coverage):
    hits = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        values, target = rng.standard_normal((2, 3000)) + rng.standard_normal(3000)
        ends = value_intervals(values[1000:], threshold(value_scores(values[:1000], target[:1000]), coverage))
        hits.append(((ends[:, 0] <= target[1000:]) & (target[1000:] <= ends[:, 1])).mean())
    assert abs(np.mean(hits) - coverage) < 0.015


def test_few_scores_exclude_nothing():
    assert threshold(np.array([0.1, 0.2]), 0.9) == np.inf
    assert class_sets(np.array([[0.99, 0.01]]), threshold(np.array([0.1]), 0.9)).all()


def test_threshold_is_the_rank_of_the_definition():
    scores = np.random.default_rng(0).random(57)
    assert threshold(scores, 0.9) == np.sort(scores)[int(np.ceil(58 * 0.9)) - 1]


def test_drift_is_reported_where_the_series_shifts_and_only_there():
    rng, time = np.random.default_rng(0), np.arange(5000)
    steady = np.abs(rng.standard_normal(5000))
    assert not coverage_over_time(steady, time, time + 1)["drifted"].any()
    shifted = np.where(time < 4000, steady, 2.0 * steady)
    report = coverage_over_time(shifted, time, time + 1)
    assert report["drifted"].tolist() == [False, False, False, True]
    assert report["drift"].iloc[-1] < -0.2 and report["start"].iloc[-1] == 4000


def test_only_known_labels_set_the_threshold():
    scores, time = np.linspace(0, 1, 100), np.arange(100)
    late = coverage_over_time(scores, time, time + 90, 0.9, 10)
    assert len(late) == 0 or (late["start"] > 90).all()


def test_more_blocks_than_rows_are_no_error():
    scores, time = np.linspace(0, 1, 4), np.arange(4)
    report = coverage_over_time(scores, time, time, 0.5, 10)
    assert len(report) <= 3 and (report["rows"] == 1).all()
    assert len(coverage_over_time(scores[:0], time[:0], time[:0])) == 0


@pytest.mark.parametrize(("parameter", "value"), [("n_blocks", 1), ("n_blocks", 2.5), ("coverage", 1.0)])
def test_reports_that_mean_nothing(parameter, value):
    time = np.arange(9)
    with pytest.raises(InvalidInput, match=f"'{parameter}' parameter of coverage_over_time"):
        coverage_over_time(time / 9, time, time, **{parameter: value})
