import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from consilience.base import InvalidInput
from consilience.evaluation import CombinatorialPurged, MonteCarloPurged, PurgedKFold, PurgedWalkForward, purged_tail
from consilience.evaluation.label_intervals import LabelIntervals
from tests.reference.evaluation_folds import overlapping_pairs, widen

HOUR = 3_600_000_000_000


@st.composite
def labelled_panels(draw):
    """Irregular times, one to three assets that each miss some, label intervals from nothing to most of the data."""
    n_times = draw(st.integers(24, 60))
    gaps = draw(st.lists(st.integers(1, 40), min_size=n_times, max_size=n_times))
    times = pd.Timestamp("2021-03-01") + pd.to_timedelta(np.cumsum(gaps), unit="h")
    n_assets = draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    longest = draw(st.sampled_from([0, 30, 120, 300]))
    present = rng.random((n_times, n_assets)) < (0.8 if n_assets > 1 else 2.0)
    present[~present.any(axis=1), 0] = True
    row_time, row_asset = np.nonzero(present)
    index = pd.MultiIndex.from_arrays([row_asset.astype(str), times[row_time]], names=["asset", "time"])
    if n_assets == 1:
        index = pd.DatetimeIndex(times[row_time])
    ends = times[row_time] + pd.to_timedelta(rng.integers(0, longest + 1, len(row_time)), unit="h")
    return pd.DataFrame({"f": np.zeros(len(index))}, index=index), pd.Series(ends, index=index)


splitters = st.one_of(
    st.builds(
        PurgedWalkForward,
        n_splits=st.integers(1, 4),
        embargo=st.sampled_from([0, 2, "7h"]),
        test_size=st.sampled_from([None, 3]),
        step=st.sampled_from([None, 2]),
        max_train_size=st.sampled_from([None, 12]),
    ),
    st.builds(PurgedKFold, n_splits=st.integers(2, 4), embargo=st.sampled_from([0, 2, "7h"])),
    st.builds(
        CombinatorialPurged,
        n_groups=st.integers(4, 6),
        n_test_groups=st.integers(1, 3),
        embargo=st.sampled_from([0, 2, "7h"]),
    ),
    st.builds(
        MonteCarloPurged,
        n_splits=st.integers(1, 4),
        past_only=st.booleans(),
        random_state=st.integers(0, 99),
        embargo=st.sampled_from([0, 2, "7h"]),
    ),
)


def clock(X, label_end):
    level = X.index.get_level_values(-1) if isinstance(X.index, pd.MultiIndex) else X.index
    return level.to_numpy().astype("datetime64[ns]").astype(np.int64), label_end.to_numpy().astype(
        "datetime64[ns]"
    ).astype(np.int64)


@settings(max_examples=150, deadline=None)
@given(labelled_panels(), splitters)
def test_no_training_label_overlaps_a_test_label(data, splitter):
    X, label_end = data
    start, end = clock(X, label_end)
    try:
        folds = list(splitter.split(X, label_end=label_end))
    except InvalidInput as error:  # long labels can leave a fold without training rows; that is said, not hidden
        assert "no training rows" in str(error) or "too few" in str(error)
        return
    assert len(folds) == splitter.get_n_splits()
    steps = np.unique(start)
    for train, test in folds:
        assert train.dtype == test.dtype == np.int64
        assert (np.diff(train) > 0).all() and (np.diff(test) > 0).all()
        assert not set(train) & set(test)
        if splitter.embargo == "7h":
            wide_start, wide_end = start[test] - 7 * HOUR, end[test] + 7 * HOUR
        else:
            wide_start, wide_end = widen(start[test], end[test], steps, splitter.embargo)
        everything = np.concatenate([start[train], wide_start]), np.concatenate([end[train], wide_end])
        rows = np.arange(len(train)), np.arange(len(train), len(train) + len(test))
        assert overlapping_pairs(*everything, *rows) == 0
        if isinstance(splitter, PurgedWalkForward) or getattr(splitter, "past_only", False):
            assert end[train].max() < start[test].min(), "nothing at or after the test block trains it"


@settings(max_examples=60, deadline=None)
@given(labelled_panels(), st.integers(0, 3))
def test_purging_drops_no_more_than_the_definition_asks(data, embargo):
    X, label_end = data
    start, end = clock(X, label_end)
    splitter = CombinatorialPurged(5, 2, embargo=embargo)
    try:
        folds = list(splitter.split(X, label_end=label_end))
    except InvalidInput:
        return
    for train, test in folds:
        wide_start, wide_end = widen(start[test], end[test], np.unique(start), embargo)
        others = np.setdiff1d(np.arange(len(X)), test)
        meets = (start[others][:, None] <= wide_end) & (wide_start <= end[others][:, None])
        np.testing.assert_array_equal(train, others[~meets.any(axis=1)])


def test_a_planted_leak_is_seen(monkeypatch):
    monkeypatch.setattr(LabelIntervals, "free_of", lambda self, candidates, test_rows, embargo=0: candidates)
    inner = test_no_training_label_overlaps_a_test_label.hypothesis.inner_test
    once = settings(max_examples=50, deadline=None, phases=[Phase.generate], database=None)
    with pytest.raises(AssertionError):
        once(given(labelled_panels(), splitters)(inner))()


def days(n, start="2022-01-03"):
    return pd.DataFrame({"f": np.arange(float(n))}, index=pd.bdate_range(start, periods=n))


def test_thirty_five_day_labels_leave_a_gap_before_and_after_each_block():
    X = days(200)
    ends = pd.Series(X.index, index=X.index).shift(-30).fillna(X.index[-1])
    for train, test in PurgedKFold(4, embargo="5D").split(X, label_end=ends):
        before, after = train[train < test[0]], train[train > test[-1]]
        assert len(before) == 0 or ends.iloc[before[-1]] + pd.Timedelta("5D") < X.index[test[0]]
        assert len(after) == 0 or X.index[after[0]] > ends.iloc[test].max() + pd.Timedelta("5D")


def test_walk_forward_blocks_follow_each_other_to_the_end_of_the_data():
    folds = list(PurgedWalkForward(6, label_horizon=1).split(np.zeros((703, 1))))
    tests = np.concatenate([test for _, test in folds])
    assert tests[-1] == 702 and (np.diff(tests) == 1).all()
    assert [train[0] for train, _ in folds] == [0] * 6
    assert all(test[0] - train[-1] == 3 - 1 for train, test in folds)  # one row purged: its label ends in the block


def test_rolling_window_keeps_the_newest_rows():
    for train, test in PurgedWalkForward(3, max_train_size=20, label_horizon=0).split(np.zeros((100, 1))):
        assert len(train) == 20 and test[0] - train[0] == 20


def test_all_assets_of_a_day_are_on_one_side():
    index = pd.MultiIndex.from_product([pd.bdate_range("2020-01-01", periods=40), ["a", "b", "c"]]).swaplevel()
    X = pd.DataFrame({"f": np.zeros(120)}, index=index)
    for _, test in PurgedWalkForward(4, label_horizon=1).split(X):
        assert len(test) == 24 and set(index[test].get_level_values(0)) == {"a", "b", "c"}


def test_combinatorial_paths_cover_every_group_once_with_a_fold_that_tests_it():
    splitter = CombinatorialPurged(6, 2, label_horizon=1)
    X = np.zeros((61, 1))
    groups, folds = splitter.groups(X), list(splitter.split(X))
    assert splitter.paths().shape == (5, 6) and len(folds) == 15
    for group in range(6):
        used = splitter.paths()[:, group]
        assert len(set(used)) == 5
        for fold in used:
            assert np.isin(np.flatnonzero(groups == group), folds[fold][1]).all()
    tests = [tuple(sorted(set(groups[test]))) for _, test in folds]
    assert tests == list(itertools.combinations(range(6), 2))


def test_labels_must_say_when_they_are_known():
    X = days(50)
    with pytest.raises(InvalidInput, match="label_end="):
        next(PurgedKFold(3).split(X))
    ends = pd.Series(X.index, index=X.index).shift(-1)
    with pytest.raises(InvalidInput, match="missing in row 49"):
        next(PurgedKFold(3).split(X, label_end=ends))
    with pytest.raises(InvalidInput, match="row 3 lies before"):
        next(PurgedKFold(3).split(X, label_end=X.index.where(np.arange(50) != 3, X.index[0])))
    with pytest.raises(InvalidInput, match="one entry per row"):
        next(PurgedKFold(3).split(X, label_end=X.index[:-1]))
    with pytest.raises(InvalidInput, match="another index"):
        next(PurgedKFold(3).split(X, label_end=pd.Series(X.index, index=X.index[::-1])))
    with pytest.raises(InvalidInput, match="must hold timestamps"):
        next(PurgedKFold(3).split(X, label_end=np.arange(50)))
    with pytest.raises(InvalidInput, match="row numbers"):
        next(PurgedKFold(3).split(X.to_numpy(), label_end=X.index))


def test_times_with_a_zone_compare_with_ends_in_another():
    X = days(50).tz_localize("Europe/Berlin")
    ends = pd.Series((X.index + pd.Timedelta("1D")).tz_convert("US/Eastern"), index=X.index)
    naive = days(50)
    expected = PurgedKFold(3).split(naive, label_end=naive.index + pd.Timedelta("1D"))
    for (train, test), (train2, test2) in zip(PurgedKFold(3).split(X, label_end=ends), expected):
        np.testing.assert_array_equal(train, train2)
        np.testing.assert_array_equal(test, test2)


@pytest.mark.parametrize(
    "build, text",
    [
        (lambda: PurgedWalkForward(0), "n_splits"),
        (lambda: PurgedWalkForward(3, embargo=-1), "embargo"),
        (lambda: PurgedWalkForward(3, embargo="-5D"), "embargo"),
        (lambda: PurgedWalkForward(3, embargo="soon"), "embargo"),
        (lambda: PurgedWalkForward(3, embargo=1.5), "embargo"),
        (lambda: PurgedKFold(1), "n_splits"),
        (lambda: CombinatorialPurged(4, 4), "n_test_groups"),
        (lambda: MonteCarloPurged(3, test_size=1.0), "test_size"),
        (lambda: PurgedWalkForward(3, step=True), "step"),
    ],
)
def test_bad_parameters_are_named(build, text):
    with pytest.raises(InvalidInput, match=text):
        build()


def test_too_little_data_is_said():
    with pytest.raises(InvalidInput, match="too few"):
        next(PurgedWalkForward(6, label_horizon=1).split(np.zeros((5, 1))))
    with pytest.raises(InvalidInput, match="no training rows"):
        next(PurgedWalkForward(6, label_horizon=30).split(np.zeros((60, 1))))
    with pytest.raises(InvalidInput, match="time index"):
        next(PurgedWalkForward(2, label_horizon=1, embargo="5D").split(np.zeros((60, 1))))


def test_works_with_scikit_learn():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 2))
    scores = cross_val_score(LogisticRegression(), X, X[:, 0] > 0, cv=PurgedWalkForward(4, label_horizon=1))
    assert len(scores) == 4 and scores.min() > 0.8


@settings(max_examples=60, deadline=None)
@given(labelled_panels(), st.floats(0.05, 0.5))
def test_the_validation_tail_is_last_and_purged(data, fraction):
    X, label_end = data
    start, end = clock(X, label_end)
    rows = np.arange(0, len(X), 2)
    try:
        fit_rows, tail = purged_tail(X, rows, label_end, fraction)
    except InvalidInput:
        return
    assert set(fit_rows) | set(tail) <= set(rows)
    assert end[fit_rows].max() < start[tail].min()
