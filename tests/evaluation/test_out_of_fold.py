import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge

from consilience.base import ClassifierPredictor, InvalidInput
from consilience.evaluation import CombinatorialPurged, PurgedWalkForward, out_of_fold
from consilience.evaluation.label_intervals import label_intervals
from consilience.evaluation.out_of_fold import _Job
from tests.contracts.predictor import market

FOLDS = PurgedWalkForward(4, label_horizon=1)


class Remembering(ClassifierPredictor):
    """Predicts from the mean of the last three rows, and remembers what it was given."""

    uses_validation = True
    lookback = 2
    seen: list = []  # noqa: RUF012

    def fit(self, X, y, *, sample_weight=None, validation=None):
        _, target, _ = self._read_fit(X, y, sample_weight)
        self._read_labels(target)
        self.history_ = {"loss": [1.0, 0.5]}
        Remembering.seen.append((X.index, sample_weight, validation))
        return self

    def predict_proba(self, X):
        self._read_X(X)
        levels = X["f0"].groupby(level=0) if isinstance(X.index, pd.MultiIndex) else None
        mean = (
            levels.rolling(3, min_periods=1).mean().droplevel(0).reindex(X.index)
            if levels is not None
            else X["f0"].rolling(3, min_periods=1).mean()
        )
        one = 1 / (1 + np.exp(-mean.to_numpy()))
        return np.column_stack([1 - one, one])


def test_each_row_is_predicted_by_a_model_that_never_saw_it():
    X, y = market(120)
    oof = out_of_fold(LogisticRegression(), X, y, FOLDS, name="logit")
    assert oof.name == "logit" and oof.classes.tolist() == [0, 1]
    for number, (train, test) in enumerate(FOLDS.split(X)):
        model = LogisticRegression().fit(X.iloc[train], y[train])
        np.testing.assert_allclose(oof.proba[test], model.predict_proba(X.iloc[test]))
        assert (oof.fold[test] == number).all()
    assert np.isnan(oof.proba[oof.fold == -1]).all() and (oof.fold[: oof.rows[0]] == -1).all()
    np.testing.assert_array_equal(oof.rows, np.flatnonzero(np.isfinite(oof.proba[:, 0])))
    assert oof.fit_seconds.shape == oof.predict_seconds.shape == (4,)
    with pytest.raises(ValueError):
        oof.proba[0] = 0.5


@pytest.mark.parametrize("assets", [1, 2])
def test_sequence_models_get_context_and_a_purged_validation_tail(assets):
    X, y = market(120, assets=assets)
    Remembering.seen.clear()
    weights = np.linspace(1, 2, len(X))
    oof = out_of_fold(Remembering(), X, y, FOLDS, sample_weight=weights, validation_fraction=0.2)
    whole = clone(Remembering()).fit(X, y).predict_proba(X)
    np.testing.assert_allclose(oof.proba[oof.rows], whole[oof.rows])
    for (train, _), (index, weight, validation) in zip(FOLDS.split(X), Remembering.seen):
        tail = validation[0].index
        assert index.get_level_values(-1).max() < tail.get_level_values(-1).min()
        assert len(index) + len(tail) < len(train) + 1 and len(validation[1]) == len(tail)
        assert len(weight) == len(index)
    assert oof.learning_curves == ({"loss": [1.0, 0.5]},) * 4


def test_folds_that_are_no_partition_are_averaged_and_kept_apart():
    X, y = market(120)
    splitter = CombinatorialPurged(4, 2, label_horizon=1)
    oof = out_of_fold(LogisticRegression(), X, y, splitter)
    assert len(oof.rows) == 120 and len(oof.by_fold) == 6
    total = np.zeros((120, 2))
    for piece in oof.by_fold:
        total[piece.rows] += piece.output / 3
    np.testing.assert_allclose(oof.proba, total)


def test_regressors_give_values_and_missing_classes_get_probability_zero():
    X, y = market(120)
    oof = out_of_fold(Ridge(), X, X["f0"].to_numpy(), FOLDS)
    assert oof.proba is None and oof.values.shape == (120,) and len(oof.classes) == 0
    labels = np.where(np.arange(120) > 100, "late", np.where(y == 1, "up", "down"))
    oof = out_of_fold(LogisticRegression(), X, labels, FOLDS)
    assert oof.classes.tolist() == ["down", "late", "up"]
    assert (oof.proba[oof.rows][:, 1] == 0).all()
    np.testing.assert_allclose(oof.proba[oof.rows].sum(axis=1), 1)


def test_parallel_gives_the_same_and_progress_is_reported():
    X, y = market(120)
    calls = []
    alone = out_of_fold(LogisticRegression(), X, y, FOLDS, on_fold=lambda *args: calls.append(args))
    with joblib.parallel_config("threading"):  # processes take seconds to start; that the work travels is tested below
        both = out_of_fold(LogisticRegression(), X, y, FOLDS, n_jobs=2)
    np.testing.assert_array_equal(alone.proba, both.proba)
    assert [call[:2] for call in calls] == [(1, 4), (2, 4), (3, 4), (4, 4)] and all(call[2] >= 0 for call in calls)


def test_bad_input_is_named_and_a_failing_fold_says_which():
    X, y = market(60)
    with pytest.raises(InvalidInput, match="y must have one entry"):
        out_of_fold(LogisticRegression(), X, y[:-1], FOLDS)
    with pytest.raises(InvalidInput, match="sample_weight"):
        out_of_fold(LogisticRegression(), X, y, FOLDS, sample_weight=[1.0])
    with pytest.raises(InvalidInput, match="validation_fraction"):
        out_of_fold(LogisticRegression(), X, y, FOLDS, validation_fraction=0)
    with pytest.raises(ValueError) as caught:
        out_of_fold(LogisticRegression(), X, np.r_[np.zeros(30), np.ones(30)], FOLDS)
    assert caught.value.__notes__ == ["in fold 1 of LogisticRegression"]


def test_the_baseline_is_the_base_rate_of_each_fold_s_training_labels():
    X, y = market(120)
    oof = out_of_fold(LogisticRegression(), X, y, FOLDS)
    for train, test in FOLDS.split(X):
        np.testing.assert_allclose(oof.baseline[test], [[1 - y[train].mean(), y[train].mean()]] * len(test))
    values = out_of_fold(Ridge(), X, X["f0"].to_numpy(), FOLDS)
    np.testing.assert_allclose(values.baseline[values.rows[-1]], X["f0"].iloc[train].mean())


class KnowsEnds(LogisticRegression):
    def fit(self, X, y, sample_weight=None, *, label_end=None):
        assert len(label_end) == len(X) and label_end.index.equals(X.index)
        return super().fit(X, y)


def test_a_fit_that_takes_label_end_gets_its_rows():
    X, y = market(120)
    ends = pd.Series(X.index, index=X.index).shift(-1).fillna(X.index[-1])
    assert len(out_of_fold(KnowsEnds(), X, y, PurgedWalkForward(3), label_end=ends).by_fold) == 3


def test_finished_folds_are_read_back_and_a_damaged_file_is_computed_again(tmp_path, monkeypatch):
    X, y = market(120)
    fits = []
    fit = LogisticRegression.fit
    monkeypatch.setattr(LogisticRegression, "fit", lambda self, *args, **kw: fits.append(1) or fit(self, *args, **kw))
    first = out_of_fold(LogisticRegression(), X, y, FOLDS, cache=tmp_path)
    assert len(fits) == 4
    again = out_of_fold(LogisticRegression(), X, y, FOLDS, cache=tmp_path)
    assert len(fits) == 4
    np.testing.assert_array_equal(first.proba, again.proba)
    np.testing.assert_array_equal(first.baseline, again.baseline)
    out_of_fold(LogisticRegression(C=0.5), X, y, FOLDS, cache=tmp_path)
    assert len(fits) == 8
    X.iloc[0, 0] += 1e-9
    out_of_fold(LogisticRegression(), X, y, FOLDS, cache=tmp_path)
    assert len(fits) == 12
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:100])
    out_of_fold(LogisticRegression(), X, y, FOLDS, cache=tmp_path)
    assert len(fits) == 16 and not list(tmp_path.glob("*.partial"))


def test_an_interrupted_run_goes_on(tmp_path, monkeypatch):
    X, y = market(120)
    fits = []
    fit = LogisticRegression.fit

    def stops_at_third(self, *args, **kw):
        fits.append(1)
        if len(fits) == 3:
            raise KeyboardInterrupt
        return fit(self, *args, **kw)

    monkeypatch.setattr(LogisticRegression, "fit", stops_at_third)
    with pytest.raises(KeyboardInterrupt):
        out_of_fold(LogisticRegression(), X, y, FOLDS, cache=tmp_path)
    out_of_fold(LogisticRegression(), X, y, FOLDS, cache=tmp_path)
    assert len(fits) == 3 + 2


def test_one_fold_s_work_travels_to_another_process():
    X, y = market(60)
    train, test = next(iter(FOLDS.split(X)))
    intervals = label_intervals(X, label_horizon=1)
    job = _Job(Remembering(), X, y, None, None, np.array([0, 1]), intervals, 0.2)
    number, output = pickle.loads(pickle.dumps(job))(3, (train, test))  # noqa: S301
    assert number == 3 and len(output.output) == len(test)
