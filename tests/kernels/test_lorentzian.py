"""The Lorentzian classifier and regressor."""

import numpy as np
import pandas as pd
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from consilience.base import InvalidInput, InvalidState, State, restore, time_axis
from consilience.kernels import LorentzianClassifier, LorentzianRegressor, lorentzian_threads, workers
from consilience.kernels.lorentzian_calibration import fit_calibration
from tests.contracts.predictor import check_predictor, market
from tests.reference import lorentzian as oracle

_WEIGHTS_REASON = (
    "a row of weight 2 counts twice among k neighbours, while the same row twice takes two of the k places"
)


@parametrize_with_checks(
    [LorentzianClassifier(), LorentzianRegressor()],
    expected_failed_checks=lambda estimator: {
        "check_sample_weight_equivalence_on_dense_data": _WEIGHTS_REASON,
    },
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("assets", [1, 3])
@pytest.mark.parametrize(
    "model",
    [
        LorentzianClassifier(),
        LorentzianClassifier(5, weights="distance", min_spacing=4, max_window=100, scaling="standard", clip=None),
        LorentzianClassifier(calibrate=True, label_horizon=3),
        LorentzianRegressor(),
        LorentzianRegressor(5, weights="distance", min_spacing=3, smoothing=2.0),
    ],
    ids=["classifier", "spaced classifier", "calibrated", "regressor", "spaced regressor"],
)
def test_contract(model, assets):
    check_predictor(model, assets=assets)


@pytest.mark.parametrize("spacing", [1, 4])
@pytest.mark.parametrize("window", [None, 50])
def test_probabilities_follow_their_definition(spacing, window):
    X, y = market(n_rows=80, assets=2, seed=1)
    queries, _ = market(n_rows=10, assets=2, seed=2)
    model = LorentzianClassifier(6, min_spacing=spacing, max_window=window, smoothing=2.0, clip=2.0).fit(X, y)
    assets = time_axis(X).assets
    bars = pd.Series(assets).groupby(assets).cumcount().to_numpy()
    keep = np.flatnonzero(bars >= 80 - (window or 80))
    raw = X.to_numpy()[keep]
    low, center, high = np.quantile(raw, [0.25, 0.5, 0.75], axis=0)

    def scaled(values):
        return np.clip((values - center) / ((high - low) / 1.3489795003921634), -2.0, 2.0)

    _, order = oracle.neighbors(scaled(raw), scaled(queries.to_numpy()), len(raw))
    up = (y[keep].sum() + 0.5) / (len(keep) + 1)
    expected, rows = [], []
    for row in order:
        chosen = keep[oracle.spaced(row, bars[keep], assets[keep], 6, spacing)]
        rows.append(chosen)
        expected.append((y[chosen].sum() + 2.0 * up) / (6 + 2.0))
    np.testing.assert_array_equal(model.kneighbors(queries, return_distance=False), rows)
    np.testing.assert_allclose(model.predict_proba(queries)[:, 1], expected, rtol=1e-12)


def test_spacing_runs_within_an_asset_only():
    index = pd.MultiIndex.from_product([["a", "b"], pd.date_range("2024-01-01", periods=4)])
    X = pd.DataFrame({"x": [0.0, 0.1, 0.2, 9.0, 0.05, 0.15, 0.25, 9.0]}, index=index)
    model = LorentzianRegressor(3, min_spacing=3, scaling="none").fit(X, np.arange(8.0))
    # Rows 0 and 3 of an asset are three bars apart, rows 0 and 1 are not.
    assert model.kneighbors(X.iloc[:1], return_distance=False).tolist() == [[0, 4, 3]]


def test_a_long_episode_of_similar_rows_gives_one_neighbour_per_spacing():
    # The nearest rows are all neighbours in time, so that most candidates are passed over and more are asked for.
    X = np.cumsum(np.random.default_rng(0).uniform(0, 0.01, 200))[:, None]
    model = LorentzianRegressor(6, min_spacing=12, scaling="none").fit(X, np.zeros(200))
    queries = X[[3, 100, 199]] + 0.003
    _, order = oracle.neighbors(X, queries, 200)
    bars, assets = np.arange(200), np.zeros(200)
    expected = [oracle.spaced(row, bars, assets, 6, 12) for row in order]
    assert model.kneighbors(queries, return_distance=False).tolist() == expected


def test_too_few_spaced_neighbours_are_padded_and_not_counted():
    X = np.arange(5.0)[:, None]
    model = LorentzianRegressor(3, min_spacing=3, scaling="none").fit(X, [1.0, 2.0, 4.0, 8.0, 16.0])
    distances, indices = model.kneighbors([[2.0]])
    assert indices.tolist() == [[2, -1, -1]] and np.isinf(distances[0, 1:]).all()
    assert model.predict([[2.0]]).tolist() == [4.0]


def test_the_rows_themselves_are_not_their_own_neighbours():
    X, y = market(n_rows=40)
    X = X.to_numpy().copy()
    X[5] = X[20] = X[30]
    model = LorentzianClassifier(3).fit(X, y)
    _, indices = model.kneighbors()
    assert not (indices == np.arange(40)[:, None]).any()
    assert indices[5, :2].tolist() == [20, 30]


def test_rows_of_weight_zero_are_forgotten_and_weights_count():
    X = [[0.0], [0.0], [0.0], [5.0]]
    model = LorentzianClassifier(2, smoothing=0.0, scaling="none")
    model.fit(X, [0, 1, 0, 1], sample_weight=[3.0, 1.0, 0.0, 1.0])
    assert model.rows_.tolist() == [0, 1, 3]
    np.testing.assert_allclose(model.predict_proba([[0.0]]), [[0.75, 0.25]])


def test_distance_weights():
    model = LorentzianRegressor(2, weights="distance", scaling="none").fit([[1.0], [4.0]], [1.0, 2.0])
    near, far = np.log(2.0), np.log(3.0)  # from 2: |2−1|=1, |2−4|=2
    np.testing.assert_allclose(model.predict([[2.0]]), (1 / near + 2 / far) / (1 / near + 1 / far))
    assert model.predict([[4.0]]).tolist() == [2.0], "a row met before decides alone"


def test_clipping_takes_the_power_from_outliers():
    X, y = market(n_rows=300)
    wild = X.copy()
    wild.iloc[100, 0] = 1e12
    calm = LorentzianClassifier().fit(X, y).predict_proba(X.iloc[:50])
    assert np.abs(LorentzianClassifier().fit(wild, y).predict_proba(X.iloc[:50]) - calm).max() < 0.2


def test_a_class_that_the_window_lost_keeps_a_probability():
    X, _ = market(n_rows=60)
    y = np.r_[np.ones(30, int), np.zeros(30, int)]
    proba = LorentzianClassifier(max_window=20).fit(X, y).predict_proba(X)
    assert (proba > 0).all()


@pytest.mark.parametrize(
    "name, value",
    [
        ("n_neighbors", 0),
        ("n_neighbors", 2.0),
        ("min_spacing", 0),
        ("max_window", -1),
        ("weights", "near"),
        ("scaling", "minmax"),
        ("clip", -1.0),
        ("clip", float("nan")),
        ("smoothing", -0.1),
        ("n_jobs", 0),
        ("n_neighbors", 1000),
        ("calibrate", "yes"),
        ("label_horizon", 0),
    ],
)
def test_a_bad_parameter_is_named(name, value):
    X, y = market(n_rows=40)
    with pytest.raises(ValueError, match="'n_jobs'" if name == "n_jobs" else name):
        LorentzianClassifier(**{name: value}).fit(X, y)


def test_more_neighbours_than_rows_is_refused():
    X, y = market(n_rows=40)
    model = LorentzianClassifier().fit(X, y)
    with pytest.raises(InvalidInput, match="n_neighbors"):
        model.kneighbors(X, 41)
    with pytest.raises(InvalidInput, match="n_neighbors"):
        model.kneighbors(None, 40)


@pytest.mark.parametrize("edges", [1e300, 1e-300])
def test_extreme_scales_survive_scaling(edges):
    X, y = market(n_rows=60)
    proba = LorentzianClassifier().fit(X * edges, y).predict_proba(X * edges)
    assert np.isfinite(proba).all()


@pytest.mark.parametrize("smoothing", [0.0, 1.0, 8.0])
def test_calibrated_probabilities_mean_what_they_say(smoothing):
    rng = np.random.default_rng(3)
    X = rng.standard_normal((3000, 3))
    y = (rng.random(3000) < 1 / (1 + np.exp(-1.5 * X[:, 0]))).astype(int)
    given, asked = slice(0, 2000), slice(2000, 3000)
    raw = LorentzianClassifier(16, smoothing=smoothing).fit(X[given], y[given])
    model = LorentzianClassifier(16, smoothing=smoothing, calibrate=True).fit(X[given], y[given])
    proba = model.predict_proba(X[asked])[:, 1]
    assert model.evaluate(X[asked], y[asked])["log_loss"] <= raw.evaluate(X[asked], y[asked])["log_loss"] + 0.003
    for low, high in [(0.0, 0.35), (0.35, 0.65), (0.65, 1.0)]:
        inside = (proba >= low) & (proba < high)
        assert inside.sum() > 50
        assert abs(proba[inside].mean() - y[asked][inside].mean()) < 0.09


def test_calibration_ignores_a_vote_that_knows_nothing():
    rng = np.random.default_rng(4)
    X, y = rng.standard_normal((3000, 3)), (rng.random(3000) < 0.6).astype(int)
    model = LorentzianClassifier(calibrate=True, smoothing=1.0).fit(X[:2000], y[:2000])
    assert model.calibration_[0] < 0.15
    assert model.evaluate(X[2000:], y[2000:])["log_loss"] < 0.69


def test_calibration_learns_from_earlier_rows_only():
    X, y = market(n_rows=200)
    model = LorentzianClassifier(calibrate=True, label_horizon=5).fit(X, y)
    earlier = LorentzianClassifier().fit(X.iloc[:135], y[:135])  # 70 % of the times, less the horizon
    expected = fit_calibration(earlier.predict_proba(X.iloc[140:]), y[140:])
    np.testing.assert_allclose(model.calibration_, expected, rtol=1e-9)
    with pytest.raises(InvalidInput, match="calibrate"):
        LorentzianClassifier(calibrate=True).fit(X.iloc[:11], y[:11])


def test_a_damaged_calibration_is_refused():
    X, y = market(n_rows=60)
    state = LorentzianClassifier(calibrate=True).fit(X, y).get_state()
    for theta in (np.array([-1.0, 0.0, 0.0]), np.zeros(2), np.array([1.0, np.nan, 0.0])):
        with pytest.raises(InvalidState):
            restore(_damaged(state, calibration=theta))


def _damaged(state: State, **changes) -> State:
    arrays = {**state.arrays, **{k: v for k, v in changes.items() if k in state.arrays}}
    spec = {**state.spec, **{k: v for k, v in changes.items() if k not in state.arrays}}
    return State(state.kind, spec, arrays)


@pytest.mark.parametrize(
    "name, change",
    [
        ("reference", lambda a: a[:, :2]),
        ("reference", lambda a: a[:0]),
        ("reference", lambda a: np.full_like(a, np.nan)),
        ("reference", lambda a: a.astype(np.float32)),
        ("target", lambda a: a + 5),
        ("target", lambda a: a - 1),
        ("target", lambda a: a[:-1]),
        ("target", lambda a: a.astype(float)),
        ("rows", lambda a: a + 1000),
        ("rows", lambda a: a - 1000),
        ("bars", lambda a: a.astype(float)),
        ("row_weights", lambda a: -a),
        ("scale", lambda a: 0 * a),
        ("center", lambda a: a[:1]),
    ],
)
def test_a_damaged_state_is_refused(name, change):
    X, y = market(n_rows=40)
    state = LorentzianClassifier().fit(X, y).get_state()
    with pytest.raises(InvalidState):
        restore(_damaged(state, **{name: change(state.arrays[name])}))


@pytest.mark.parametrize("spec", [{}, {"n_samples_fit": "many"}, {"n_samples_fit": True}, []])
def test_a_damaged_spec_is_refused(spec):
    X, y = market(n_rows=40)
    state = LorentzianClassifier().fit(X, y).get_state()
    with pytest.raises(InvalidState):
        restore(_damaged(state, fitted=spec))


def test_same_answer_for_any_number_of_threads(monkeypatch):
    counts = []

    def in_threads(work, count):
        counts.append(count)
        workers.in_threads(work, count)

    monkeypatch.setattr(lorentzian_threads, "in_threads", in_threads)
    monkeypatch.setattr(lorentzian_threads, "ONE_THREAD_WORK", 0)
    X, y = market(n_rows=900)
    one, two, five = (LorentzianClassifier(n_jobs=jobs).fit(X, y).predict_proba(X) for jobs in (1, 2, 5))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one, five)
    assert set(counts) == {2, 5}
