"""Permutation importances and the pictures."""

import numpy as np
import pytest

from consilience.base import InvalidInput
from consilience.boosting import (
    LightGBMClassifier,
    LogisticClassifier,
    RidgeRegressor,
    permutation_importances,
    plot_contributions,
    plot_importances,
)
from tests.contracts.predictor import market


@pytest.mark.parametrize("metric", [None, "accuracy"])
@pytest.mark.parametrize("as_array", [False, True])
def test_the_shuffled_feature_is_missed(metric, as_array):
    X, y = market(600)
    X = X.to_numpy() if as_array else X
    model = LogisticClassifier(C=1.0).fit(X[:400], y[:400])
    found = permutation_importances(model, X[400:], y[400:], metric=metric)
    assert list(found.index[:2]) == (["x0", "x1"] if as_array else ["f0", "f1"])
    assert found["mean"].iloc[0] > 0.05 and abs(found["mean"].iloc[-1]) < 0.03
    again = permutation_importances(model, X[400:], y[400:], metric=metric)
    np.testing.assert_array_equal(found, again)


def test_a_panel_and_a_regressor():
    X, _ = market(200, assets=2)
    y = X["f2"].to_numpy() * 2.0
    assert permutation_importances(RidgeRegressor().fit(X, y), X, y, n_repeats=2).index[0] == "f2"


def test_an_unknown_metric_is_named():
    X, y = market(100)
    with pytest.raises(InvalidInput, match="log_loss"):
        permutation_importances(LogisticClassifier().fit(X, y), X, y, metric="sharpe")


def test_pictures_show_what_they_are_given():
    X, y = market(200)
    model = LightGBMClassifier(n_estimators=20).fit(X, y)
    axes = plot_importances(model.feature_importances_, top=2)
    assert [label.get_text() for label in axes.get_yticklabels()][-1] == model.feature_importances_.idxmax()
    assert len(axes.patches) == 2
    assert len(plot_importances(permutation_importances(model, X, y, n_repeats=2)).patches) == 4
    parts = model.contributions(X)
    axes = plot_contributions(parts, row=3, top=2)
    widths = {label.get_text(): bar.get_width() for label, bar in zip(axes.get_yticklabels(), axes.patches)}
    assert len(widths) == 3 and sum(widths.values()) == pytest.approx(parts.iloc[3, :4].sum())
    assert plot_contributions(parts, axes=axes) is axes
    several = LightGBMClassifier(n_estimators=5).fit(X, np.digitize(X["f0"], [-0.5, 0.5])).contributions(X)
    with pytest.raises(InvalidInput, match="several classes"):
        plot_contributions(several)
    assert len(plot_contributions(several[0]).patches) == 4
