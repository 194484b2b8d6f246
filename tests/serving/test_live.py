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
