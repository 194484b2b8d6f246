"""Ensembles: members joined by votes, by a meta-learner on out-of-fold predictions, or by weights that adapt.

Reading order: ``members`` (fit, store) → ``evidence`` (out-of-fold predictions as one table) → ``pool`` (the
meta-learners) → ``shrinkage`` (how far they may leave the base rate) → ``combination`` (one pool for whoever answers) →
``stacking``. ``combine`` and ``weights`` are
pure functions on arrays: combination code receives predictions, never models.
"""

from consilience.ensemble.compare import Comparison, compare
from consilience.ensemble.explanation import Explanation
from consilience.ensemble.failures import DegradedWarning
from consilience.ensemble.fusion import FusionClassifier, FusionRegressor
from consilience.ensemble.importance import permutation_importance
from consilience.ensemble.online_weights import OnlineWeights
from consilience.ensemble.quorum import QuorumNotMet
from consilience.ensemble.specialists import RegimeSpecialistClassifier, RegimeSpecialistRegressor
from consilience.ensemble.stacking import StackingClassifier, StackingRegressor
from consilience.ensemble.voting import VotingClassifier, VotingRegressor

__all__ = [
    "Comparison",
    "DegradedWarning",
    "Explanation",
    "FusionClassifier",
    "FusionRegressor",
    "OnlineWeights",
    "QuorumNotMet",
    "RegimeSpecialistClassifier",
    "RegimeSpecialistRegressor",
    "StackingClassifier",
    "StackingRegressor",
    "VotingClassifier",
    "VotingRegressor",
    "compare",
    "permutation_importance",
]
