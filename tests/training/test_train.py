import dataclasses
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest

from consilience.base import InvalidInput
from consilience.evaluation.holdout import between_folds
from consilience.evaluation.ledger import Ledger
from consilience.registry import Registry
from consilience.training import Config, train
from consilience.training.judgement import claimed_by_fold
from consilience.training.problem import build_problem, build_splitter, load_bars
from consilience.training.run_folder import RunFolder
from tests.training.markets import TRANSFORMERS, small_config

pytestmark = pytest.mark.xdist_group("trained")

MEMBERS = ["logistic", "forest", "xgboost", "lightgbm", "lstm", *TRANSFORMERS, "lorentzian", "hmm"]


def test_the_leaderboard_has_members_vote_stack_and_baselines_on_the_same_rows(trained):
    names = [row.name for row in trained.leaderboard]
    assert names == [*MEMBERS, "equal-weight vote", "stack", "majority class", "buy and hold"]
    for row in trained.leaderboard:
        wanted = {"sharpe"} if row.name == "buy and hold" else {"log_loss", "auc", "accuracy", "sharpe"}
        assert wanted <= set(row.metrics)
        assert wanted <= set(row.intervals) | ({"auc"} if row.baseline else set())
    lengths = {len(row.strategy.returns) for row in trained.leaderboard}
    assert len(lengths) == 1


def test_no_development_label_reaches_into_the_holdout(trained):
    problem = build_problem(trained.config, load_bars(trained.config)[0])
    first = problem.X.index[problem.holdout].get_level_values(1).min()
    assert (problem.label_end.iloc[problem.development] < first).all()
    assert len(problem.development) + len(problem.holdout) < len(problem.X)


def test_folds_of_the_recipe_do_not_overlap(trained):
    problem = build_problem(trained.config, load_bars(trained.config)[0])
    X, y, label_end = problem.part(problem.development)
    starts = X.index.get_level_values(1).to_numpy()
    ends = label_end.to_numpy()
    for train_rows, test_rows in build_splitter(trained.config).split(X, y, label_end=label_end):
        assert ends[train_rows].max() < starts[test_rows].min()


def test_every_entry_and_the_look_at_the_holdout_are_in_the_ledger(trained):
    ledger = Ledger(trained.config.output.runs / "ledger.jsonl")
    problem = build_problem(trained.config, load_bars(trained.config)[0])
    trials = ledger.trials(problem.data_id)
    assert {trial.config["entry"] for trial in trials} >= {*MEMBERS, "equal-weight vote", "stack"}
    assert trained.n_trials == len(MEMBERS) + 2 and ledger.looks(problem.data_id) >= 1


def test_the_holdout_is_held_against_the_scatter_of_the_folds(trained):
    problem = build_problem(trained.config, load_bars(trained.config)[0])
    found, own = claimed_by_fold(problem, trained.stack, trained.config), trained.stack.oof_
    assert set(found) == {one.metric for one in trained.holdout} == {"log_loss", "auc", "sharpe"}
    codes = problem.y[problem.development]
    losses = -np.log(own.proba[np.arange(len(codes)), codes])
    numbers = np.unique(own.fold[own.fold >= 0])
    assert len(numbers) == trained.config.folds.splits - 1
    expected = [losses[own.fold == number].mean() for number in numbers]
    np.testing.assert_allclose([one.estimate for one in found["log_loss"]], expected, rtol=1e-6)
    for one in trained.holdout:
        assert one.between_folds == between_folds(found[one.metric])[0]


def test_a_fold_of_one_class_or_of_few_times_takes_nothing_with_it(trained):
    """Labels over many bars make such folds, and they show only when everything has been trained."""
    problem = build_problem(trained.config, load_bars(trained.config)[0])
    own = trained.stack.oof_
    fold, last = own.fold.copy(), own.fold.max()
    y = problem.y.copy()
    y[problem.development[fold == last]] = 1
    fold[np.flatnonzero(fold == last - 1)[2:]] = -1
    stack = SimpleNamespace(oof_=dataclasses.replace(own, fold=fold, rows=np.flatnonzero(fold >= 0)))
    found = claimed_by_fold(dataclasses.replace(problem, y=y), stack, trained.config)
    n_folds = len(np.unique(fold[fold >= 0]))
    assert len(found["log_loss"]) == n_folds - 1 and len(found["auc"]) == n_folds - 2


def test_the_version_knows_contract_lineage_metrics_and_verdicts(trained):
    version = Registry(trained.config.output.registry, create=False).show("planted-direction")
    assert version.contract["features"] == trained.config.feature_names
    assert version.contract["label"] == "direction_1d"
    assert version.lineage["data"]["source"].startswith("planted market")
    assert version.lineage["trials"] == len(MEMBERS) + 2 and version.lineage["seed"] == 0
    assert version.metrics["out_of_fold"]["log_loss"] == pytest.approx(
        next(row for row in trained.leaderboard if row.name == "stack").metrics["log_loss"]
    )
    assert [verdict["gate"] for verdict in version.verdicts] == [verdict.gate for verdict in trained.verdicts]


def test_the_report_stands_alone_and_programs_can_read_it(trained):
    html = trained.report.read_text()
    for word in ("leaderboard", "equity", "calibration", "regime", "weights", "learning", "importance", "hold-out"):
        assert word in html.lower(), word
    assert not re.findall(r"""(?:src|href)=["'](?!#|data:)|url\((?!#)|@import""", html), (
        "something is loaded from elsewhere"
    )
    for table in ("Scores by group", "input noise", "Losing one feature"):
        assert table in html
    plain = json.loads(trained.report.with_suffix(".json").read_text())
    assert plain["chosen"] == "stack" and len(plain["leaderboard"]) == len(MEMBERS) + 4


def test_the_published_members_were_refitted_on_all_rows(trained):
    assert sorted(trained.stack.members_) == sorted(MEMBERS)
    assert not any((trained.config.output.runs / ".unfinished").iterdir()), "the cache of a finished run is removed"


@pytest.mark.xdist_group("again")
def test_the_same_seed_gives_the_same_leaderboard_and_version(tmp_path):
    boards, digests = [], []
    for attempt in ("one", "two"):
        result = train(small_config(tmp_path / attempt))
        boards.append([(row.name, row.metrics, row.intervals) for row in result.leaderboard])
        digests.append(result.version.digest)
    assert boards[0] == boards[1]
    assert digests[0] == digests[1]


@pytest.mark.xdist_group("again")
def test_an_interrupted_training_goes_on_where_it_stopped(tmp_path):
    forest = "forest: {model: RandomForestClassifier, params: {n_estimators: 10}}"
    few = [f"members={{logistic: {{model: LogisticClassifier}}, {forest}}}"]
    config = small_config(tmp_path, *few)

    class Interrupting:
        def begin(self, n_steps, text):
            pass

        def say(self, text):
            pass

        def step(self, text):
            if text.startswith("forest, fold 2"):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, progress=Interrupting())
    problem = build_problem(config, load_bars(config)[0])
    done = sorted(RunFolder.begin(config, problem).cache.iterdir())
    assert len(done) == 5
    stamps = {path: path.stat().st_mtime_ns for path in done}

    class Watching(Interrupting):
        def step(self, text):
            assert all(path.stat().st_mtime_ns == stamps[path] for path in done if path.exists())

    resumed = train(config, progress=Watching())
    fresh = train(small_config(tmp_path / "fresh", *few))
    assert [row.metrics for row in resumed.leaderboard] == [row.metrics for row in fresh.leaderboard]
    assert resumed.version.digest == fresh.version.digest


def write_bars(path, bars):
    bars.reset_index().rename(columns={"time": "date"}).to_csv(path, index=False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda bars: bars.iloc[:400], "has 200 bars"),
        (lambda bars: bars.iloc[:560], "folds need at least"),
        (lambda bars: bars.assign(close=bars["high"].cummax() + range(len(bars))).assign(high=1e9), "one class"),
    ],
)
def test_data_that_cannot_be_used_leave_nothing_behind(tmp_path, planted_bars, change, words):
    write_bars(tmp_path / "prices.csv", change(planted_bars))
    config = small_config(tmp_path, f"data.path={tmp_path / 'prices.csv'}")
    with pytest.raises(InvalidInput, match=words):
        train(config)
    assert not (tmp_path / "runs").exists() and not (tmp_path / "registry").exists()


def test_unknown_parameters_of_a_member_are_named_before_anything_runs(tmp_path):
    config = small_config(tmp_path, "members.forest.params.n_estimater=3")
    with pytest.raises(InvalidInput, match="Did you mean 'n_estimators'"):
        train(config)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_said_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    config = Config.load(
        "planted", ["data.planted.bars=720", f"output.runs={tmp_path / 'file'}", f"output.registry={tmp_path / 'r'}"]
    )
    with pytest.raises(InvalidInput, match=r"output\.runs"):
        train(config)


def test_probabilities_are_probabilities(trained):
    for record in trained.out_of_fold.values():
        covered = record.proba[record.rows]
        assert np.isfinite(covered).all() and np.allclose(covered.sum(axis=1), 1)
