import numpy as np
import pandas as pd
import pytest

from consilience.base import InvalidInput
from consilience.data import build_labels, planted_market


def test_direction_is_the_future_move_of_the_same_asset():
    bars, _ = planted_market(1, n_bars=40)
    labels = build_labels(bars, "direction_3d")
    for asset in ("PLANTED1", "PLANTED2"):
        close = bars.loc[asset, "close"].to_numpy()
        times = bars.loc[asset].index
        y = labels.y.loc[asset].to_numpy()
        np.testing.assert_array_equal(y[:-3], close[3:] > close[:-3])
        assert np.isnan(y[-3:]).all()
        assert (labels.label_end.loc[asset].iloc[:-3].to_numpy() == times[3:].to_numpy()).all()
        np.testing.assert_allclose(labels.forward_return.loc[asset].to_numpy()[:-3], close[3:] / close[:-3] - 1)
    assert labels.known.sum() == 2 * 37


def test_an_unchanged_close_is_not_up():
    index = pd.MultiIndex.from_product([["X"], pd.bdate_range("2024-01-01", periods=2)])
    assert build_labels(pd.DataFrame({"close": [5.0, 5.0]}, index=index)).y.iloc[0] == 0.0


@pytest.mark.parametrize("name", ["direction", "direction_0d", "direction_-1d", "up_1d", None, "direction_1d\n"])
def test_unknown_labels_are_refused(name):
    with pytest.raises(InvalidInput, match="direction_Nd"):
        build_labels(planted_market(1, n_bars=20)[0], name)
