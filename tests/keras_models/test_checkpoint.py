"""Going on after a kill, with the weights of a training that was not killed."""

import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from consilience.keras_models import LSTMClassifier
from consilience.keras_models.checkpoint import Checkpoint
from consilience.keras_models.training import Progress, Snapshot, TrainingDiverged
from tests.contracts.predictor import market
from tests.keras_models.interrupted import Killed, before_each_chunk, counted, killed_at

pytestmark = pytest.mark.xdist_group("keras")

TINY = {"window": 5, "units": 4, "epochs": 6, "batch_size": 64, "random_state": 0}  # one chunk an epoch


def files(folder, pattern="*"):
    return sorted(path.name for path in folder.glob(pattern))


def kill(model, chunks, monkeypatch, *data, **options):
    with monkeypatch.context() as patch:
        killed_at(chunks, patch)
        with pytest.raises(Killed):
            model.fit(*data, **options)


def equal(a, b):
    for one, other in zip(a.weights_, b.weights_, strict=True):
        np.testing.assert_array_equal(one, other)
    assert a.history_ == b.history_


@pytest.mark.parametrize("validated", [True, False])
@pytest.mark.parametrize("epoch", [1, 4])
def test_a_resumed_training_ends_with_the_weights_of_an_uninterrupted_one(tmp_path, monkeypatch, epoch, validated):
    X, y = market()
    options = {"validation": (X[120:], y[120:])} if validated else {}
    make = lambda: LSTMClassifier(**TINY, augmentation={"jitter": 0.1}, checkpoint=str(tmp_path))  # noqa: E731
    whole = LSTMClassifier(**TINY, augmentation={"jitter": 0.1}).fit(X[:120], y[:120], **options)
    kill(make(), epoch, monkeypatch, X[:120], y[:120], **options)
    assert len(files(tmp_path, "*.state")) == 1
    ran = counted(monkeypatch)
    equal(make().fit(X[:120], y[:120], **options), whole)
    assert len(ran) == 6 - epoch, "the epochs before the kill are not run again"
    assert not files(tmp_path), "a finished training leaves nothing"


def test_accumulated_gradients_go_on_too(tmp_path, monkeypatch):
    X, y = market(n_rows=60)  # 4 batches an epoch: after the first, one of the three to an update is waiting
    kw = {**TINY, "batch_size": 16, "accumulation": 3}
    whole = LSTMClassifier(**kw).fit(X, y)
    kill(LSTMClassifier(**kw, checkpoint=str(tmp_path)), 1, monkeypatch, X, y)
    ran = counted(monkeypatch)
    equal(LSTMClassifier(**kw, checkpoint=str(tmp_path)).fit(X, y), whole)
    assert len(ran) == 5


def test_arrays_come_back_in_their_order(tmp_path):
    parts = [[np.array([part, number]) for number in range(1_050)] for part in range(4)]
    with Checkpoint(str(tmp_path), "settings", []) as checkpoint:
        checkpoint.save(Snapshot(parts[:3], parts[3], Progress(epoch=2), 16, 2, 9))
        found = checkpoint.load()
    assert (found.batch_size, found.accumulation, found.seed, found.progress.epoch) == (16, 2, 9, 2)
    for given, read in zip(parts, [*found.parts, found.best], strict=True):
        np.testing.assert_array_equal(read, given)


def test_without_a_random_state_the_drawn_seed_goes_on(tmp_path, monkeypatch):
    X, y = market()
    kw = {**TINY, "random_state": None, "checkpoint": str(tmp_path)}
    kill(LSTMClassifier(**kw), 4, monkeypatch, X, y)
    with Checkpoint(str(tmp_path), None, []) as other:
        (file,) = tmp_path.glob("training-*.state")
        other.path = file
        left = other.load()
    ran = counted(monkeypatch)
    model = LSTMClassifier(**kw).fit(X, y)
    assert len(ran) == 2 and model.history_["loss"][:4] == left.progress.history["loss"]
    assert not files(tmp_path, "*.state")
    assert LSTMClassifier(**kw).fit(X, y).history_ != model.history_, "the next training draws another"


def test_two_equal_trainings_at_once_take_a_file_each(tmp_path):
    with Checkpoint(str(tmp_path), "same", []) as first, Checkpoint(str(tmp_path), "same", []) as second:
        assert first.path != second.path
        with Checkpoint(str(tmp_path), "other", []) as other:
            assert other.path not in (first.path, second.path)
    with Checkpoint(str(tmp_path), "same", []) as again:
        assert again.path == first.path
    assert not files(tmp_path)


@pytest.mark.parametrize("other", ["rows", "settings", "validation", "no validation"])
def test_a_checkpoint_of_other_rows_or_settings_is_not_used(tmp_path, monkeypatch, other):
    X, y = market()
    held = (X[130:], y[130:])
    kill(LSTMClassifier(**TINY, checkpoint=str(tmp_path)), 3, monkeypatch, X[:120], y[:120], validation=held)
    kw, data, options = {**TINY}, (X[:120], y[:120]), {"validation": held}
    if other == "rows":
        data = (X[:125], y[:125])
    elif other == "settings":
        kw["learning_rate"] = 0.004
    elif other == "validation":
        options = {"validation": (X[131:], y[131:])}
    else:
        options = {}
    ran = counted(monkeypatch)
    model = LSTMClassifier(**kw, checkpoint=str(tmp_path)).fit(*data, **options)
    assert len(ran) == 6
    equal(model, LSTMClassifier(**kw).fit(*data, **options))


def test_a_damaged_checkpoint_is_left_aside_with_a_warning(tmp_path, monkeypatch):
    X, y = market()
    kill(LSTMClassifier(**TINY, checkpoint=str(tmp_path)), 3, monkeypatch, X, y)
    (file,) = tmp_path.glob("*.state")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.warns(UserWarning, match="damaged checkpoint"):
        model = LSTMClassifier(**TINY, checkpoint=str(tmp_path)).fit(X, y)
    equal(model, LSTMClassifier(**TINY).fit(X, y))


def test_full_memory_and_a_kill_leave_one_file_and_go_on_with_small_batches(tmp_path, monkeypatch):
    X, y = market(n_rows=128)
    kw = {**TINY, "dropout": 0.0, "checkpoint": str(tmp_path)}
    chunks = []

    def act(recipe):
        chunks.append(recipe.batch_size)
        if len(chunks) == 3:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        if len(chunks) == 5:
            raise Killed

    with monkeypatch.context() as patch, pytest.warns(UserWarning, match="after epoch 2 with batches of 32"):
        before_each_chunk(patch, act)
        with pytest.raises(Killed):
            LSTMClassifier(**kw).fit(X, y)
    assert chunks == [64, 64, 64, 32, 32]
    assert len(files(tmp_path, "*.state")) == 1
    ran = counted(monkeypatch)
    LSTMClassifier(**kw).fit(X, y)
    assert [(recipe.batch_size, recipe.accumulation) for recipe in ran] == [(32, 2)] * 3
    assert not files(tmp_path)


def test_what_a_kill_left_half_written_is_removed(tmp_path, monkeypatch):
    X, y = market()
    kill(LSTMClassifier(**TINY, checkpoint=str(tmp_path)), 3, monkeypatch, X, y)
    (file,) = tmp_path.glob("*.state")
    (tmp_path / f"{file.name}abc123.partial").write_bytes(b"half")
    (tmp_path / "training-of-another.state1.partial").write_bytes(b"may be being written now")
    LSTMClassifier(**TINY, checkpoint=str(tmp_path)).fit(X, y)
    assert files(tmp_path) == ["training-of-another.state1.partial"]


def test_a_diverged_training_leaves_no_checkpoint(tmp_path):
    X, y = market()
    kw = {**TINY, "optimizer": "sgd", "learning_rate": 10.0, "clip_norm": None, "weight_decay": 10.0, "epochs": 400}
    with pytest.raises(TrainingDiverged):
        LSTMClassifier(**kw, schedule="constant", checkpoint=str(tmp_path)).fit(X, y)
    assert not files(tmp_path)


_VICTIM = """
import sys, numpy as np
from consilience.keras_models import LSTMClassifier
from consilience.keras_models.checkpoint import Checkpoint
from tests.contracts.predictor import market

save, load, finish = Checkpoint.save, Checkpoint.load, Checkpoint.finish

def saving(self, snapshot):
    save(self, snapshot)
    print("saved", snapshot.progress.epoch, flush=True)

def loading(self):
    found = load(self)
    print("loaded", None if found is None else found.progress.epoch, flush=True)
    return found

def finishing(self):
    print("finished", flush=True)
    finish(self)

Checkpoint.save, Checkpoint.load, Checkpoint.finish = saving, loading, finishing
X, y = market()
model = LSTMClassifier(
    window=5, units=4, epochs=60, patience=None, batch_size=8, random_state=0, checkpoint=sys.argv[1]
)
model.fit(X[:120], y[:120], validation=(X[120:], y[120:]))
np.savez(sys.argv[2], *model.weights_)
"""


@pytest.mark.slow
def test_twenty_kills_at_random_moments(tmp_path):
    """kill -9 in the middle of a training, 20 times; what is left always ends with the uninterrupted weights."""

    def start(folder, out):
        command = [sys.executable, "-W", "error", "-c", _VICTIM, str(folder), str(out)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    begin = start(tmp_path / "timed", tmp_path / "whole.npz")
    moments = [time.monotonic() for _ in begin.stdout]
    assert begin.wait() == 0
    seconds = moments[-2] - moments[1]  # from the first checkpoint to the last
    whole = np.load(tmp_path / "whole.npz")
    rng, kills, trial = np.random.default_rng(0), 0, 0
    while kills < 20:
        folder, trial = tmp_path / f"trial{trial}", trial + 1
        assert trial < 60, "hardly a kill finds the training at work"
        victim = start(folder, tmp_path / "killed.npz")
        while not victim.stdout.readline().startswith("saved"):
            pass
        time.sleep(rng.random() * seconds)
        victim.send_signal(signal.SIGKILL)
        if victim.wait() != -signal.SIGKILL or "finished" in victim.stdout.read():
            continue  # it was done already
        kills += 1
        kept = [path.name for path in folder.glob("*.state")]
        assert len(kept) == 1, "the checkpoint is there at every moment after the first epoch"
        again = start(folder, tmp_path / "resumed.npz")
        told, _ = again.communicate()
        assert again.returncode == 0
        loaded = int(re.search(r"loaded (\d+)", told)[1])
        assert told.count("saved") == 60 - loaded, "only what was missing is trained"
        resumed = np.load(tmp_path / "resumed.npz")
        for name in whole.files:
            np.testing.assert_array_equal(resumed[name], whole[name])
        assert not list(folder.iterdir())
        print(f"kill {kills}: went on after epoch {loaded}", flush=True)
