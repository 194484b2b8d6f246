import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import StandardScaler

from consilience.base import InvalidInput
from consilience.evaluation import audit, audit_pipeline


def prices(n=120, assets=("a",)):
    rng = np.random.default_rng(0)
    days = pd.bdate_range("2020-01-01", periods=n)
    frames = [
        pd.DataFrame(
            {"close": 100 * np.exp(np.cumsum(rng.normal(0, 0.01, n))), "volume": rng.integers(1, 99, n)}, index=days
        )
        for _ in assets
    ]
    return frames[0] if len(assets) == 1 else pd.concat(dict(zip(assets, frames)), names=["asset", "time"])


def honest(frame):
    close = frame["close"]
    return pd.DataFrame({"r": close.pct_change(), "z": close - close.rolling(10).mean(), "up": close.diff() > 0})


LEAKS = {
    "centred window": (lambda f: f["close"].rolling(5, center=True).mean(), 2),
    "whole-sample mean": (lambda f: f["close"] - f["close"].mean(), 0),
    "next bar": (lambda f: f["close"].shift(-1), 0),
    "back-filled": (lambda f: f["close"].where(np.arange(len(f)) % 10 == 9).bfill(), 0),
    "interpolated": (lambda f: f["close"].where(np.arange(len(f)) % 10 == 9).interpolate(), 10),
    "text": (lambda f: pd.Series(np.where(f["close"] > f["close"].median(), "high", "low"), index=f.index), None),
    "only the last bar": (lambda f: f["close"] * (1 + (f.index == f.index[-1]).any() * f["close"].iloc[-1]), 0),
}


@pytest.mark.parametrize("kind", LEAKS)
def test_a_planted_leak_is_named_with_its_first_row(kind):
    leaky, first = LEAKS[kind]
    result = audit_pipeline(lambda f: honest(f).assign(leaky=leaky(f)), prices())
    assert [leak.column for leak in result.leaks] == ["leaky"] and not result.passed
    if first is not None:
        assert result.leaks[0].row == first
        assert result.leaks[0].time == str(prices().index[first].date())
    assert "'leaky' looks ahead" in str(result)


def test_honest_features_pass():
    result = audit(honest, prices())
    assert result.passed and str(result).startswith("No look-ahead found: 3 columns")


def test_a_panel_is_cut_at_the_same_time_for_all_assets():
    frame = prices(60, ("a", "b", "c"))

    def cross_section(f):  # today's mean over assets: known today
        return f["close"] - f["close"].groupby(level="time").transform("mean")

    def tomorrow(f):
        return f["close"].groupby(level="asset").shift(-1).groupby(level="time").transform("mean")

    assert audit(cross_section, frame).passed
    leak = audit(tomorrow, frame).leaks[0]
    assert leak.row == 0 and leak.time == "a 2020-01-01"


def test_a_pipeline_that_scales_with_the_whole_sample_leaks_and_arrays_are_accepted():
    result = audit(lambda f: StandardScaler().fit_transform(f), prices())
    assert {leak.column for leak in result.leaks} == {"output 0", "output 1"}
    scaler = StandardScaler().fit(prices().iloc[:60])
    assert audit(scaler.transform, prices()).passed


def test_rows_that_are_dropped_are_compared_as_missing():
    assert audit(lambda f: honest(f).dropna(), prices()).passed
    result = audit(lambda f: honest(f).iloc[: len(f) - 5], prices())
    assert not result.passed and "becomes missing" in str(result)


def test_what_cannot_be_audited_is_said():
    with pytest.raises(InvalidInput, match="four rows"):
        audit(honest, prices(3))
    with pytest.raises(InvalidInput, match="seed it"):
        audit(lambda f: f["close"] * np.random.default_rng().random(), prices())
    with pytest.raises(InvalidInput, match="119 rows"):
        audit(lambda f: np.diff(f["close"]), prices())
