"""Agreement with independent libraries: scikit-learn, SciPy, empyrical-reloaded and quantstats."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from consilience.base import InvalidInput
from consilience.evaluation.classification import calibration_noise
from consilience.evaluation.metrics import (
    calibration_curve,
    calibration_error,
    classification_metrics,
    regression_metrics,
    trading_metrics,
)
from tests.reference.evaluation_finance import EXPECTED, NAMES, series


@pytest.mark.parametrize("kind", EXPECTED)
def test_trading_measures_agree_with_empyrical_and_quantstats(kind):
    found = trading_metrics(series(kind), periods_per_year=252)
    for name, value in zip(NAMES, EXPECTED[kind]):
        assert found[name] == pytest.approx(value, rel=1e-9, abs=1e-12), name


@st.composite
def forecasts(draw):
    """Labels and probabilities of two to four classes, with ties, certainty and absent classes among them."""
    k, n = draw(st.integers(2, 4)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    raw = rng.random((n, k)) ** draw(st.sampled_from([1, 8])) + 1e-6
    if draw(st.booleans()):
        raw = np.round(raw, 1) + 0.1
    y = rng.integers(0, draw(st.integers(1, k)), n)
    return y, raw / raw.sum(axis=1, keepdims=True), np.arange(k)


@settings(max_examples=150, deadline=None)
@given(forecasts())
def test_classification_measures_agree_with_scikit_learn(forecast):
    y, proba, classes = forecast
    found, guess = classification_metrics(y, proba, classes), proba.argmax(axis=1)
    average = {"average": "binary"} if len(classes) == 2 else {"average": "macro", "labels": classes}
    expected = {
        "log_loss": metrics.log_loss(y, proba, labels=classes),
        "accuracy": metrics.accuracy_score(y, guess),
        "precision": metrics.precision_score(y, guess, zero_division=0.0, **average),
        "recall": metrics.recall_score(y, guess, zero_division=0.0, **average),
        "mcc": metrics.matthews_corrcoef(y, guess),
        "balanced_accuracy": np.mean([metrics.accuracy_score(y[y == c], guess[y == c]) for c in np.unique(y)]),
        "brier": np.mean(((np.eye(len(classes))[y] - proba) ** 2).sum(axis=1)) / (2 if len(classes) == 2 else 1),
    }
    if len(np.unique(y)) == len(classes):
        expected["f1"] = metrics.f1_score(y, guess, zero_division=0.0, **average)
        scores = proba[:, 1] if len(classes) == 2 else proba
        expected["auc"] = metrics.roc_auc_score(y, scores, multi_class="ovr", labels=classes)
    else:
        assert "auc" not in found, "it does not exist, so it must not be a number"
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-9, abs=1e-12), name
    assert all(np.isfinite(value) for value in found.values())


def test_calibration_error_by_hand_and_what_chance_gives():
    outcome, proba = np.array([0, 1, 1, 1], bool), np.array([0.2, 0.2, 0.9, 0.9])
    assert calibration_error(outcome, proba, 2) == pytest.approx((0.3 * 2 + 0.1 * 2) / 4)
    curve = calibration_curve(outcome, np.full(4, 0.7))
    assert curve["count"].tolist() == [4] and curve["frequency"].tolist() == [0.75]
    rng = np.random.default_rng(0)
    proba = rng.uniform(0.3, 0.7, 1000)
    errors = [calibration_error(rng.random(1000) < proba, proba) for _ in range(300)]
    assert calibration_noise(proba) == pytest.approx(np.mean(errors), rel=0.05)


numbers = st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(numbers, numbers), min_size=2, max_size=30))
def test_regression_measures_agree_with_scikit_learn_and_scipy(pairs):
    y, predicted = np.array(pairs).T
    found = regression_metrics(y, predicted)
    expected = {
        "rmse": metrics.root_mean_squared_error(y, predicted),
        "mae": metrics.mean_absolute_error(y, predicted),
        "r2": metrics.r2_score(y, predicted),
    }
    if np.ptp(y) > 0 and np.ptp(predicted) > 0:
        expected["rank_ic"] = stats.spearmanr(y, predicted).statistic
    else:
        assert found["rank_ic"] == 0.0
    if (y != 0).all():
        expected["mape"] = metrics.mean_absolute_percentage_error(y, predicted)
    else:
        assert "mape" not in found
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-9, abs=1e-12), name
    assert all(np.isfinite(value) for value in found.values())


def test_in_a_panel_the_rank_ic_is_the_mean_over_days():
    rng = np.random.default_rng(0)
    times = np.repeat(np.arange(20), 6)
    y = rng.standard_normal(120)
    predicted = y + rng.standard_normal(120)
    shuffled = rng.permutation(120)  # interleaved assets must not matter
    found = regression_metrics(y[shuffled], predicted[shuffled], times[shuffled])
    daily = [stats.spearmanr(y[times == t], predicted[times == t]).statistic for t in range(20)]
    assert found["rank_ic"] == pytest.approx(np.mean(daily), rel=1e-9)
    assert found["ic_ratio"] == pytest.approx(np.mean(daily) / np.std(daily, ddof=1), rel=1e-9)


def test_input_that_has_no_measure_is_a_named_error():
    classes = np.array([0, 1])
    for y, proba in (([], np.empty((0, 2))), ([0], [[np.nan, 1.0]]), ([0], [[0.7, 0.7]]), ([2], [[0.5, 0.5]])):
        with pytest.raises(InvalidInput):
            classification_metrics(y, proba, classes)
    for y, predicted in (([1.0], [1.0]), ([1.0, np.nan], [1.0, 1.0]), ([1.0, 2.0], [1.0])):
        with pytest.raises(InvalidInput):
            regression_metrics(y, predicted)
