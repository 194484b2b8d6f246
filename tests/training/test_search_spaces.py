import pytest

from consilience.base import InvalidInput, predictor_class
from consilience.training import Config
from consilience.training.search_spaces import SPACES, Choice, space_of, suggest


class Lowest:
    """Stands for a trial: draws the lowest value of every range and remembers the names."""

    def suggest_float(self, name, low, high, log):
        assert low < high and (low > 0 or not log)
        return low

    def suggest_int(self, name, low, high, log):
        assert low < high and isinstance(low, int)
        return low

    def suggest_categorical(self, name, values):
        return values[0]


@pytest.mark.parametrize("model", SPACES)
def test_a_space_varies_parameters_that_the_model_has_and_accepts(model):
    drawn = suggest(Lowest(), space_of(model))
    assert set(drawn) == set(space_of(model))
    kind = predictor_class(model)
    parts = {name: None for name in ("encoders", "booster", "model", "regimes") if name in kind._get_param_names()}
    kind(**parts, **drawn)
    assert set(drawn) <= set(predictor_class(model)._get_param_names())


def test_every_member_of_the_demo_has_a_space():
    assert {member.model for member in Config().members.values()} <= set(SPACES)


def test_models_that_are_made_of_models_have_a_space():
    assert {"FusionClassifier", "RegimeSpecialistClassifier"} <= set(SPACES)


def test_choices_offer_something_to_choose():
    for space in SPACES.values():
        assert all(len(range_.values) > 1 for range_ in space.values() if isinstance(range_, Choice))


def test_a_model_without_a_space_is_refused():
    with pytest.raises(InvalidInput, match="Did you mean 'LSTMClassifier'"):
        space_of("LSTMClasifier")
