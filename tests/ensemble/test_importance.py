import numpy as np
import pandas as pd
import pytest

from consilience.base import InvalidInput
from consilience.boosting import LightGBMClassifier, LogisticClassifier, RidgeRegressor
from consilience.ensemble import FusionClassifier, StackingClassifier, VotingClassifier, permutation_importance
from consilience.ensemble.importance import weighted_importances
from consilience.evaluation import PurgedWalkForward
from consilience.kernels import HMMClassifier
from tests.contracts.predictor import market
from tests.ensemble.encoders import TurningEncoder

FOLDS = PurgedWalkForward(n_splits=3, label_horizon=1)


@pytest.mark.parametrize("kind", ["single", "vote", "stack"])
def test_the_features_that_made_the_label_come_first(kind):
    X, y = market(600)
    members = [("a", LogisticClassifier()), ("b", HMMClassifier(2, random_state=0))]
    model = {
        "single": LogisticClassifier(),
        "vote": VotingClassifier(members),
        "stack": StackingClassifier(members, FOLDS),
    }[kind]
    found = permutation_importance(model, X, y, FOLDS)
    assert list(found.index[:2]) == ["f0", "f1"] and found["importance"].iloc[0] > 0.05
    assert found.loc[["f2", "f3"], "importance"].abs().max() < 0.05


def test_values_arrays_and_seeds():
    X, _ = market(300)
    values = X.to_numpy()
    found = permutation_importance(RidgeRegressor(), values, 3 * values[:, 2], FOLDS, random_state=1)
    assert found.index[0] == "x2" and found["importance"].iloc[0] > 5
    again = permutation_importance(RidgeRegressor(), values, 3 * values[:, 2], FOLDS, random_state=1)
    assert found.equals(again)
    with pytest.raises(InvalidInput, match="n_repeats"):
        permutation_importance(RidgeRegressor(), values, values[:, 0], FOLDS, n_repeats=0)


def test_own_importances_are_weighted():
    class Fixed:
        def __init__(self, values):
            self.feature_importances_ = values

    members = {"a": Fixed({"p": 3.0, "q": 1.0}), "b": Fixed(np.array([0.0, 5.0])), "none": object()}
    found = weighted_importances(members, {"a": 2.0, "b": 1.0, "none": 9.0}, ["p", "q"])
    assert found.to_dict() == pytest.approx({"p": 0.5, "q": 0.5})
    assert weighted_importances({"none": object()}, {"none": 1.0}, ["p"]).isna().all()


def test_ensembles_report_them_by_name():
    X, y = market(400)
    members = [("tree", LightGBMClassifier(n_estimators=20, random_state=0)), ("line", LogisticClassifier())]
    for model in (VotingClassifier(members).fit(X, y), StackingClassifier(members, FOLDS).fit(X, y)):
        own = model.feature_importances_
        assert list(own.index) == list(X.columns) and own.sum() == pytest.approx(1.0)
        assert own.idxmax() == "f0"


def test_models_with_folds_of_their_own_get_the_label_ends():
    X, y = market(400)
    ends = pd.Series(X.index, X.index).shift(-1).ffill()
    fusion = FusionClassifier([("net", TurningEncoder())], LogisticClassifier(), PurgedWalkForward(n_splits=2))
    found = permutation_importance(fusion, X, y, PurgedWalkForward(n_splits=2), label_end=ends, n_repeats=1)
    assert found.index[0] == "f0"


def test_a_stack_is_judged_on_rows_that_no_part_of_it_has_seen():
    """A meta-learner, and regimes, that were fitted on the tested rows would know them."""
    X, y = market(400)
    seen = []

    class Spy(LogisticClassifier):
        def fit(self, X, y, **options):
            seen.append(len(X))
            return super().fit(X, y, **options)

    stack = StackingClassifier([("a", LogisticClassifier())], FOLDS, final_estimator=Spy()).fit(X, y)
    seen.clear()
    kept = stack.final_
    permutation_importance(stack, X, y, PurgedWalkForward(n_splits=2, label_horizon=1), n_repeats=1)
    assert stack.final_ is kept and seen and max(seen) < 266, "two thirds of the rows train at most"


def test_a_class_that_comes_late_is_no_error():
    X, y = market(400)
    y = np.where((np.arange(400) >= 320) & (X["f2"] > 1.0), 2, y)
    found = permutation_importance(LogisticClassifier(), X, y, FOLDS, n_repeats=1)
    assert np.isfinite(found.to_numpy()).all()


def test_models_that_stop_early_watch_a_purged_tail():
    watched = []

    class StopsEarly(LogisticClassifier):
        uses_validation = True

        def fit(self, X, y, *, sample_weight=None, validation=None):
            watched.append(X.index[-1] < validation[0].index[0])
            return super().fit(X, y, sample_weight=sample_weight)

    X, y = market(300)
    permutation_importance(StopsEarly(), X, y, FOLDS, n_repeats=1)
    assert watched == [True] * 3


def test_weights_count_in_fits_and_losses():
    X, y = market(400)
    odd = np.arange(400) % 2 == 1
    flipped = np.where(odd, (X["f3"] > 0).astype(int), y)
    found = permutation_importance(LogisticClassifier(), X, flipped, FOLDS, sample_weight=np.where(odd, 1.0, 1e-6))
    assert found.index[0] == "f3" and found["importance"].iloc[0] > 10 * abs(found["importance"].iloc[1])
    with pytest.raises(InvalidInput, match="sample_weight"):
        permutation_importance(LogisticClassifier(), X, y, FOLDS, sample_weight=[1.0])
