import json

import numpy as np
import pytest

from consilience.evaluation.bootstrap import Interval
from consilience.evaluation.holdout import deliver
from consilience.evaluation.ledger import Ledger

AUC, LOSS = Interval(0.56, 0.53, 0.59), Interval(0.69, 0.68, 0.70)


@pytest.mark.parametrize(
    "metric, claimed, value, words",
    [
        ("auc", AUC, 0.55, "may be chance"),
        ("auc", AUC, 0.50, "worse than claimed"),
        ("auc", AUC, 0.65, "better than claimed"),
        ("log_loss", LOSS, 0.71, "worse than claimed"),
        ("log_loss", LOSS, 0.65, "better than claimed"),
        ("auc", AUC, Interval(0.50, 0.44, 0.56), "may be chance"),
        ("auc", AUC, Interval(0.50, 0.46, 0.51), "worse than claimed"),
        ("auc", AUC, Interval(0.62, 0.55, 0.63), "may be chance"),
        ("auc", AUC, Interval(0.62, 0.61, 0.69), "better than claimed"),
        ("auc", AUC, Interval(0.62, np.nan, np.nan), "too little to compare"),
    ],
)
def test_the_sentence_says_whether_the_claim_was_kept(metric, claimed, value, words):
    found = deliver({metric: (claimed, value)})[0]
    assert words in found.sentence and found.inside == (words == "may be chance")
    assert json.loads(json.dumps(found.to_dict()))["claimed"]["lower"] == claimed.lower


def test_means_that_are_the_same_differ_by_more_than_chance_as_often_as_the_level_says():
    rng = np.random.default_rng(0)
    outside = 0
    for _ in range(2000):
        sides = [rng.normal(0.5, 1.0, n) for n in (400, 70)]
        means = [(side.mean(), 1.96 * side.std(ddof=1) / len(side) ** 0.5) for side in sides]
        claimed, delivered = (Interval(mean, mean - half, mean + half) for mean, half in means)
        outside += not deliver({"auc": (claimed, delivered)})[0].inside
    assert 0.035 < outside / 2000 < 0.07  # 5 %, and a little more for the normal quantile with 70 rows


def test_one_run_is_one_look_and_the_same_run_again_is_no_other(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    claims = {"auc": (AUC, 0.5), "log_loss": (LOSS, 0.69)}

    def look(config, data_id="a"):
        return {one.look for one in deliver(claims, ledger=ledger, data_id=data_id, config=config)}

    assert look({"x": 1}) == {1} and look({"x": 1}) == {1}
    assert look({"x": 2}) == {2} and look({"x": 1}) == {1} and look({"x": 2}, "b") == {1}
    assert ledger.looks("a") == 2 and ledger.trials("a") == []
    assert "look 2" in deliver(claims, ledger=ledger, data_id="a", config={"x": 2})[0].sentence
