import numpy as np
import pandas as pd
import pytest

from consilience.base import InvalidInput
from consilience.data import FEATURES, WARM_UP, build_features, check_bars, planted_market


@pytest.fixture(scope="module")
def bars():
    return planted_market(5, n_bars=700)[0]


@pytest.mark.parametrize("name", FEATURES)
def test_no_feature_moves_when_the_future_is_cut_off_or_changed(bars, name):
    whole = build_features(bars, [name])
    for k in (2 * WARM_UP + 41, 2 * WARM_UP + 300, len(bars) - 2):
        early = build_features(bars.iloc[:k], [name])
        pd.testing.assert_frame_equal(early, whole.loc[early.index], check_exact=True)
        other = bars.copy()
        other.iloc[k:] = other.iloc[k:] * 1.7
        pd.testing.assert_frame_equal(build_features(other, [name]).loc[early.index], whole.loc[early.index])


def test_the_causality_test_sees_a_planted_leak(bars, monkeypatch):
    monkeypatch.setitem(FEATURES, "leak", lambda b: np.append(b["close"][1:], b["close"][-1]))
    with pytest.raises(AssertionError):
        test_no_feature_moves_when_the_future_is_cut_off_or_changed(bars, "leak")


def test_a_file_that_starts_later_gives_the_same_features(bars):
    whole = build_features(bars)
    later = build_features(bars.iloc[2 * 150 :])
    np.testing.assert_allclose(later.to_numpy(), whole.loc[later.index].to_numpy(), rtol=0, atol=1e-6)


def test_assets_do_not_touch_each_other(bars):
    one = bars.loc[["PLANTED2"]]
    pd.testing.assert_frame_equal(build_features(one), build_features(bars).loc[["PLANTED2"]])


def test_flat_prices_and_no_volume_give_finite_features(bars):
    flat = bars.loc[["PLANTED1"]].copy()
    flat[["open", "high", "low", "close"]] = 10.0
    flat["volume"] = 0.0
    assert np.isfinite(build_features(check_bars(flat)).to_numpy()).all()


def test_features_are_free_of_the_price_level(bars):
    scaled = bars.copy()
    scaled[["open", "high", "low", "close"]] *= 1000.0
    np.testing.assert_allclose(build_features(scaled), build_features(bars), atol=1e-6)


def test_too_few_bars_and_unknown_names_are_refused(bars):
    with pytest.raises(InvalidInput, match=r"PLANTED1 has 250 bars"):
        build_features(bars.iloc[: 2 * WARM_UP])
    with pytest.raises(InvalidInput, match="Did you mean 'rsi_14'"):
        build_features(bars, ["rsi14"])
