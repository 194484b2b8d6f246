import numpy as np
import pandas as pd
import pytest

from consilience.base import InvalidInput
from consilience.data import check_bars, load_csv, load_demo, planted_market


def table(n=6):
    close = 100 + np.arange(n, dtype=float)
    return pd.DataFrame(
        {
            "date": pd.bdate_range("2024-01-01", periods=n).strftime("%Y-%m-%d"),
            "open": close - 0.5,
            "high": close + 1,
            "low": close - 1,
            "close": close,
            "volume": 1000.0,
        }
    )


def written(tmp_path, frame):
    path = tmp_path / "prices.csv"
    frame.to_csv(path, index=False)
    return path


def test_a_file_without_assets_is_one_asset_named_after_it(tmp_path):
    bars = load_csv(written(tmp_path, table()))
    assert list(bars.columns) == ["open", "high", "low", "close", "volume"]
    assert bars.index[0] == ("prices", pd.Timestamp("2024-01-01"))


def test_a_panel_comes_out_in_time_order_whatever_the_order_of_assets(tmp_path):
    panel = pd.concat([table().assign(asset="b"), table().assign(asset="a")])
    bars = load_csv(written(tmp_path, panel))
    assert bars.index.get_level_values("asset").tolist()[:4] == ["a", "b", "a", "b"]
    assert bars.index.get_level_values("time").is_monotonic_increasing


def changed(column, row, value):
    frame = table().astype({column: object})
    frame.loc[row, column] = value
    return frame


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (table().drop(columns="close").assign(clsoe=1.0), ["'close'", "Did you mean 'clsoe'?"]),
        (table().iloc[[0, 2, 1, 3]], ["not in time order", "2024-01-02"]),
        (table().iloc[[0, 1, 1, 2]], ["two rows", "2024-01-02"]),
        (changed("close", 2, np.nan), ["line 4", "close", "missing"]),
        (changed("close", 2, "abc"), ["line 4", "'abc'"]),
        (changed("high", 2, np.inf), ["high", "2024-01-03", "finite"]),
        (changed("low", 3, -1.0), ["low", "2024-01-04", "above zero"]),
        (changed("close", 3, 0.0), ["close", "above zero"]),
        (changed("volume", 3, -1.0), ["volume", "zero or more"]),
        (changed("high", 1, 3.0), ["high 3 is below low"]),
        (changed("date", 1, "soon"), ["line 3", "'soon'", "not a date"]),
        (table().iloc[:0], ["no rows"]),
    ],
)
def test_bad_files_end_in_one_line_that_says_where(tmp_path, frame, words):
    with pytest.raises(InvalidInput) as caught:
        load_csv(written(tmp_path, frame))
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert word in text


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00\x01\x02", b'a,b\n"1,2\n3'])
def test_files_that_are_no_csv_are_refused(tmp_path, content):
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"x\.csv"):
        load_csv(path)


def test_a_missing_file_is_named():
    with pytest.raises(InvalidInput, match=r"no file nowhere\.csv"):
        load_csv("nowhere.csv")


def test_the_demo_is_two_indices_over_twenty_years():
    bars = load_demo()
    assert bars.index.get_level_values("asset").unique().tolist() == ["NASDAQ", "SP500"]
    assert len(bars) == 10062 and str(bars.index[-1][1].date()) == "2018-12-31"


def test_check_bars_changes_nothing_in_good_bars():
    bars, _ = planted_market(3, n_bars=30)
    pd.testing.assert_frame_equal(check_bars(bars), bars)
