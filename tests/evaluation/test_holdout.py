import json

import numpy as np
import pytest

from consilience.base import InvalidInput
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


def period(rng, n, spread):
    """The mean of n outcomes in a period of its own, with its interval."""
    outcomes = rng.normal(rng.normal(0.5, spread), 1.0, n)
    half = 1.96 * outcomes.std(ddof=1) / n**0.5
    return Interval(outcomes.mean(), outcomes.mean() - half, outcomes.mean() + half)


def pooled(folds):
    mean = np.mean([one.estimate for one in folds])
    half = np.sqrt(np.sum([(one.upper - one.estimate) ** 2 for one in folds])) / len(folds)
    return Interval(mean, mean - half, mean + half)


@pytest.mark.parametrize("spread", [0.0, 0.1, 0.3])
def test_periods_that_differ_do_not_break_a_promise_more_often_than_the_level_says(spread):
    """The hold-out is a draw like the folds: their scatter, estimated from five, is part of what to expect."""
    rng = np.random.default_rng(1)
    outside, by_chance = 0, 0
    for _ in range(1000):
        folds, late = [period(rng, 200, spread) for _ in range(5)], period(rng, 200, spread)
        claims = {"auc": (pooled(folds), late)}
        outside += not deliver(claims, folds={"auc": folds})[0].inside
        by_chance += not deliver(claims)[0].inside
    assert outside < 75, "5 % of 1000, and what an estimate from five folds costs"
    assert by_chance > 150 or spread < 0.1, "the check must be able to fail"


def test_always_saying_the_base_rate_of_coin_flips_keeps_its_promise():
    """Each fold's base rate is off by a little of its own: chance alone breaks 7 to 8 of 100 promises, not 5."""
    rng = np.random.default_rng(0)
    kept, by_chance = 0, 0
    for _ in range(2000):
        ups = rng.binomial(910, 0.508, 7)
        ups = [*ups.tolist(), rng.binomial(1120, 0.508)]
        sizes = [910] * 7 + [1120]
        periods = []
        for number in range(2, 8):
            base, up = sum(ups[:number]) / sum(sizes[:number]), ups[number] / sizes[number]
            loss = -up * np.log(base) - (1 - up) * np.log(1 - base)
            half = 1.96 * abs(np.log(base / (1 - base))) * np.sqrt(up * (1 - up) / sizes[number])
            periods.append(Interval(loss, loss - half, loss + half))
        *folds, late = periods
        claims = {"log_loss": (pooled(folds), late)}
        kept += deliver(claims, folds={"log_loss": folds})[0].inside
        by_chance += deliver(claims)[0].inside
    assert kept >= 1900 and 1820 < by_chance < 1870


def test_a_claim_that_all_folds_share_is_not_excused_by_them():
    """What leaked into every fold alike does not scatter between folds."""
    folds = [Interval(0.682 + shift, 0.674 + shift, 0.690 + shift) for shift in (-0.004, 0.003, 0.0, -0.002, 0.003)]
    found = deliver(
        {"log_loss": (Interval(0.682, 0.678, 0.686), Interval(0.693, 0.687, 0.699))}, folds={"log_loss": folds}
    )
    assert found[0].between_folds == 0.0 and "worse than claimed" in found[0].sentence


def test_folds_that_scatter_excuse_what_they_scatter_by_and_no_more():
    """Five folds a little apart: half as far again is within what they allow, five times as far is not."""
    folds = [Interval(0.69 + shift, 0.688 + shift, 0.692 + shift) for shift in (-0.010, -0.005, 0.0, 0.005, 0.010)]
    claimed = Interval(0.69, 0.689, 0.691)
    near, far = (
        deliver({"log_loss": (claimed, Interval(value, value - 0.002, value + 0.002))}, folds={"log_loss": folds})[0]
        for value in (0.705, 0.740)
    )
    assert near.inside and "within what the scatter of 5 folds allows" in near.sentence
    assert not far.inside and "worse than claimed" in far.sentence
    assert near.between_folds == pytest.approx(np.sqrt(0.0000625 - (0.002 / 1.96) ** 2), rel=1e-3)


@pytest.mark.parametrize(
    "folds, words", [({"AUC": [AUC]}, "folds must name metrics"), ({"auc": [0.6]}, "an Interval per fold; it has 0.6")]
)
def test_folds_that_are_none_are_named(folds, words):
    with pytest.raises(InvalidInput, match=words):
        deliver({"auc": (AUC, 0.5)}, folds=folds)


@pytest.mark.parametrize("folds", [[], [AUC], [AUC, Interval(0.5, np.nan, np.nan)]])
def test_fewer_than_two_folds_tell_nothing_of_their_scatter(folds):
    claims = {"auc": (AUC, Interval(0.50, 0.46, 0.51))}
    assert deliver(claims, folds={"auc": folds}) == deliver(claims)


def test_one_run_is_one_look_and_the_same_run_again_is_no_other(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    claims = {"auc": (AUC, 0.5), "log_loss": (LOSS, 0.69)}

    def look(config, data_id="a"):
        return {one.look for one in deliver(claims, ledger=ledger, data_id=data_id, config=config)}

    assert look({"x": 1}) == {1} and look({"x": 1}) == {1}
    assert look({"x": 2}) == {2} and look({"x": 1}) == {1} and look({"x": 2}, "b") == {1}
    assert ledger.looks("a") == 2 and ledger.trials("a") == []
    assert "look 2" in deliver(claims, ledger=ledger, data_id="a", config={"x": 2})[0].sentence
