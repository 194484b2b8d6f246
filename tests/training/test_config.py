import json

import pytest
import yaml

from consilience.base import InvalidInput
from consilience.training.config import Config, bundled_names


def test_the_defaults_are_the_demo():
    assert Config().dump() == Config.load("demo").dump() == Config.load().dump()


@pytest.mark.parametrize("name", bundled_names())
def test_a_bundled_config_survives_yaml_and_json(tmp_path, name):
    config = Config.load(name)
    (tmp_path / "c.yaml").write_text(config.to_yaml())
    (tmp_path / "c.json").write_text(json.dumps(config.dump()))
    assert Config.load(tmp_path / "c.yaml") == Config.load(tmp_path / "c.json") == config


def test_any_value_can_be_overridden():
    config = Config.load("demo", ["data.path=prices.csv", "members.lstm.params.epochs=3", "features=[ret_1, gap]"])
    assert config.data.source == "csv" and str(config.data.path) == "prices.csv"
    assert config.members["lstm"].params == {"epochs": 3}
    assert config.feature_names == ["ret_1", "gap"]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("ensemble.quorumm=1", "there is no key 'ensemble.quorumm'. Did you mean 'quorum'?"),
        ("ensemble.regimes.modle=X", "Did you mean 'model'?"),
        ("ensemble.regimes.model=RegimeFeature", "Did you mean 'RegimeFeatures'?"),
        ("ensemble.selection=best", "ensemble.selection: input should be 'weights' or 'specialist'"),
        ("ensemble.max_correlation=2", "less than or equal to 1"),
        ("ensemble.fit_budget=0", "greater than 0"),
        ("ensemble.confidence_threshold=x", "ensemble.confidence_threshold: input should be a valid number"),
        ("ensemble.quorum=9", "a number of members from 1 to 8"),
        ("ensemble.passthrough=true", "passthrough needs a final_estimator"),
        ("fold.splits=3", "Did you mean 'folds'?"),
        ("folds.split=3", "Did you mean 'splits'?"),
        ("data.planted.bar=3", "Did you mean 'bars'?"),
        ("members.lstm.modle=X", "Did you mean 'model'?"),
        ("members.lstm.model=LTSMClassifier", "Did you mean 'LSTMClassifier'?"),
        ("features=[rsi14]", "Did you mean 'rsi_14'?"),
        ("seed=x", "seed: input should be a valid integer"),
        ("folds.splits=1", "greater than or equal to 2"),
        ("label=up", "direction_Nd"),
        ("name=Bad Name", "'index-direction'"),
        ("data.source=csv", "data.path=FILE.csv"),
        ("seed", "key=value"),
        ("seed.x=1", "holds a value"),
        ("members={}", "at least 1 item"),
        ("holdout=2", "less than or equal to 0.5"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_key(override, words):
    with pytest.raises(InvalidInput) as caught:
        Config.load("demo", [override])
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["- a\n- b", "a: [", "\t:", "a: b: c"])
def test_files_that_are_no_config_are_refused(tmp_path, text):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(InvalidInput, match=r"c\.yaml"):
        Config.load(tmp_path / "c.yaml")


def test_a_missing_file_names_the_bundled_ones():
    with pytest.raises(InvalidInput, match="planted"):
        Config.load("plantd")


def test_yaml_in_a_config_runs_nothing(tmp_path):
    (tmp_path / "c.yaml").write_text("name: !!python/object/apply:os.system ['true']")
    with pytest.raises(InvalidInput):
        Config.load(tmp_path / "c.yaml")
    assert yaml.safe_load(Config().to_yaml())["name"] == "index-direction"
