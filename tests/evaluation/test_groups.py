import numpy as np
import pandas as pd
import pytest

from consilience.base import InvalidInput, time_axis
from consilience.evaluation.classification import classification_metrics
from consilience.evaluation.groups import floor_intervals, group_scores, market_groupings


def panel(n=260):
    rng = np.random.default_rng(0)
    index = pd.MultiIndex.from_product([["good", "bad"], pd.bdate_range("2020-01-01", periods=n)])
    y = rng.integers(0, 2, 2 * n)
    skill = np.where(index.get_level_values(0) == "good", 1.0, -1.0)
    up = 1 / (1 + np.exp(-(skill * (2 * y - 1) + rng.standard_normal(2 * n))))
    return pd.DataFrame({"f": up}, index=index), y, np.column_stack([1 - up, up])


def test_each_group_is_scored_on_its_own_rows():
    X, y, proba = panel()
    axis = time_axis(X)
    regime = np.arange(len(y)) % 3
    groupings = market_groupings(axis, np.arange(len(y)), proba, regime)
    assert set(groupings) == {"side", "asset", "weekday", "year", "regime"}
    table = group_scores(y, proba, np.array([0, 1]), axis.times, groupings, n_samples=60)
    assert table.loc[("asset", "good"), "auc"] > 0.7 > 0.3 > table.loc[("asset", "bad"), "auc"]
    rows = np.flatnonzero(groupings["weekday"] == "Friday")
    own = classification_metrics(y[rows], proba[rows], np.array([0, 1]))
    line = table.loc[("weekday", "Friday")]
    assert line["n"] == len(rows)
    for name in ("auc", "accuracy", "log_loss"):
        assert line[name] == pytest.approx(own[name])
        assert line[f"{name}_lower"] <= line[name] <= line[f"{name}_upper"]
    floors = floor_intervals(table)
    assert set(floors["asset"]) == {"good", "bad"} and floors["asset"]["bad"].upper < 0.5


def test_small_groups_are_left_out_and_an_auc_of_one_class_is_missing():
    y, proba = np.r_[np.zeros(40, int), np.ones(40, int)], np.full((80, 2), 0.5)
    groupings = {"half": np.repeat(["a", "b"], 40), "few": np.repeat(["x", "y"], [75, 5])}
    table = group_scores(y, proba, np.array([0, 1]), np.arange(80), groupings, n_samples=20)
    assert ("few", "y") not in table.index and np.isnan(table.loc[("half", "a"), "auc"])
    assert "half" not in floor_intervals(table)
    assert floor_intervals(group_scores(y, proba, np.array([0, 1]), np.arange(80), {}, n_samples=5)) == {}
    with pytest.raises(InvalidInput, match="'half'"):
        group_scores(y, proba, np.array([0, 1]), np.arange(80), {"half": np.zeros(3)})
