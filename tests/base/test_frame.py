import numpy as np
import pandas as pd
import pytest

from consilience.base import InvalidInput, context_rows, predict_rows, time_axis


def panel(n=10):
    index = pd.MultiIndex.from_product([pd.bdate_range("2020-01-01", periods=n), ["b", "a"]], names=["time", "asset"])
    return pd.DataFrame({"f": np.arange(2.0 * n)}, index=index.swaplevel())


def test_assets_are_coded_in_name_order():
    axis = time_axis(panel())
    assert axis.asset_names == ("a", "b")
    assert axis.assets[:4].tolist() == [1, 0, 1, 0]


def test_arrays_are_one_series_numbered_by_row():
    axis = time_axis(np.zeros((3, 2)))
    assert axis.times.tolist() == [0, 1, 2] and axis.assets.tolist() == [0, 0, 0]


@pytest.mark.parametrize("order", [[0, 2, 1], [0, 1, 1]])
def test_times_that_go_back_or_repeat_are_refused_with_the_row(order):
    X = pd.DataFrame({"f": [1.0, 2.0, 3.0]}, index=pd.bdate_range("2020-01-01", periods=3)[order])
    with pytest.raises(InvalidInput, match="row 2"):
        time_axis(X)


def test_context_never_crosses_an_asset_or_a_gap():
    axis = time_axis(panel())
    blocks = context_rows(axis, np.array([4, 5, 6, 7, 14, 15]), lookback=2)
    assert len(blocks) == 4  # two assets, two runs each
    for positions, keep in blocks:
        assert len(set(axis.assets[positions])) == 1
        assert (np.diff(positions) == 2).all()
        assert keep.sum() in (1, 2) and not keep[:2].any()


def test_predict_rows_gives_each_row_its_own_output():
    X = panel()

    def rolling(frame):  # the sum of a row and the one before it: needs lookback 1
        values = frame["f"].to_numpy()
        return values + np.concatenate([[np.nan], values[:-1]])

    rows = np.array([3, 6, 7, 12])
    out = predict_rows(rolling, X, rows, 1)
    np.testing.assert_array_equal(out, X["f"].to_numpy()[rows] + X["f"].to_numpy()[rows - 2])


def test_one_series_is_asked_for_where_rows_cannot_be_told_apart():
    from consilience.base.frame import check_one_series

    X = panel()
    with pytest.raises(InvalidInput, match=r"those of several \(b, a, …\)"):
        check_one_series(X)
    own = X[X.index.get_level_values("asset") == "a"]
    check_one_series(own)
    check_one_series(own.to_numpy())
    check_one_series(own.droplevel("asset"))
    for backwards in (own[::-1], own.droplevel("asset")[::-1]):
        with pytest.raises(InvalidInput, match="time order"):
            check_one_series(backwards)
    with pytest.raises(InvalidInput, match="two levels"):
        check_one_series(pd.concat({1: own}))
