import numpy as np
import pytest

from consilience.base import InvalidInput
from consilience.ensemble import StackingClassifier
from consilience.evaluation import PurgedWalkForward
from consilience.training import Config
from consilience.training.members import build_ensemble, build_members
from consilience.training.problem import build_splitter

FUSION = """members.fusion={model: FusionClassifier, params: {fusion: gated,
    encoders: {net: {model: LSTMClassifier, params: {window: 9}}}, booster: {model: LightGBMClassifier}}}"""
SPECIALISTS = """{model: RegimeSpecialistClassifier, params: {model: {model: LogisticClassifier},
    regimes: {model: RegimeFeatures, params: {n_components: 2}}}}"""
MISSPELT = "{model: FusionClassifier, params: {encoders: {n: {model: LSTMClassifier, params: {windows: 3}}}}}"


def built(*overrides):
    return dict(build_members(Config.load("demo", ["seed=7", "folds.splits=3", *overrides])))


def test_members_get_the_seed():
    members = built("members.lstm.params.random_state=1")
    assert members["lstm"].random_state == 1 and members["forest"].random_state == 7


def test_a_fusion_is_written_like_its_parts():
    fusion = built(FUSION)["fusion"]
    (name, network), *rest = fusion.encoders
    assert not rest and name == "net" and network.window == 9 and network.random_state == 7
    assert type(fusion.booster).__name__ == "LightGBMClassifier" and fusion.fusion == "gated"
    assert isinstance(fusion.folds, PurgedWalkForward) and fusion.folds.n_splits == 3
    assert fusion.lookback == 8


def test_specialists_and_inner_stacks_too():
    own = built(f"members.own={SPECIALISTS}")["own"]
    assert own.regimes.n_components == 2 and own.folds.n_splits == 3
    inner = "members.inner={model: StackingClassifier, params: {members: {a: {model: LogisticClassifier}}}}"
    stack = built(inner)["inner"]
    assert [name for name, _ in stack.members] == ["a"] and stack.folds.n_splits == 3


def test_specialists_train_from_a_configuration():
    from consilience.training.problem import build_problem, load_bars

    config = Config.load("planted", ["data.planted.bars=600", "folds.splits=2", f"members={{own: {SPECIALISTS}}}"])
    members = build_members(config)
    problem = build_problem(config, load_bars(config)[0])
    X, y, ends = problem.part(problem.development)
    model = members[0][1].fit(X, y, label_end=ends)
    assert np.isfinite(model.predict_proba(X)).all()


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("members.a={model: FusionClassifier, params: {boster: 1}}", "Did you mean 'booster'?"),
        ("members.a={model: FusionClassifier}", "members.a.params: FusionClassifier needs encoders and booster"),
        (
            "members.a={model: FusionClassifier, params: {encoders: {n: {model: LTSMClassifier}}}}",
            "members.a.params.encoders: there is no model 'LTSMClassifier'. Did you mean 'LSTMClassifier'?",
        ),
        (
            f"members.a={MISSPELT}",
            "members.a.params.encoders.n.params: LSTMClassifier has no parameter 'windows'. Did you mean 'window'?",
        ),
    ],
)
def test_mistakes_are_named_where_they_are(override, words):
    with pytest.raises(InvalidInput) as error:
        built(override)
    assert words in str(error.value)


def ensemble(*overrides):
    config = Config.load("demo", ["seed=7", "members={a: {model: LogisticClassifier}}", *overrides])
    return build_ensemble(config, build_members(config), build_splitter(config))


def test_the_ensemble_of_the_defaults_is_the_plain_stack():
    plain = StackingClassifier(ensemble().members, ensemble().folds)
    assert repr(ensemble().get_params(deep=False)) == repr(plain.get_params(deep=False))


def test_the_ensemble_section_reaches_the_stack():
    stack = ensemble(
        "ensemble.regimes={model: RegimeFeatures, params: {n_components: 2}}",
        "ensemble.final_estimator={model: LogisticClassifier, params: {C: 0.5}}",
        "ensemble.passthrough=true",
        "ensemble.max_correlation=0.9",
        "ensemble.confidence_threshold=0.55",
        "ensemble.quorum=1",
        "ensemble.fit_budget=60",
        "ensemble.predict_budget=0.5",
    )
    assert stack.regimes.n_components == 2 and stack.regimes.random_state == 7
    assert stack.final_estimator.C == 0.5 and stack.passthrough and stack.max_correlation == 0.9
    assert stack.confidence_threshold == 0.55 and stack.quorum == 1 and isinstance(stack.quorum, int)
    assert (stack.fit_budget, stack.predict_budget) == (60.0, 0.5)
    assert ensemble("ensemble.selection=specialist").selection == "specialist"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("ensemble.regimes={model: LogisticClassifier}", "ensemble.regimes: LogisticClassifier is not a regime model"),
        ("ensemble.final_estimator={model: RegimeFeatures}", "ensemble.final_estimator: RegimeFeatures is not a class"),
        (
            "ensemble.regimes={model: RegimeFeatures, params: {component: 2}}",
            "ensemble.regimes.params: RegimeFeatures has no parameter 'component'. Did you mean 'n_components'?",
        ),
    ],
)
def test_mistakes_in_the_ensemble_are_named_where_they_are(override, words):
    with pytest.raises(InvalidInput) as error:
        ensemble(override)
    assert words in str(error.value)
