import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.tree import DecisionTreeClassifier

from consilience.base import InvalidInput
from consilience.evaluation import PurgedWalkForward
from consilience.evaluation.learning import learning_curve, validation_curve
from tests.contracts.predictor import market

FOLDS = PurgedWalkForward(3, label_horizon=1)


def test_more_data_closes_the_gap():
    X, y = market(600, n_features=8)
    curve = learning_curve(DecisionTreeClassifier(max_depth=4, random_state=0), X, y, FOLDS, shares=[0.1, 1.0])
    assert curve["gap"].iloc[0] > curve["gap"].iloc[1] > 0
    assert curve["test"].iloc[1] > curve["test"].iloc[0]


def test_depth_opens_it_and_the_gap_is_positive_for_losses_too():
    X, y = market(300)
    tree = DecisionTreeClassifier(random_state=0)
    curve = validation_curve(tree, X, y, FOLDS, "max_depth", [1, 12], metric="log_loss")
    assert curve["gap"].iloc[1] > curve["gap"].iloc[0] and curve["train"].iloc[1] < 0.01
    linear = validation_curve(Ridge(), X, X["f0"].to_numpy(), FOLDS, "alpha", [1e-3, 1e6], metric="rmse")
    assert linear["test"].iloc[0] < linear["test"].iloc[1]


def test_mistakes_are_named():
    X, y = market(100)
    with pytest.raises(InvalidInput, match="shares"):
        learning_curve(LogisticRegression(), X, y, FOLDS, shares=[0.0])
    with pytest.raises(InvalidInput, match="'sharpe'"):
        learning_curve(LogisticRegression(), X, y, FOLDS, metric="sharpe", shares=[1.0])
