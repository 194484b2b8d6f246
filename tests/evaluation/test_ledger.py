import json
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pandas as pd
import pytest

from consilience.base import InvalidInput, InvalidState
from consilience.evaluation.ledger import Ledger, data_identity


def test_trials_are_distinct_configurations_and_looks_are_counted_apart(tmp_path):
    ledger = Ledger(tmp_path / "runs" / "ledger.jsonl")
    assert ledger.trials("a") == [] and ledger.looks("a") == 0
    ledger.record(data_id="a", kind="train", config={"x": 1, "y": (1, 2)}, scores={"auc": 0.5}, sharpe=0.01)
    ledger.record(data_id="a", kind="tune", config={"y": [1, 2], "x": 1}, scores={"auc": np.nan}, sharpe=np.inf)
    ledger.record(data_id="a", kind="tune", config={"x": np.int64(2)})
    ledger.record(data_id="b", kind="tune", config={"x": 3})
    ledger.record(data_id="a", kind="holdout", config={"x": 3})
    trials = ledger.trials("a")
    assert [trial.config["x"] for trial in trials] == [1, 2] and ledger.looks("a") == 1
    assert trials[0].scores == {} and trials[0].sharpe is None and trials[0].kind == "tune"
    assert len(ledger.all()) == 5


def test_a_killed_writer_s_half_line_is_ignored_and_the_next_record_kept(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.record(data_id="a", kind="train", config={"x": 1})
    with ledger.path.open("ab") as file:
        file.write(b'{"data_id": "a", "kind": "tr')
    assert len(ledger.trials("a")) == 1
    ledger.record(data_id="a", kind="train", config={"x": 2})
    assert [trial.config["x"] for trial in ledger.trials("a")] == [1, 2]


def test_a_damaged_line_is_an_error_because_uncounted_trials_flatter(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.path.write_text('{"not": "a trial"}\n' + json.dumps({"data_id": "a", "kind": "b", "config": {}}) + "\n")
    with pytest.raises(InvalidState, match="Line 1"):
        ledger.trials("a")


def test_a_config_that_json_cannot_hold_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="JSON"):
        Ledger(tmp_path / "l").record(data_id="a", kind="train", config={"x": float("nan")})


def _write(arguments):
    path, worker = arguments
    ledger = Ledger(path)
    for number in range(25):
        ledger.record(data_id="a", kind="tune", config={"worker": worker, "number": number, "pad": "x" * 500})


def test_many_writers_lose_nothing(tmp_path):
    path = tmp_path / "ledger.jsonl"
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(_write, [(path, worker) for worker in range(4)]))
    assert len(Ledger(path).trials("a")) == 100


@pytest.mark.slow
def test_many_processes_lose_nothing(tmp_path):
    path = tmp_path / "ledger.jsonl"
    with get_context("spawn").Pool(4) as pool:
        pool.map(_write, [(path, worker) for worker in range(4)])
    assert len(Ledger(path).trials("a")) == 100


def test_data_identity_moves_with_values_index_and_names():
    frame = pd.DataFrame({"a": [1.0, 2.0]}, index=pd.bdate_range("2020-01-01", periods=2))
    changed = [frame * 1.0000001, frame.rename(columns={"a": "b"}), frame.shift(freq="D"), frame.iloc[:1]]
    assert data_identity(frame) == data_identity(frame.copy())
    assert len({data_identity(one) for one in [frame, *changed]}) == 5
