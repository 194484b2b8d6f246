"""Every network keeps the contract of the predictors, on whichever backend this process runs."""

import pickle

import numpy as np
import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from consilience.base import restore
from consilience.keras_models import (
    CNNClassifier,
    CNNRegressor,
    LSTMClassifier,
    LSTMRegressor,
    TransformerClassifier,
    TransformerRegressor,
)
from tests.contracts.predictor import check_predictor, market, outputs

pytestmark = pytest.mark.xdist_group("keras")

TINY = {"window": 5, "epochs": 2, "batch_size": 64, "random_state": 0}
CLASSIFIERS = [
    LSTMClassifier(**TINY, units=4),
    TransformerClassifier(**TINY, width=4),
    CNNClassifier(**TINY, filters=4, layers=1),
]
REGRESSORS = [
    LSTMRegressor(**TINY, units=4),
    TransformerRegressor(**TINY, width=4),
    CNNRegressor(**TINY, filters=4, layers=1),
]
ALL = CLASSIFIERS + REGRESSORS


def name(estimator):
    return type(estimator).__name__


@pytest.mark.parametrize("estimator", ALL, ids=name)
@pytest.mark.parametrize("assets", [1, 2])
def test_contract(estimator, assets):
    check_predictor(estimator, atol=2e-6, assets=assets)


@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=name)
def test_assets_do_not_see_each_other(estimator):
    X, y = market(assets=2)
    model = estimator.fit(X, y)
    out = model.predict_proba(X)
    own = X.index.get_level_values("asset") == "a0"
    other = X.copy()
    other.loc[~own] = 7.0
    np.testing.assert_allclose(model.predict_proba(other)[own], out[own], atol=2e-6)
    np.testing.assert_allclose(model.predict_proba(X[own]), out[own], atol=2e-6)


@pytest.mark.parametrize("estimator", CLASSIFIERS[:2], ids=name)
def test_one_seed_gives_one_result_and_another_another(estimator):
    X, y = market()
    first, second = (estimator.fit(X, y).predict_proba(X) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    other = type(estimator)(**{**estimator.get_params(), "random_state": 1}).fit(X, y)
    assert np.abs(other.predict_proba(X) - first).max() > 1e-4


def test_classes_may_be_many_and_have_any_name():
    X, _ = market()
    y = np.array(["down", "flat", "up"])[np.digitize(X["f0"], [-0.5, 0.5])]
    model = LSTMClassifier(**TINY, units=4).fit(X, y)
    assert list(model.classes_) == ["down", "flat", "up"]
    assert model.predict_proba(X).shape == (len(X), 3)
    again = restore(model.get_state())
    assert set(again.predict(X)) <= set(model.classes_)


def test_targets_may_be_several():
    X, _ = market()
    y = X[["f0", "f1"]].to_numpy() * [1.0, 1000.0] + [0.0, 5000.0]
    model = CNNRegressor(**{**TINY, "epochs": 60}, filters=8, layers=1, learning_rate=0.01).fit(X, y)
    out = model.predict(X)
    assert out.shape == y.shape
    assert (np.corrcoef(out[:, 0], y[:, 0])[0, 1], np.corrcoef(out[:, 1], y[:, 1])[0, 1]) > (0.9, 0.9)
    np.testing.assert_array_equal(restore(model.get_state()).predict(X), out)


@pytest.mark.parametrize("estimator", ALL[:2], ids=name)
def test_a_pickled_model_predicts_the_same(estimator):
    X, y = market()
    model = estimator.fit(X, y)
    model.predict(X)
    np.testing.assert_array_equal(outputs(pickle.loads(pickle.dumps(model)), X), outputs(model, X))  # noqa: S301


def test_embed_gives_the_representation_before_the_head():
    X, y = market()
    model = LSTMClassifier(**TINY, units=4).fit(X, y)
    representation = model.embed(X)
    assert representation.shape == (len(X), 4)
    kernel, bias = model.weights_[-2], model.weights_[-1]
    logits = representation @ kernel + bias
    proba = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(proba, model.predict_proba(X), atol=1e-5)


# scikit-learn's checks shuffle rows and cut them up, which a window forbids, so they run on networks with window 1.
# They also ask for high accuracy after one fit; 60 epochs of a small step are enough on their data.
def _for_checks():
    yield LSTMClassifier(window=1, units=8, epochs=60, batch_size=32, learning_rate=0.02, dropout=0.0, random_state=0)
    yield LSTMRegressor(window=1, units=8, epochs=60, batch_size=32, learning_rate=0.02, dropout=0.0, random_state=0)


NOT_KEPT = {
    "check_sample_weight_equivalence_on_dense_data": "a repeated row falls into other batches than a row of weight 2",
}


@parametrize_with_checks(list(_for_checks())[:1], expected_failed_checks=lambda _: NOT_KEPT)
def test_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(list(_for_checks())[1:], expected_failed_checks=lambda _: NOT_KEPT)
def test_scikit_learn_regressors(estimator, check):
    check(estimator)


ONE_EACH = ("check_estimators_nan_inf", "check_dict_unchanged")


def _one_each():
    for cls, size in [
        (TransformerClassifier, "width"),
        (CNNClassifier, "filters"),
        (LSTMRegressor, "units"),
        (TransformerRegressor, "width"),
        (CNNRegressor, "filters"),
    ]:
        small = cls(window=1, epochs=1, random_state=0, layers=1, **{size: 4})
        for estimator, check in estimator_checks_generator(small):
            if check.func.__name__ in ONE_EACH:
                yield pytest.param(estimator, check, id=f"{cls.__name__}-{check.func.__name__}")


@pytest.mark.parametrize(("estimator", "check"), list(_one_each()))
def test_scikit_learn_one_check_each(estimator, check):
    check(estimator)
