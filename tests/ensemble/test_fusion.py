import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from consilience.base import CATALOG, InvalidInput, InvalidState, State, predictor_class, restore
from consilience.boosting import LightGBMClassifier, LightGBMRegressor, LogisticClassifier
from consilience.ensemble import FusionClassifier, FusionRegressor
from consilience.evaluation import PurgedKFold, PurgedWalkForward, out_of_fold
from tests.contracts.predictor import check_causal, check_predictor, market
from tests.ensemble.encoders import TurningEncoder, motif_market
from tests.support.tables import log_loss

FOLDS = PurgedWalkForward(n_splits=4, label_horizon=1)
FUSIONS = ("concatenate", "gated", "attention")


def small_booster(**params):
    return LightGBMClassifier(
        n_estimators=80, learning_rate=0.1, num_leaves=8, min_child_samples=20, random_state=0, **params
    )


def classifier(booster=None, encoder=None, **params):
    return FusionClassifier([("net", encoder or TurningEncoder())], booster or small_booster(), FOLDS, **params)


def split(n_train=900, seed=0):
    X, y = motif_market(n_train + 600, seed)
    return X.iloc[:n_train], y[:n_train], X.iloc[n_train:], y[n_train:]


@pytest.mark.parametrize("fusion", FUSIONS)
def test_fusion_beats_both_of_its_parts(fusion):
    X, y, X_new, y_new = split(1500)
    parts = [small_booster().fit(X, y), TurningEncoder().fit(X, y)]
    alone = min(log_loss(part.predict_proba(X_new), y_new) for part in parts)
    assert log_loss(classifier(fusion=fusion).fit(X, y).predict_proba(X_new), y_new) < alone - 0.05


def test_without_alignment_the_embeddings_are_useless():
    X, y, X_new, y_new = split(1500)
    aligned, turned = (classifier(align=align).fit(X, y) for align in (True, False))
    tabular = log_loss(small_booster().fit(X, y).predict_proba(X_new), y_new)
    assert log_loss(aligned.predict_proba(X_new), y_new) < tabular - 0.05
    assert log_loss(turned.predict_proba(X_new), y_new) > tabular - 0.02
    likeness = aligned.embedded_["net"].likeness
    assert likeness.shape == (4, 2) and (likeness[:, 1] > 0.95).all() and (likeness[:, 0] < 0.6).all()


def test_embeddings_out_of_fold_do_not_know_their_labels():
    """A network that remembers its rows' labels: in-sample embeddings would make the booster believe in its memory."""
    X, y, X_new, y_new = split()
    fusion = classifier(encoder=TurningEncoder(memory=4.0)).fit(X, y)
    network, found = fusion.encoders_["net"], fusion.embedded_["net"]
    rows = np.flatnonzero(found.fold >= 0)
    honest = LogisticClassifier().fit(found.values[rows], y[rows])
    assert log_loss(honest.predict_proba(found.values[rows]), y[rows]) > 0.4
    believer = LogisticClassifier().fit(network.embed(X), y)
    assert log_loss(believer.predict_proba(network.embed(X)), y) < 0.15, "the memory must be there"
    leaky = small_booster().fit(np.hstack([X, network.embed(X)]), y)
    lost = log_loss(leaky.predict_proba(np.hstack([X_new, network.embed(X_new)])), y_new)
    assert log_loss(fusion.predict_proba(X_new), y_new) < lost - 0.15


def test_nothing_from_the_future_enters_an_embedding():
    X, y = motif_market(600)
    before = classifier().fit(X, y).embedded_["net"]
    start = int((before.fold == 2).argmax())
    flipped, moved = y.copy(), X.copy()
    flipped[start - 1 :] = 1 - flipped[start - 1 :]  # the label of row start - 1 is not known when the fold begins
    end = int((before.fold == 3).argmax())
    moved.iloc[end:] = -2.0 * moved.iloc[end:] + 1.0
    after = classifier().fit(moved, flipped).embedded_["net"]
    early = before.fold[:end] >= 0
    np.testing.assert_allclose(after.values[:end][early], before.values[:end][early], atol=1e-9)
    late = before.fold == 3
    assert not np.allclose(after.values[late], before.values[late], atol=0.1), "the check must be able to fail"


class Unpurged(PurgedWalkForward):
    def split(self, X, y=None, groups=None, *, label_end=None):
        for _, test in super().split(X, y, label_end=label_end):
            yield np.arange(test[0]), test


def test_overlapping_labels_are_purged():
    """The label of row i is told by row i + 10 only: whoever trains up to the test rows knows part of their answer."""
    X, y = motif_market(600)
    ends = np.minimum(np.arange(600) + 10, 599)
    arrays = X.to_numpy()
    fitted = {}
    for kind in (PurgedWalkForward, Unpurged):
        fusion = FusionClassifier([("net", TurningEncoder(memory=1.0))], small_booster(), kind(n_splits=4))
        fitted[kind] = fusion.fit(arrays, y, label_end=ends).embedded_["net"]
    start = int((fitted[Unpurged].fold == 2).argmax())
    flipped = y.copy()
    flipped[start - 10 : start] = 1 - flipped[start - 10 : start]
    for kind, same in ((PurgedWalkForward, True), (Unpurged, False)):
        fusion = FusionClassifier([("net", TurningEncoder(memory=1.0))], small_booster(), kind(n_splits=4))
        other = fusion.fit(arrays, flipped, label_end=ends).embedded_["net"]
        rows = other.fold == 2
        assert np.allclose(other.values[rows], fitted[kind].values[rows], atol=1e-9) == same


@pytest.mark.parametrize("fusion", FUSIONS)
def test_predictions_are_causal_and_need_the_lookback_only(fusion):
    X, y = market(400)
    model = classifier(fusion=fusion).fit(X, y)
    assert model.lookback == 2
    check_causal(model.predict_proba, X)
    whole = model.predict_proba(X)
    np.testing.assert_allclose(model.predict_proba(X.iloc[-7:])[-5:], whole[-5:], atol=1e-9)
    np.testing.assert_array_equal(model.predict_proba(X[X.columns[::-1]]), whole)


@pytest.mark.parametrize("fusion", ["gated", "attention"])
def test_gates_of_a_fold_ignore_its_labels_and_later_ones(fusion):
    X, y = motif_market(600)
    seen = []

    class Spy(LogisticClassifier):
        def fit(self, X, y, **options):
            seen.append(np.asarray(X))
            return super().fit(X, y, **options)

    fold = classifier(Spy(), fusion=fusion, n_components=None).fit(X, y).embedded_["net"].fold
    start, covered = int((fold == 2).argmax()), int((fold >= 0).argmax())
    flipped = y.copy()
    flipped[start - 1 :] = 1 - flipped[start - 1 :]
    classifier(Spy(), fusion=fusion, n_components=None).fit(X, flipped)
    stop = int((fold == 3).argmax()) - covered
    np.testing.assert_allclose(seen[1][:stop], seen[0][:stop], atol=1e-7)
    assert not np.allclose(seen[1][stop:], seen[0][stop:], atol=1e-3)


def test_a_fusion_goes_out_of_fold_with_label_ends():
    X, y = motif_market(900)
    ends = X.index.to_series().shift(-1).fillna(X.index[-1] + np.timedelta64(1, "D"))
    record = out_of_fold(classifier(), X, y, PurgedWalkForward(n_splits=2), label_end=ends)
    assert np.isfinite(record.proba[record.rows]).all()


def test_regression_and_several_encoders():
    X, y = motif_market(900)
    encoders = [("short", TurningEncoder(window=1)), ("long", TurningEncoder(window=3))]

    class Signs(TurningEncoder):
        def fit(self, X, y, **options):
            return super().fit(X, np.asarray(y) > 0, **options)

    encoders = [(name, Signs(window=one.window)) for name, one in encoders]
    target = y - 0.5 + 0.1 * X["f3"].to_numpy()
    model = FusionRegressor(
        encoders,
        LightGBMRegressor(n_estimators=60),
        FOLDS,
        fusion="attention",
        groups={"a": ["f0", "f1"], "b": ["f3", "f2"]},
    ).fit(X, target)
    assert np.corrcoef(model.predict(X), target)[0, 1] > 0.5
    assert model.fused_names_[-4:] == ["attended_a", "attended_b", "attended_short", "attended_long"]
    assert model.fused_importances_.index.tolist() == model.fused_names_
    np.testing.assert_allclose(model.gate_.attention(np.zeros((3, 16))).sum(axis=1), 1.0)


def test_embeddings_are_shared_between_fusions():
    X, y = motif_market(600)
    first = classifier().fit(X, y)

    class Refusing(TurningEncoder):
        def fit(self, X, y, **options):
            raise AssertionError("fitted again")

    again = classifier(encoder=Refusing()).fit(X, y, embedded=first.embedded_)
    np.testing.assert_array_equal(again.predict_proba(X), first.predict_proba(X))
    with pytest.raises(InvalidInput, match="other rows or folds"):
        classifier().fit(X.iloc[:500], y[:500], embedded=first.embedded_)
    with pytest.raises(InvalidInput, match=r"'embedded' parameter of FusionClassifier .* Did you mean 'net'"):
        classifier().fit(X, y, embedded={"nett": first.embedded_["net"]})


class Lagged(LogisticClassifier):
    """A booster that reads the row before, too."""

    lookback = 1

    def _both(self, X):
        values = np.asarray(X, float)
        return np.hstack([values, np.vstack([values[:1], values[:-1]])])

    def fit(self, X, y, **options):
        return super().fit(self._both(X), y, **options)

    def predict_proba(self, X):
        return super().predict_proba(self._both(X))


def test_a_booster_that_looks_back_needs_fused_rows_which_need_the_encoders_rows():
    X, y = motif_market(400)
    model = classifier(Lagged()).fit(X, y)
    assert model.lookback == 3 == classifier(Lagged()).lookback
    whole = model.predict_proba(X)
    np.testing.assert_allclose(model.predict_proba(X.iloc[-6:])[-3:], whole[-3:], atol=1e-9)
    assert not np.allclose(model.predict_proba(X.iloc[-3:])[-1:], whole[-1:], atol=1e-9), "fewer rows must not do"


def test_folds_that_share_no_training_rows_cannot_be_aligned():
    X, y = motif_market(400)
    rolling = PurgedWalkForward(n_splits=3, label_horizon=1, max_train_size=60)
    with pytest.raises(InvalidInput, match=r"'folds' parameter of a fusion .* align=False"):
        classifier().set_params(folds=rolling).fit(X, y)
    model = classifier(align=False).set_params(folds=rolling).fit(X, y)
    assert np.isnan(model.embedded_["net"].likeness[:-1]).all()
    assert np.isfinite(model.predict_proba(X)).all()


def fusions(fusion):
    return FusionClassifier(
        [("net", TurningEncoder())], LogisticClassifier(), PurgedKFold(3, label_horizon=1), fusion=fusion
    )


@pytest.mark.parametrize("assets", [1, 2])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_contract(fusion, assets, monkeypatch):
    if assets == 2:
        monkeypatch.setattr(TurningEncoder, "_lagged", lambda self, X: np.tile(np.asarray(X, float), self.window))
    monkeypatch.setitem(CATALOG, "TurningEncoder", "tests.ensemble.encoders")
    check_predictor(fusions(fusion), assets=assets)


FAILS = {
    "check_sample_weight_equivalence_on_dense_data": "repeated rows move the folds' boundaries",
    "check_methods_sample_order_invariance": "a row's embedding depends on the rows before it",
    "check_methods_subset_invariance": "a row's embedding depends on the rows before it",
}


@parametrize_with_checks([fusions("concatenate"), fusions("gated")], expected_failed_checks=lambda estimator: FAILS)
def test_sklearn(estimator, check):
    check(estimator)


def test_weights_reach_encoders_and_booster():
    X, y = motif_market(600)
    odd = np.arange(600) % 2 == 1
    flipped = np.where(odd, 1 - y, y)
    model = classifier(LogisticClassifier()).fit(X, flipped, sample_weight=np.where(odd, 1e-9, 1.0))
    assert model.score(X.iloc[~odd], y[~odd]) > 0.55


def test_parameters_of_the_parts_are_reachable():
    model = classifier()
    model.set_params(net__window=5, booster__n_estimators=7)
    assert model.lookback == 4 and clone(model).get_params()["booster__n_estimators"] == 7


@pytest.mark.parametrize(
    ("params", "word"),
    [
        ({"encoders": []}, "encoders"),
        ({"encoders": [("net", LogisticClassifier())]}, "embed"),
        ({"folds": None}, "folds"),
        ({"fusion": "sum"}, "fusion"),
        ({"n_components": 0}, "n_components"),
        ({"fusion": "attention", "groups": {"a": ["f0"]}}, "groups"),
    ],
)
def test_wrong_parameters_are_named(params, word):
    X, y = market(200)
    with pytest.raises(InvalidInput, match=word):
        classifier().set_params(**params).fit(X, y)


def check_state(model, X):
    state = model.get_state()
    again = restore(state)
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert again.get_state().digest() == state.digest()
    return state


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_stored_fusion_comes_back(fusion, monkeypatch):
    monkeypatch.setitem(CATALOG, "TurningEncoder", "tests.ensemble.encoders")
    X, y = market(300)
    groups = {"a": ["f0", "f1"], "b": ["f3", "f2"]} if fusion == "attention" else None
    model = classifier(LogisticClassifier(), fusion=fusion, groups=groups).fit(X, y)
    state = check_state(model, X)
    assert restore(state).fused_names_ == model.fused_names_
    for name, value in state.arrays.items():
        if value.dtype.kind != "f":
            continue
        damaged = State(state.kind, state.spec, {**state.arrays, name: value[:-1]}, state.children)
        with pytest.raises(InvalidState):
            restore(damaged)
        damaged = State(state.kind, state.spec, {**state.arrays, name: value * np.nan}, state.children)
        with pytest.raises(InvalidState):
            restore(damaged)
    turned = {**state.arrays, "align0_rotation": 2.0 * state.arrays["align0_rotation"]}
    with pytest.raises(InvalidState, match="orthogonal"):
        restore(State(state.kind, state.spec, turned, state.children))


@pytest.mark.slow
@pytest.mark.parametrize("network", ["LSTMClassifier", "TransformerClassifier", "CNNClassifier"])
def test_a_fusion_of_a_real_network_is_causal_and_comes_back(network):
    X, y = market(200)
    encoder = predictor_class(network)(window=5, epochs=2, random_state=0)
    model = FusionClassifier([("net", encoder)], LogisticClassifier(), PurgedKFold(3, label_horizon=1)).fit(X, y)
    assert model.lookback == 4
    check_causal(model.predict_proba, X, atol=1e-6)
    check_state(model, X)
