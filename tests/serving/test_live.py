import numpy as np
import pytest

from consilience.base import InvalidInput, InvalidState
from consilience.data import build_features
from consilience.registry import Registry
from consilience.serving import Live

pytestmark = pytest.mark.xdist_group("trained")


@pytest.fixture(scope="module")
def live(trained):
    return Live.load(Registry(trained.config.output.registry, create=False), "planted-direction")


def test_newest_rows_need_only_their_lookback(live, planted_bars):
    X = build_features(planted_bars)
    whole = live.predict_proba(X)
    newest = live.predict_newest(X, newest=3)
    assert len(newest) == 6
    np.testing.assert_allclose(newest.to_numpy(), whole[-6:], rtol=0, atol=1e-6)


def test_one_asset_alone_gives_what_it_gives_among_others(live, planted_bars):
    X = build_features(planted_bars)
    among = live.predict_newest(X, newest=2)
    name = X.index.get_level_values(0)[0]
    for alone in (X.loc[[name]], X.loc[name]):
        found = live.predict_newest(alone, newest=2)
        assert list(found.columns) == list(among.columns)
        assert (found.index == alone.index[-2:]).all()
        np.testing.assert_allclose(found.to_numpy(), among.loc[name].to_numpy(), rtol=0, atol=1e-6)
        np.testing.assert_allclose(live.predict_newest_proba(alone, 2), among.loc[name], rtol=0, atol=1e-6)
    with pytest.raises(InvalidInput, match="one asset"):
        live.predict_newest_proba(X)
    with pytest.raises(InvalidInput, match="time order"):
        live.predict_newest(X.loc[name].iloc[::-1])
    missing = X.loc[name].copy()
    missing.index = missing.index.where(np.arange(len(missing)) > 0)  # NaT sorts before every time
    with pytest.raises(InvalidInput, match="missing timestamp in row 0"):
        live.predict_newest(missing)
    for wrong in (0, True, len(X) + 1, 1.0):
        with pytest.raises(InvalidInput, match="'n'"):
            live.predict_newest_proba(X.loc[name], wrong)


def test_fewer_rows_than_asked_for_are_all_given(live, planted_bars):
    X = build_features(planted_bars)
    alone = X.loc[X.index.get_level_values(0)[0]].iloc[:100]
    assert len(live.predict_newest(alone, newest=1000)) == 100


def test_bars_give_what_their_features_give(live, planted_bars, trained):
    np.testing.assert_allclose(live.predict_bars(planted_bars, 5).to_numpy(), trained.latest.to_numpy(), atol=1e-9)


def test_a_contract_without_known_features_is_refused(live):
    with pytest.raises(InvalidState, match="contract"):
        Live(live.predictor, {"features": ["unheard_of"], "label": "direction_1d"})


def test_wrong_counts_are_refused(live, planted_bars):
    with pytest.raises(InvalidInput, match="newest"):
        live.predict_bars(planted_bars, 0)


def test_what_compiles_has_done_so_after_loading(monkeypatch):
    class Member:
        warmed = 0

        def warm(self):
            self.warmed += 1

    class Ensemble:
        lookback = 0

        def __init__(self):
            self.members_ = {
                "net": Member(),
                "tree": object(),
                "inner": type("Inner", (), {"members_": {"n": Member()}}),
            }

    class Store:
        def show(self, ref):
            return type("Version", (), {"contract": {"features": ["ret_1"]}})

        def load(self, ref):
            return Ensemble()

    members = Live.load(Store(), "any").predictor.members_
    assert members["net"].warmed == 1 and members["inner"].members_["n"].warmed == 1
