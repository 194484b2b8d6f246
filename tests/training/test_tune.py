import pytest

from consilience.evaluation.ledger import Ledger
from consilience.training import Config, tune
from consilience.training.problem import build_problem, load_bars
from tests.training.markets import small_config


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    config = small_config(tmp_path_factory.mktemp("tuned"))
    config = Config.model_validate({**config.dump(), "members": {"logistic": {"model": "LogisticClassifier"}}})
    return config, tune(config, "logistic", 3)


def test_the_best_settings_become_a_config_that_loads(searched):
    config, found = searched
    tuned = Config.load(found.config)
    assert tuned.members["logistic"].params == found.params
    assert tuned.model_copy(update={"members": config.members}) == config
    assert found.log_loss <= found.start_log_loss


def test_every_trial_and_the_start_are_counted_in_the_ledger(searched):
    config, found = searched
    problem = build_problem(config, load_bars(config)[0])
    trials = Ledger(found.ledger).trials(problem.data_id)
    assert len(trials) == 4 and {trial.kind for trial in trials} == {"tune"}
    assert all(trial.sharpe is not None for trial in trials)


def test_the_same_search_goes_on_where_it_stopped(searched):
    config, found = searched
    before = len(Ledger(found.ledger).all())
    again = tune(config, "logistic", 4)
    assert again.n_trials == 4
    assert len(Ledger(found.ledger).all()) == before + 2  # the start and the one trial that was missing
