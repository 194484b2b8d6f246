"""The command as a user runs it: in a process of its own, errors in one line, nothing half-written."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from consilience.cli.main import app, main
from tests.training.markets import SMALL

pytestmark = pytest.mark.xdist_group("trained")


def run(*arguments, cwd, env=None):
    return subprocess.run(
        [sys.executable, "-m", "consilience.cli.main", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **(env or {})},
        capture_output=True,
        text=True,
        timeout=600,
    )


def fails(*arguments, cwd, env=None):
    """The one line on stderr of a command that must fail, without a traceback and without leaving anything."""
    before = sorted(cwd.rglob("*"))
    done = run(*arguments, cwd=cwd, env=env)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr + done.stdout
    return _only_line(done.stderr, before, cwd)


def _only_line(text, before, cwd):
    assert sorted(cwd.rglob("*")) == before, "something was left behind"
    lines = text.strip().splitlines()
    assert len(lines) == 1, text
    return lines[0]


@pytest.fixture
def fails_here(tmp_path, monkeypatch, capsys):
    """``fails`` without a process of its own, which costs seconds of imports; an escaping exception fails the test."""

    def call(*arguments):
        before = sorted(tmp_path.rglob("*"))
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["consilience", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        assert stop.value.code not in (0, None)
        return _only_line(capsys.readouterr().err, before, tmp_path)

    return call


@pytest.fixture
def here(tmp_path, monkeypatch, capsys):
    """What a command that must succeed prints, without a process of its own."""

    def call(*arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["consilience", *map(str, arguments)])
        try:
            main()
        except SystemExit as stop:
            assert stop.code in (0, None), capsys.readouterr().err
        return capsys.readouterr().out

    return call


def test_help_names_every_command(tmp_path):
    done = run("--help", cwd=tmp_path)
    assert done.returncode == 0
    for command in ("train", "predict", "versions", "tune", "bench", "promote", "rollback"):
        assert re.search(rf"\b{command}\b", done.stdout)


def test_help_imports_nothing_heavy(tmp_path):
    code = (
        "import sys; sys.argv = ['consilience', '--help']\n"
        "from consilience.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'keras', 'jax', 'sklearn', 'pandas', 'numba', 'optuna'}\n"
        "print(sorted({m.split('.')[0] for m in sys.modules} & heavy))"
    )
    root = str(Path(__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip().endswith("[]")


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import sys, consilience; print(sorted({m.split('.')[0] for m in sys.modules} & {'numpy', 'keras', 'sklearn'}))"
    )
    root = str(Path(__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "nowhere.yaml"], "no config file nowhere.yaml"),
        (["train", "data.path=nowhere.csv"], "no file nowhere.csv"),
        (["train", "fold.splits=3"], "Did you mean 'folds'"),
        (["train", "planted", "data.planted.bars=300"], "folds need at least"),
        (["predict", "index-direction", "--data", "x.csv"], "no file x.csv"),
        (["predict", "index-direction", "--bundled", "demo"], "no registry at registry"),
        (["predict", "index-direction"], "--data FILE.csv"),
        (["tune", "lightgmb"], "Did you mean 'lightgbm'"),
        (["bench"], "no registry at registry"),
        (["versions"], "no registry at registry"),
    ],
)
def test_mistakes_end_in_one_line(fails_here, arguments, words):
    line = fails_here(*arguments)
    assert line.startswith("consilience: ") and words in line


def test_a_process_of_its_own_ends_in_one_line(tmp_path):
    assert "no config file nowhere.yaml" in fails("train", "nowhere.yaml", cwd=tmp_path)


def test_an_unknown_backend_is_named(tmp_path):
    line = fails("train", cwd=tmp_path, env={"KERAS_BACKEND": "tensorflw"})
    assert "jax, tensorflow, torch" in line and "Did you mean 'tensorflow'" in line


def bars_file(folder, bars, name="prices.csv"):
    path = folder / name
    bars.reset_index().rename(columns={"time": "date"}).to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop(columns="close"), "no column 'close'"),
        (lambda t: t.iloc[::-1], "not in time order"),
        (lambda t: pd.concat([t, t.iloc[-1:]]), "two rows"),
        (lambda t: t.assign(close=t["close"].where(t.index != 40)), "line 42: close is missing"),
        (lambda t: t.assign(high=t["high"].where(t.index != 40, float("inf"))), "high is inf"),
        (lambda t: t.assign(low=t["low"].where(t.index != 40, -2.0)), "above zero"),
    ],
)
def test_bad_prices_end_in_one_line(fails_here, tmp_path, planted_bars, change, words):
    table = planted_bars.loc[["PLANTED1"]].reset_index().rename(columns={"time": "date"})
    change(table).to_csv(tmp_path / "prices.csv", index=False)
    assert words in fails_here("train", "data.path=prices.csv")


def test_predict_in_a_new_process_equals_training(trained, planted_bars, tmp_path):
    data = bars_file(tmp_path, planted_bars)
    done = run(
        "predict",
        "planted-direction",
        "--data",
        data,
        "--newest",
        5,
        "--json",
        "--registry",
        trained.config.output.registry,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    rows = pd.DataFrame(json.loads(done.stdout))
    assert rows["asset"].tolist() == trained.latest.index.get_level_values(0).tolist()
    assert (rows[["p_0", "p_1"]].to_numpy() - trained.latest.to_numpy()).__abs__().max() <= 1e-6


def test_predict_refuses_a_history_that_is_too_short(fails_here, trained, planted_bars, tmp_path):
    data = bars_file(tmp_path, planted_bars.iloc[:100])
    registry = trained.config.output.registry
    assert "history" in fails_here("predict", "planted-direction", "--data", data, "--registry", registry)


def test_train_prints_what_a_user_needs_and_tune_writes_a_config_that_train_takes(tmp_path, here):
    few = [
        *SMALL[:2],
        "members={logistic: {model: LogisticClassifier}, "
        "lightgbm: {model: LightGBMClassifier, params: {n_estimators: 10}}}",
    ]
    done = run("train", "planted", *few, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for words in (
        "logistic",
        "lightgbm",
        "stack",
        "buy and hold",
        "romoted",
        "Report",
        "planted-direction==1.0.0",
        "Next:",
    ):
        assert words in done.stdout
    following = re.search(r"Next:\s+consilience (.+)", done.stdout)[1].split()
    here("tune", "lightgbm", "planted", *few, "--trials", 2)
    tuned = yaml.safe_load((tmp_path / "runs/tuned-lightgbm.yaml").read_text())
    assert tuned["members"]["lightgbm"]["params"]["n_estimators"] >= 10
    kinds = [json.loads(line)["kind"] for line in (tmp_path / "runs/ledger.jsonl").read_text().splitlines()]
    assert kinds.count("tune") == 3
    here("train", "runs/tuned-lightgbm.yaml")
    listed = json.loads(here("versions", "--json"))
    assert {version["name"] for version in listed} == {"planted-direction"}
    here(*following)


def test_every_command_says_what_it_does():
    import typer

    group = typer.main.get_command(app)
    for name, command in group.commands.items():
        assert command.help, name


FEATURES = """
def honest(bars):
    return bars[["close"]].groupby(level=0).diff()

def leaky(bars):
    out = honest(bars)
    out["z"] = bars["close"] / bars.groupby(level=0)["close"].transform("max")
    return out
"""


def test_audit_names_the_column_that_looks_ahead(tmp_path, planted_bars):
    (tmp_path / "features.py").write_text(FEATURES)
    data = bars_file(tmp_path, planted_bars.iloc[:400])
    done = run("audit", "features.py:honest", "--data", data, cwd=tmp_path)
    assert done.returncode == 0 and "No look-ahead found" in done.stdout
    done = run("audit", "features.py:leaky", "--data", data, cwd=tmp_path)
    assert done.returncode == 1 and "'z' looks ahead" in done.stdout and "Traceback" not in done.stderr


def test_audit_of_what_is_not_there_is_one_line(fails_here):
    assert "form FILE.py:FUNCTION" in fails_here("audit", "features")
    assert "no file f.py" in fails_here("audit", "f.py:x")
