"""Markets with their members' predictions, the peers of the stack, and goals, for the sections of ``ensemble.py``."""

import dataclasses
from collections.abc import Callable

import numpy as np
from ensemble_predictions import CONFIG, Problem, predictions, problem
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import StackingClassifier as SklearnStacking
from sklearn.linear_model import LogisticRegression

from consilience.ensemble import shrinkage
from consilience.ensemble.evidence import Evidence, gather
from consilience.ensemble.shrinkage import fit_pool
from consilience.ensemble.weight_search import SEARCHES, searched_weights
from consilience.ensemble.weights import greedy_weights, log_loss_of, picked_probabilities
from consilience.evaluation.label_intervals import label_intervals

ALL = list(CONFIG.members)
MISSED: list[str] = []


def goal(met: bool, text: str) -> None:
    """Print whether a goal was met, and remember it if not."""
    print(f"  {'met' if met else 'MISSED'}: {text}")
    if not met:
        MISSED.append(text)


@dataclasses.dataclass
class Case:
    """One market: the out-of-fold table, the members' hold-out probabilities (n_members, n, 2), the hold-out's
    classes."""

    table: Evidence
    holdout: np.ndarray
    codes: np.ndarray
    problem: Problem

    @property
    def base(self) -> np.ndarray:
        counts = self.table.prior + np.bincount(self.table.target, minlength=2)
        return np.tile(counts / counts.sum(), (len(self.codes), 1))


def load(market: str, seed: int, names: list[str], regimes: np.ndarray | None = None) -> Case:
    case = problem(market, seed)
    found = {name: predictions(market, seed, name, case) for name in names}
    X, ends = case.X.iloc[case.train], case.label_end.iloc[case.train]
    records = {name: record for name, (record, _) in found.items()}
    table = gather(records, case.y[case.train], label_intervals(X, ends), None, 2, regimes)
    return Case(table, np.stack([late for _, late in found.values()]), case.y[case.holdout], case)


def loss_of(proba: np.ndarray, codes: np.ndarray) -> float:
    return float(-np.log(np.clip(proba[np.arange(len(codes)), codes], 1e-12, 1.0)).mean())


def calibration(proba: np.ndarray, codes: np.ndarray) -> tuple[float, float]:
    """Slope of a logistic regression of what came on the log-odds (1 is calibrated), and the expected calibration
    error over ten equally filled bins."""
    odds = np.log(np.clip(proba[:, 1], 1e-12, 1.0) / np.clip(proba[:, 0], 1e-12, 1.0))
    slope = LogisticRegression(C=1e6).fit(odds[:, None], codes).coef_[0, 0] if np.ptp(odds) > 1e-9 else np.nan
    bins = np.array_split(np.argsort(proba[:, 1]), 10)
    return float(slope), float(np.mean([abs(proba[rows, 1].mean() - codes[rows].mean()) for rows in bins]))


def accuracy(proba: np.ndarray, codes: np.ndarray) -> float:
    return float((proba.argmax(axis=1) == codes).mean())


# -- peers -----------------------------------------------------------------------------------------------------------


class Column(ClassifierMixin, BaseEstimator):
    """A fitted classifier that reads its answer from columns, so that scikit-learn's stack gets the same
    predictions."""

    def __init__(self, number: int = 0):
        self.number = number
        self.classes_ = np.array([0, 1])

    def fit(self, X: np.ndarray, y: np.ndarray) -> "Column":
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return X[:, 2 * self.number : 2 * self.number + 2]


def columns(outputs: np.ndarray) -> np.ndarray:
    return outputs.transpose(1, 0, 2).reshape(outputs.shape[1], -1)


def sklearn_stack(table: Evidence) -> Callable[[np.ndarray], np.ndarray]:
    """scikit-learn's StackingClassifier (prefit members, logistic regression) on the same out-of-fold predictions."""
    members = [(f"m{number}", Column(number)) for number in range(len(table.names))]
    stack = SklearnStacking(members, LogisticRegression(), cv="prefit").fit(columns(table.outputs), table.target)
    return lambda outputs: stack.predict_proba(columns(outputs))


def greedy_stack(table: Evidence) -> Callable[[np.ndarray], np.ndarray]:
    """Greedy ensemble selection as AutoGluon weights its models: 25 rounds on all rows, no bags, no shrinkage."""
    picked = picked_probabilities(table.outputs, table.target)
    weights = greedy_weights(picked, log_loss_of(table.weight), n_rounds=25, n_bags=1, bag_fraction=1.0)
    return lambda outputs: np.tensordot(weights, outputs, axes=1)


def equal_weights(table: Evidence) -> Callable[[np.ndarray], np.ndarray]:
    """The stack if it knew equal weights and the base rate only: anchored and trusted in the same way."""
    walk = shrinkage.walk_forward(table)
    shares = shrinkage.posterior(table, walk) / shrinkage.prior_shares(walk.losses.shape[1])
    base_only, equal = shares[[shrinkage.BASE_ONLY, shrinkage.EQUAL]]
    loss, rows = shrinkage.loss_of(table), np.arange(table.n_rows)
    anchor = loss.anchor(rows)
    found = shrinkage.candidates(loss, table.regimes, rows, anchor, walk.weights[-1])
    assert found is not None
    found = found[shrinkage.EQUAL]
    return shrinkage.make_pool(table, anchor, equal / (base_only + equal) * found).combine


def combinations(table: Evidence) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    pool = fit_pool(table)
    found: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "stack": pool.combine,
        "equal vote": lambda outputs: outputs.mean(axis=0),
        "sklearn stack": sklearn_stack(table),
        "greedy": greedy_stack(table),
    }
    for method in SEARCHES:
        weights = searched_weights(table, method)
        found[f"vote, {method}"] = lambda outputs, weights=weights: np.tensordot(weights, outputs, axes=1)
    return found


def table_of(outputs: np.ndarray, codes: np.ndarray) -> Evidence:
    n = len(codes)
    rows, names = np.arange(n), tuple(f"m{i}" for i in range(len(outputs)))
    return Evidence(
        names, outputs, codes, rows, rows * 5 // n, rows, rows + 1, np.ones(n), np.full(2, 50.0), np.ones((n, 1))
    )
