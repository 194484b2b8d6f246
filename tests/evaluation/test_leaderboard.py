import dataclasses

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics
from sklearn.linear_model import LogisticRegression

from consilience.base import InvalidInput
from consilience.evaluation import PurgedWalkForward, out_of_fold
from consilience.evaluation.bootstrap import stationary_bootstrap
from consilience.evaluation.classification import classification_metrics
from consilience.evaluation.leaderboard import BUY_AND_HOLD, MAJORITY, leaderboard
from consilience.evaluation.resampled_scores import resampled_scores


def market(n=600, edge=0.3, seed=0):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"f0": rng.standard_normal(n)}, index=pd.bdate_range("2015-01-01", periods=n))
    forward = 0.01 * (edge * X["f0"].to_numpy() + rng.standard_normal(n))
    return X, (forward > 0).astype(int), forward


def test_every_entry_is_measured_on_the_rows_that_all_cover():
    X, y, forward = market()
    oof = out_of_fold(LogisticRegression(), X, y, PurgedWalkForward(4, label_horizon=1))
    later = np.full(600, np.nan)
    later[300:] = 0.5
    board = leaderboard({"logit": oof, "coin": later}, y, forward, X=X, n_samples=50)
    assert [row.name for row in board] == ["logit", "coin", MAJORITY, BUY_AND_HOLD]
    assert [row.baseline for row in board] == [False, False, True, True]
    rows = np.arange(300, 600)
    for row in board:
        np.testing.assert_array_equal(row.rows, rows)
    logit = board[0].metrics
    assert logit["log_loss"] == pytest.approx(metrics.log_loss(y[rows], oof.proba[rows]))
    assert logit["auc"] == pytest.approx(metrics.roc_auc_score(y[rows], oof.proba[rows, 1]))
    assert board[1].metrics["auc"] == 0.5 and board[1].metrics["turnover"] == 0.0
    base = board[2].proba
    np.testing.assert_allclose(base, oof.baseline[rows])
    assert "log_loss" not in board[3].metrics
    np.testing.assert_allclose(board[3].strategy.returns[1:], forward[301:])
    for row in board:
        assert set(row.metrics) - set(row.intervals) <= {"calibration_noise"}
        for name, interval in row.intervals.items():
            assert interval.lower <= interval.upper
            if name in ("log_loss", "auc", "accuracy", "brier", "sharpe", "annual_volatility", "win_rate"):
                assert interval.lower <= row.metrics[name] <= interval.upper, name


def test_resampled_scores_are_the_scores_of_the_resampled_rows():
    X, y, _ = market(200)
    proba = np.round(1 / (1 + np.exp(-X["f0"].to_numpy())), 1)  # ties
    step = np.arange(200) // 2  # two assets a day
    samples = stationary_bootstrap(100, 5.0, 8, random_state=3)
    counts = np.stack([np.bincount(sample, minlength=100) for sample in samples]).astype(float)
    found = resampled_scores(y, np.column_stack([1 - proba, proba]), np.array([0, 1]), step, counts)
    for number, sample in enumerate(samples):
        rows = (2 * sample[:, None] + np.arange(2)).ravel()
        own = classification_metrics(y[rows], np.column_stack([1 - proba, proba])[rows], np.array([0, 1]))
        assert set(own) == set(found)
        for name in set(own) - {"calibration_error"}:  # whose bins stay those of the whole sample
            assert found[name][number] == pytest.approx(own[name], rel=1e-12, abs=1e-12), name
    once = resampled_scores(y, np.column_stack([1 - proba, proba]), np.array([0, 1]), step, np.ones((1, 100)))
    whole = classification_metrics(y, np.column_stack([1 - proba, proba]), np.array([0, 1]))
    assert once["calibration_error"][0] == pytest.approx(whole["calibration_error"])


def test_three_classes_are_resampled_too():
    rng = np.random.default_rng(0)
    y, proba, classes = rng.choice([-1, 0, 1], 90), rng.dirichlet([1, 1, 1], 90), np.array([-1, 0, 1])
    found = resampled_scores(y, proba, classes, np.arange(90), np.ones((2, 90)))
    own = classification_metrics(y, proba, classes)
    own.pop("auc")
    assert set(own) == set(found)
    for name, value in own.items():
        assert found[name][1] == pytest.approx(value, rel=1e-12), name


def test_an_edge_shows_and_noise_does_not():
    strong = leaderboard({"m": 1 / (1 + np.exp(-market()[0]["f0"]))}, *market()[1:], X=market()[0], n_samples=200)
    assert strong[0].intervals["auc"].lower > 0.5 and strong[0].intervals["sharpe"].lower > 0
    X, y, forward = market(edge=0.0, seed=2)
    noise = leaderboard({"m": 1 / (1 + np.exp(-X["f0"]))}, y, forward, X=X, n_samples=200)
    assert noise[0].intervals["auc"].lower < 0.5 < noise[0].intervals["auc"].upper


def test_a_baseline_without_folds_uses_only_labels_known_before():
    X, y, forward = market(50)
    board = leaderboard({"m": np.full(50, 0.5)}, y, forward, X=X, horizon=3, n_samples=20)
    other = y.copy()
    other[30:] = 1 - other[30:]
    again = leaderboard({"m": np.full(50, 0.5)}, other, forward, X=X, horizon=3, n_samples=20)
    np.testing.assert_array_equal(board[1].proba[:33], again[1].proba[:33])
    assert (board[1].proba[33:] != again[1].proba[33:]).any()
    assert board[1].metrics["sharpe"] == pytest.approx(board[1].metrics["sharpe"])


def test_three_classes_and_panels():
    rng = np.random.default_rng(0)
    index = pd.MultiIndex.from_product([["a", "b"], pd.bdate_range("2020-01-01", periods=100)])
    X = pd.DataFrame({"f": rng.standard_normal(200)}, index=index)
    y = rng.choice([-1, 0, 1], 200)
    board = leaderboard({"m": rng.dirichlet([1, 1, 1], 200)}, y, 0.01 * y, X=X, n_samples=30)
    assert len(board[0].strategy.returns) == 100 and len(board[0].losses) == 100
    assert "auc" in board[0].metrics and "auc" not in board[0].intervals and "log_loss" in board[0].intervals
    assert dataclasses.asdict(board[0])["name"] == "m" and "strategy" not in board[0].to_dict()


def test_entries_that_cannot_be_compared_are_named():
    X, y, forward = market(60)
    with pytest.raises(InvalidInput, match="'m'"):
        leaderboard({"m": np.zeros((60, 3))}, y, forward, X=X)
    with pytest.raises(InvalidInput, match="covered"):
        leaderboard({"m": np.full(60, np.nan)}, y, forward, X=X)
    with pytest.raises(InvalidInput, match="at least one"):
        leaderboard({}, y, forward, X=X)
    with pytest.raises(InvalidInput, match="probabilities"):
        leaderboard({"m": np.full(60, 1.5)}, y, forward, X=X)
