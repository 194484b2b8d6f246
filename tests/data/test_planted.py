import numpy as np
import pandas as pd
import pytest

from consilience.base import InvalidInput
from consilience.data import build_labels, planted_market
from consilience.data.planted import Strength


def test_the_same_seed_gives_the_same_market():
    pd.testing.assert_frame_equal(planted_market(4, 100)[0], planted_market(4, 100)[0])
    assert not planted_market(4, 100)[0].equals(planted_market(5, 100)[0])


def test_moves_follow_the_stated_probability():
    bars, truth = planted_market(0, n_bars=20_000, n_assets=1)
    up = build_labels(bars).y.to_numpy()[:-1]
    p = truth["p_up"].to_numpy()[:-1]
    for low in np.arange(0.1, 0.9, 0.1):
        inside = (p >= low) & (p < low + 0.1)
        assert abs(up[inside].mean() - p[inside].mean()) < 4 * np.sqrt(0.25 / inside.sum())


def test_without_strength_there_is_nothing_to_find():
    _, truth = planted_market(0, 500, strength=Strength(0, 0, 0, 0))
    assert (truth["p_up"] == 0.5).all()


def test_sizes_are_checked():
    with pytest.raises(InvalidInput, match="n_bars"):
        planted_market(n_bars=5)
    with pytest.raises(InvalidInput, match="n_assets"):
        planted_market(n_assets=0)
