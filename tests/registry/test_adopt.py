import numpy as np
import pandas as pd
import pytest

from consilience.base import ConsilienceError
from consilience.registry import Refused, RegistryError
from consilience.registry.adopt import as_predictor

RNG = np.random.default_rng(0)
X = RNG.standard_normal((300, 4))
Y = (X[:, 0] - X[:, 1] + 0.3 * RNG.standard_normal(300) > 0).astype(int)
THREE = np.digitize(X[:, 0], [-0.5, 0.5])


def sklearn_models():
    from sklearn import ensemble, linear_model, tree
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    yield "forest", ensemble.RandomForestClassifier(12, random_state=0), Y
    yield "forest of three", ensemble.RandomForestClassifier(12, random_state=0), THREE
    yield "text labels", ensemble.RandomForestClassifier(5, random_state=0), np.array(["down", "up"])[Y]
    yield "forest regressor", ensemble.RandomForestRegressor(12, random_state=0), X[:, 0]
    yield "extra trees", ensemble.ExtraTreesClassifier(12, random_state=0), Y
    yield "tree", tree.DecisionTreeRegressor(random_state=0), X[:, 0]
    yield "logistic", linear_model.LogisticRegression(), Y
    yield "multinomial", linear_model.LogisticRegression(), THREE
    yield "ridge", linear_model.Ridge(), X[:, 0]
    yield "least squares", linear_model.LinearRegression(), X[:, 0]
    yield "lasso", linear_model.Lasso(0.01), X[:, 0]
    yield "scaled logistic", make_pipeline(StandardScaler(), linear_model.LogisticRegression()), Y
    yield "scaled ridge", make_pipeline(StandardScaler(with_std=False), linear_model.Ridge()), X[:, 0]


@pytest.mark.parametrize(("name", "model", "y"), list(sklearn_models()), ids=lambda v: v if isinstance(v, str) else "")
def test_scikit_learn_models_predict_the_same(local, name, model, y):
    frame = pd.DataFrame(X * 3 + 1, columns=list("abcd"))
    model.fit(frame, y)
    version = local.adopt("taken", model)
    loaded = local.load("taken")
    assert version.lineage["adopted"].startswith("sklearn") and list(loaded.feature_names_in_) == list("abcd")
    if hasattr(model, "classes_"):
        np.testing.assert_allclose(loaded.predict_proba(frame), model.predict_proba(frame), atol=1e-9)
        np.testing.assert_array_equal(loaded.classes_, model.classes_)
    else:
        np.testing.assert_allclose(loaded.predict(frame), model.predict(frame), atol=1e-9)


@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical", "tied"])
def test_hmmlearn_models_score_the_same(local, covariance_type):
    hmmlearn = pytest.importorskip("hmmlearn.hmm")
    model = hmmlearn.GaussianHMM(3, covariance_type=covariance_type, random_state=0, n_iter=5).fit(X)
    local.adopt("regimes", model)
    loaded = local.load("regimes")
    assert loaded.score(X) == pytest.approx(model.score(X), rel=1e-9)
    np.testing.assert_array_equal(loaded.decode(X)[1], model.decode(X)[1])


@pytest.mark.parametrize("kind", ["XGBClassifier", "XGBRegressor", "LGBMClassifier", "LGBMRegressor"])
def test_boosters_predict_the_same_from_memory_and_from_their_files(local, tmp_path, kind):
    library = pytest.importorskip("xgboost" if kind.startswith("XGB") else "lightgbm")
    options = {"verbose": -1} if kind.startswith("LGBM") else {}
    model = getattr(library, kind)(n_estimators=10, **options).fit(X, Y if "Class" in kind else X[:, 0])
    booster = model.get_booster() if kind.startswith("XGB") else model.booster_
    ends = {"XGBClassifier": ("json", "ubj"), "XGBRegressor": ("json",)}.get(kind, ("txt",))
    paths = [tmp_path / f"m.{end}" for end in ends]
    for path in paths:
        booster.save_model(str(path))
    for source in (model, booster, *paths):
        adopted = as_predictor(source)
        if "Class" in kind:
            np.testing.assert_allclose(adopted.predict_proba(X), model.predict_proba(X), atol=1e-6)
        else:
            np.testing.assert_allclose(adopted.predict(X), model.predict(X), atol=1e-6)
    assert local.adopt("booster", paths[0]).kind.startswith("XGBoost" if kind.startswith("XGB") else "LightGBM")


def test_what_cannot_be_adopted_is_refused_with_the_list(tmp_path):
    from sklearn.linear_model import Ridge
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline

    for model, text in (
        (KNeighborsClassifier().fit(X, Y), "RandomForestClassifier"),
        (make_pipeline(KNeighborsClassifier()).fit(X, Y), "StandardScaler"),
        (Ridge().fit(X, X[:, :2]), "several targets"),
        (object(), "cannot be adopted"),
    ):
        with pytest.raises(Refused, match=text):
            as_predictor(model)
    (tmp_path / "m.onnx").write_bytes(b"x")
    with pytest.raises(Refused, match="json"):
        as_predictor(tmp_path / "m.onnx")
    with pytest.raises(RegistryError, match="no model file"):
        as_predictor(tmp_path / "none.json")


def test_a_model_that_would_predict_differently_is_not_taken():
    from sklearn.linear_model import Ridge

    class Shifted(Ridge):
        def predict(self, X):
            return super().predict(X) + 0.001

    Shifted.__module__ = "sklearn.mine"
    with pytest.raises(Refused, match="differently"):
        as_predictor(Shifted().fit(X, X[:, 0]))


@pytest.mark.parametrize("suffix", ["json", "txt", pytest.param("ubj", marks=pytest.mark.slow)])
def test_damaged_model_files_are_named_errors(tmp_path, suffix):
    pytest.importorskip("xgboost")
    huge = b"tree\nTree=0\nnum_leaves=99999999999\n"
    for data in (b"", b"{}", b"\x00" * 100, b'{"learner": {"gradient_booster": 3}}', huge):
        path = tmp_path / f"m.{suffix}"
        path.write_bytes(data)
        with pytest.raises(ConsilienceError):
            as_predictor(path)
