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
        "stack": StackingClassifier(members, FOLDS).fit(X, y),
    }[kind]
    kept = model.pool_ if kind == "stack" else None
    found = permutation_importance(model, X, y, FOLDS)
    assert list(found.index[:2]) == ["f0", "f1"] and found["importance"].iloc[0] > 0.05
    assert found.loc[["f2", "f3"], "importance"].abs().max() < 0.05
    if kind == "stack":
        assert model.pool_ is kept


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
