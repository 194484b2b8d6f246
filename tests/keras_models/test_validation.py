"""Validation rows are read strictly, and scored through the windows that their predictions would see."""

import numpy as np
import pandas as pd
import pytest

from consilience.base import InvalidInput
from consilience.keras_models import LSTMClassifier, LSTMRegressor
from consilience.keras_models.scaling import Scaler
from consilience.keras_models.validation import Validation, validation_windows
from tests.contracts.predictor import market

pytestmark = pytest.mark.xdist_group("keras")

TINY = {"window": 5, "units": 4, "epochs": 1, "batch_size": 64, "random_state": 0}
X, Y = market()


def broken():
    rows = X[120:].copy()
    rows.iloc[2, 1] = np.nan
    return rows


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        (X[120:], "a pair"),
        ((X[120:],), "a pair"),
        ((X[120:], Y[121:]), "has 40 rows, its y 39"),
        ((X[120:], 1), "has 40 rows, its y no"),
        ((X[120:], np.c_[Y[120:], Y[120:]]), "has 2 columns"),
        ((X[110:], Y[110:]), r"must be later .* begin at 2020-06-03.* end at 2020-06-16"),
        ((X[120:], np.full(40, 7)), "label 7"),
        ((X[120:], np.where(Y[120:] == 1, np.nan, 0.0)), "label nan"),
        ((broken(), Y[120:]), "column 'f1' has NaN in 1 of 40 rows, first in row 2"),
        ((X[120:].rename(columns={"f1": "g"}), Y[120:]), "lacks the column 'f1'"),
    ],
)
def test_what_a_classifier_refuses(validation, message):
    with pytest.raises(InvalidInput, match=message) as caught:
        LSTMClassifier(**TINY).fit(X[:120], Y[:120], validation=validation)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.zeros((40, 2)), "2 columns; LSTMRegressor was given 1"),
        (np.where(Y[120:] == 1, np.nan, 0.0), "missing or infinite"),
        (np.array(["a"] * 40), "must hold numbers"),
    ],
)
def test_what_a_regressor_refuses(y, message):
    with pytest.raises(InvalidInput, match=message):
        LSTMRegressor(**TINY).fit(X[:120], X["f0"][:120], validation=(X[120:], y))


def test_later_is_by_time_for_a_panel():
    panel, y = market(assets=2)
    order = np.argsort(panel.index.get_level_values("asset"), kind="stable")
    panel, y = panel.iloc[order], y[order]  # all of a0, then all of a1
    when = panel.index.get_level_values("time")
    early, late = when < when[120], when > when[120]
    LSTMClassifier(**TINY).fit(panel[early], y[early], validation=(panel[late], y[late]))
    own = panel.index.get_level_values("asset") == "a0"
    with pytest.raises(InvalidInput, match="must be later"):
        LSTMClassifier(**TINY).fit(panel[own], y[own], validation=(panel[~own], y[~own]))


def seen(X, held, window=5):
    """The first feature of each scored row's window, by row position, and those positions."""
    scaler = Scaler(np.zeros(X.shape[1]), np.ones(X.shape[1]))
    given = Validation(held, held.to_numpy(), np.zeros(len(held)))
    windows, scored = validation_windows(X, X.to_numpy(), given, window, scaler)
    rows = windows.left_aligned(np.arange(len(windows)))[..., 0]
    return [row[:n].tolist() for row, n in zip(rows, windows.lengths, strict=True)], scored.tolist()


def series(values, start="2020-01-01", freq="D"):
    return pd.DataFrame({"f": np.asarray(values) / 10.0}, index=pd.date_range(start, periods=len(values), freq=freq))


def test_rows_that_follow_directly_see_the_training_rows_before_them():
    X = series(range(20))
    windows, scored = seen(X[:10], X[10:])
    assert scored == list(range(10))
    np.testing.assert_allclose(windows[0], [0.6, 0.7, 0.8, 0.9, 1.0])
    np.testing.assert_allclose(windows[9], [1.5, 1.6, 1.7, 1.8, 1.9])


def test_no_window_reaches_over_a_purged_gap():
    X = series(range(40))
    windows, scored = seen(X[:10], X[12:])
    assert scored == list(range(4, 28)), "the rows whose windows would be short are context only"
    np.testing.assert_allclose(windows[0], [1.2, 1.3, 1.4, 1.5, 1.6])
    windows, scored = seen(X[:10], X[12:18])
    assert scored == list(range(6)), "too few rows to leave any out"
    np.testing.assert_allclose(windows[0], [1.2])


def test_a_weekend_is_no_gap_to_rows_that_have_weekends():
    X = series(range(40), "2020-01-06", "B")
    assert X.index[10].day_of_week == 0
    windows, _ = seen(X[:10], X[10:])
    np.testing.assert_allclose(windows[0], [0.6, 0.7, 0.8, 0.9, 1.0])
    assert len(seen(X[:5], X[5:])[0][0]) == 5 and seen(X[:5], X[5:])[1][0] == 4, "none was seen in one week of training"


def test_each_asset_has_its_own_context():
    X = series(range(20))
    panel = pd.concat({"a": X, "b": -X, "c": 2 * X}, names=["asset", "time"])
    when, asset = panel.index.get_level_values("time"), panel.index.get_level_values("asset")
    train = (when < X.index[10]) & (asset != "c")
    held = ((when >= X.index[10]) & (asset != "b")) | ((when >= X.index[12]) & (asset == "b"))
    windows, scored = seen(panel[train], panel[held])
    assert scored == [*range(10), *range(14, 18), *range(22, 28)], "b has a gap, c is new"
    np.testing.assert_allclose(windows[0], [0.6, 0.7, 0.8, 0.9, 1.0])
    np.testing.assert_allclose(windows[10], [-1.2, -1.3, -1.4, -1.5, -1.6])
    np.testing.assert_allclose(windows[14], [2.0, 2.2, 2.4, 2.6, 2.8])


def test_rows_without_times_are_not_joined():
    X = series(range(30)).reset_index(drop=True)
    windows, scored = seen(X[:10], X[10:])
    assert scored == list(range(4, 20))
    np.testing.assert_allclose(windows[0], [1.0, 1.1, 1.2, 1.3, 1.4])


def test_the_curve_is_the_loss_of_predictions_with_their_context():
    model = LSTMClassifier(**{**TINY, "epochs": 3}).fit(X[:120], Y[:120], validation=(X[120:], Y[120:]))
    proba = model.predict_proba(X)[np.arange(120, 160), Y[120:]]
    assert -np.log(proba).mean() == pytest.approx(min(model.history_["val_loss"]), abs=1e-5)
