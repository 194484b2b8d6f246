import numpy as np
import pytest

from consilience.training.fragility import fragility_tables, training_metrics
from consilience.training.problem import build_problem, load_bars

pytestmark = pytest.mark.xdist_group("trained")


@pytest.fixture(scope="module")
def problem(trained):
    return build_problem(trained.config, load_bars(trained.config)[0])


class Follows:
    """A model that follows one feature and no other."""

    classes_ = np.array([0, 1])

    def __init__(self, name):
        self.name = name

    def predict_proba(self, X):
        up = (X[self.name].to_numpy() > X[self.name].median()).astype(float) * 0.2 + 0.4
        return np.column_stack([1 - up, up])


def test_the_one_feature_that_a_model_lives_on_is_the_one_it_cannot_lose(problem):
    noise, losing = fragility_tables(problem, Follows("gap")).values()
    assert noise["flipped"].is_monotonic_increasing and noise["flipped"].iloc[-1] > 0
    changed = losing["log_loss"] != losing.loc["none", "log_loss"]
    assert changed[changed].index.tolist() == ["gap"]


def test_scores_on_the_training_rows_are_better_than_out_of_fold(trained, problem):
    claimed = next(row for row in trained.leaderboard if row.name == "stack").metrics
    assert training_metrics(problem, trained.stack)["auc"] > claimed["auc"]
