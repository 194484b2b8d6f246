"""Speed of the sequence networks, on whatever machine and backend this runs.

Run ``python benchmarks/keras_models.py [folds] [latency] [throughput] [memory] [defaults]``; without a name all but
``defaults``. ``KERAS_BACKEND`` chooses the backend, ``DEVICE`` the device of every part and of the peer. On a GPU both
sides multiply in TF32, or, with ``TF32=0``, in float32. ``throughput`` sets each network against the
same one written by hand in PyTorch, where torch is installed: equal outputs and loss are checked first, then
repetitions alternate and the median of their ratios is printed. On a GPU the same script trains there, and says which
kernels its program calls.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd

from consilience.base import restore
from consilience.base.scores import classification_scores
from consilience.boosting import LogisticClassifier
from consilience.data import build_features, build_labels, planted_market
from consilience.keras_models import CNNClassifier, LSTMClassifier, TransformerClassifier, programs
from consilience.keras_models.backend import choose_backend
from consilience.keras_models.device import precise, resolve_device, running_on
from consilience.serving import Live

WINDOW, FEATURES, UNITS, BATCH = 60, 32, 64, 128
DEVICE = os.environ.get("DEVICE", "auto")
TF32 = os.environ.get("TF32", "1") != "0"
PEAKS = {  # dense TFLOP/s from the makers' data sheets: (TF32 matrix units or plain float32, bfloat16)
    "B200": (1100, 2250),
    "H200": (494, 989),
    "H100": (494, 989),
    "A100": (156, 312),
    "L40S": (183, 362),
    "L4": (60, 121),
    "T4": (8.1, 8.1),
    "RTX 4090": (82.6, 165),
}


def rows(n: int, features: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, features))
    return X, (X[:, 0] + rng.standard_normal(n) > 0).astype(int)


# -- folds ---------------------------------------------------------------------------------------------------------


def folds() -> None:
    """Seconds for six expanding folds and a refit of 10,000 rows × 20 (the demo's size), compilation included."""
    X, y = rows(10_000, 20)
    total = 0.0
    for cls in (LSTMClassifier, TransformerClassifier):
        busy, begin = time.process_time(), time.perf_counter()
        for fold in range(1, 7):
            end = fold * 10_000 // 7
            cut = int(0.85 * end)
            model = cls(random_state=0, device=DEVICE).fit(X[:cut], y[:cut], validation=(X[cut:end], y[cut:end]))
            model.predict_proba(X[end : end + 1400])
        total += (six := time.perf_counter() - begin)
        cls(random_state=0, device=DEVICE).fit(X, y)
        refit, busy = time.perf_counter() - begin - six, time.process_time() - busy
        print(f"{cls.__name__:22s} six folds {six:5.1f} s, refit {refit:4.1f} s ({busy:.1f} s of processor time)")
    print(f"both, six folds        {total:.1f} s")


# -- latency -------------------------------------------------------------------------------------------------------


def latency(repeat: int = 3000) -> None:
    """Median milliseconds of one row of LSTM(64): served, by the estimator, and the estimator's call for all rows."""
    X, y = rows(500, FEATURES)
    settings = {"window": WINDOW, "units": UNITS, "epochs": 1, "random_state": 0, "device": DEVICE}
    frame = pd.DataFrame(X, index=pd.date_range("2026-01-01", periods=len(X), freq="h")).add_prefix("f")
    fitted, named = LSTMClassifier(**settings).fit(X, y), LSTMClassifier(**settings).fit(frame, y)
    model, served = (restore(own.get_state()).warm(1) for own in (fitted, named))
    contract = {"features": [], "label": "benchmark", "classes": [0, 1]}
    live, of_frame = Live(model, contract), Live(served, contract)
    tail, newest = np.ascontiguousarray(X[-WINDOW:]), frame[-WINDOW:].copy()
    expected = fitted.predict_proba(X)[-1]
    calls = {
        "served, Live.predict_newest_proba": lambda: live.predict_newest_proba(tail),
        "served, Live.predict_newest": lambda: of_frame.predict_newest(newest).to_numpy(),
        "the estimator's predict_newest_proba": lambda: model.predict_newest_proba(tail),
        "the same of a data frame": lambda: served.predict_newest_proba(newest),
        "predict_proba of the window's rows": lambda: model.predict_proba(tail),
        "without input checks": lambda: model._compiled().run_batch(windows, lengths),
    }
    windows, lengths = model.scaler_.transform(tail)[None], np.array([WINDOW], np.int32)
    for name, call in calls.items():
        if name != "without input checks":
            assert np.abs(call()[-1] - expected).max() < 1e-5
        seconds = []
        for _ in range(repeat):
            begin = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - begin)
        middle, late = 1e3 * np.quantile(seconds, [0.5, 0.99])
        print(f"LSTM({UNITS}), {WINDOW} x {FEATURES}, {name:36s} {middle:.3f} ms (99 %: {late:.3f})")


# -- throughput ----------------------------------------------------------------------------------------------------


def throughput(repeat: int, epochs: int, only: str) -> None:
    """Windows per second of whole ``fit`` calls, against the same networks by hand; and the share of the peak."""
    X, y = rows(6_000, FEATURES)
    settings = {
        "window": WINDOW,
        "batch_size": BATCH,
        "random_state": 0,
        "schedule": "constant",
        "epochs": epochs,
        "device": DEVICE,
    }
    models = {
        "LSTM": LSTMClassifier(**settings, units=UNITS),
        "Transformer": TransformerClassifier(**settings, width=UNITS),
        "CNN": CNNClassifier(**settings, filters=UNITS),
    }
    models = {name: model for name, model in models.items() if only in name}
    for model in models.values():
        model.fit(X[:500], y[:500])  # compiles
    peers = {}
    if find_spec("torch"):
        sys.path.insert(0, os.path.dirname(__file__))  # noqa: PTH120
        import networks_in_torch as by_hand

        on = resolve_device(DEVICE, "benchmark").replace("gpu", "cuda").replace("cuda:all", "cuda:0")
        for name in by_hand.NETWORKS:
            if (own := name.partition(",")[0]) in models:
                peers[name] = peer = by_hand.Training(name, models[own], X, y, on, TF32)
                gap = _gap(models[own], peer, X, y)
                print(f"{name}: outputs and loss equal to {gap:.0e}")
                assert gap < (1e-5 if peer.device.type == "cpu" else 2e-3 if TF32 else 1e-4)
                peer.epochs(1)
    ours: dict[str, list[float]] = {name: [] for name in models}
    theirs: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(repeat):
        for name, model in models.items():
            begin = time.perf_counter()
            model.fit(X, y)
            ours[name].append(epochs * len(X) / (time.perf_counter() - begin))
            for other in peers:
                if other.partition(",")[0] == name:
                    theirs[other].append(peers[other].epochs(epochs))
    for name, rates in ours.items():
        achieved = np.median(rates) * _flops(models[name])
        print(f"{name:24s} {np.median(rates):9,.0f} windows/s  {achieved / 1e9:8.1f} GFLOP/s  {_share(achieved)}")
        print(f"{'':24s} path: {_path(models[name])}")
        for other, reference in theirs.items():
            if other.partition(",")[0] == name:
                ratio = np.median(np.array(rates) / np.array(reference))
                print(f"{other + ' (torch)':32s} {np.median(reference):9,.0f} windows/s  ours over theirs: {ratio:.2f}")


def _gap(model: Any, peer: Any, X: np.ndarray, y: np.ndarray) -> float:
    logits = peer.logits(256)
    theirs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    ours = model.predict_proba(X[: WINDOW + 255])[WINDOW - 1 :]
    loss = -np.log(ours[np.arange(256), y[WINDOW - 1 : WINDOW + 255]]).mean()
    return float(max(np.abs(ours - theirs).max(), abs(loss - peer.loss(256))))


def _flops(model: Any) -> float:
    """Multiplications and additions of the matrix products of one training window: forward, and twice that backward."""
    if isinstance(model, LSTMClassifier):
        forward = WINDOW * 2 * 4 * UNITS * (FEATURES + UNITS)
    elif isinstance(model, TransformerClassifier):  # only the newest row leaves the last block
        attended = 2 * model.heads * UNITS  # its query against every row, and the rows it sees
        forward = WINDOW * 2 * (FEATURES * UNITS + attended) + 2 * (4 * UNITS * UNITS + 4 * UNITS * UNITS)
    else:
        taps, blocks, filters = model.kernel_size, model.layers, model.filters
        inner = (2 * blocks - 1) * taps * filters * filters
        forward = WINDOW * 2 * (taps * FEATURES * filters + inner + FEATURES * filters)
    return 3.0 * forward


def _share(achieved: float) -> str:
    device = resolve_device(DEVICE, "benchmark")
    if not device.startswith("gpu"):
        side = 2048
        a = np.random.default_rng(0).standard_normal((side, side)).astype(np.float32)
        seconds = []
        for _ in range(5):
            begin = time.perf_counter()
            a @ a
            seconds.append(time.perf_counter() - begin)
        peak = 2 * side**3 / min(seconds)
        return f"= {100 * achieved / peak:.0f} % of the {peak / 1e9:.0f} GFLOP/s of a large float32 product here"
    card = _card()
    known = next((name for name in PEAKS if name in card), None)
    if known is None:
        return f"({card}: no peak on record)"
    plain, reduced = (1e12 * value for value in PEAKS[known])
    return (
        f"= {100 * achieved / plain:.2f} % of the TF32 peak of {card}, {100 * achieved / reduced:.2f} % of bfloat16's"
    )


def _card() -> str:
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip().partition("\n")[0]


def _path(model: Any) -> str:
    """What the compiled training step calls, read from the program itself."""
    device, backend = resolve_device(DEVICE, "benchmark"), choose_backend()
    architecture = model._architecture(device, precise(model.precision, device))
    trainer = programs.trainer(model._recipe(architecture, "cross_entropy", BATCH, model.accumulation))
    steps = programs.steps_per_chunk(BATCH, WINDOW, FEATURES)
    kinds = [(steps, BATCH, WINDOW, FEATURES), *[(steps, BATCH)] * 3, (steps,)]
    data = tuple(np.zeros(shape, kind) for shape, kind in zip(kinds, ("f4", "i4", "i4", "f4", "f4")))
    state = trainer.start(model.weights_, 0)
    if backend == "jax":
        text = trainer._run.lower(state, data, np.int32(1)).compile().as_text()
    else:
        text = _path_in_place(trainer, state, programs.Chunk(*data, 1), backend, device)
    signs = {
        "cuDNN LSTM": ("cudnn_rnn", "cudnn$rnn", "cudnnRNN", "CudnnRNN"),
        "compiled LSTM kernel": ("consilience_lstm",),
        "flash attention": ("cudnn$fmha", "__cudnn$fmha", "dot_product_attention_fwd", "flash_attention", "flash_fwd"),
        "loop over the steps": ("while", "scan"),
    }
    found = [name for name, marks in signs.items() if any(mark in text for mark in marks)]
    return f"{backend}: " + (", ".join(found) or "plain operations")


def _path_in_place(trainer: Any, state: Any, chunk: Any, backend: str, device: str) -> str:
    """Names of the operations: of TensorFlow's graph, XLA's where it compiles it; of what torch runs in one step."""
    if backend == "torch" and device == "cpu":
        return ""  # eager operations, thousands of them: nothing to find
    if backend == "torch":
        from torch import profiler

        with running_on(device), profiler.profile(activities=[profiler.ProfilerActivity.CUDA]) as seen:
            trainer.run(state, chunk)
        return " ".join(event.key for event in seen.key_averages())
    import tensorflow as tf

    given = [
        [tf.constant(part) for part in (chunk.x, chunk.lengths, chunk.y, chunk.weight, chunk.rates)],
        tf.constant(1),
    ]
    if device == "cpu":
        return trainer._run.experimental_get_compiler_ir(*given)(stage="optimized_hlo")
    graph = trainer._run.get_concrete_function(*given).graph.as_graph_def()
    return " ".join([node.op for node in graph.node] + [n.op for f in graph.library.function for n in f.node_def])


def _multiply_in(tf32: bool) -> None:
    """Whether a GPU's float32 products round their factors to TF32 while training: alike here and in the peer."""
    backend = choose_backend()
    if backend == "jax":
        import jax

        jax.config.update("jax_default_matmul_precision", "tensorfloat32" if tf32 else "float32")
    elif backend == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_tensor_float_32_execution(tf32)


# -- memory --------------------------------------------------------------------------------------------------------

_MEASURED = """
import os, resource, sys
import numpy as np
from consilience.keras_models import LSTMClassifier

def peak():
    try:  # of this program; ru_maxrss also counts what its parent held when it started it
        lines = open("/proc/self/status").read().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except OSError:
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

n, features, window = map(int, sys.argv[1:4])
small = np.random.default_rng(0).standard_normal((400, features))
make = lambda: LSTMClassifier(window=window, epochs=1, random_state=0, device=sys.argv[4])
imported = peak()
make().fit(small, (small[:, 0] > 0).astype(int))  # compiled, on rows that need next to no memory
compiled = peak()
X = np.random.default_rng(0).standard_normal((n, features))
y = (X[:, 0] > 0).astype(int)
loaded = peak()
model = make().fit(X, y)
held = X.nbytes + y.nbytes + sum(w.nbytes for w in model.weights_)
print(imported, compiled, loaded, peak(), held)
"""


def memory(n: int = 200_000, features: int = 64) -> None:
    """Peak memory of a training, rows included, program not: as a multiple of data and model."""
    command = [sys.executable, "-c", _MEASURED, str(n), str(features), str(WINDOW), DEVICE]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    imported, compiled, loaded, peak, held = map(float, out.split())
    print(f"{n:,} rows x {features}, window {WINDOW}: data and model {held / 1e6:.0f} MB")
    grown, compiling = (peak - loaded) / 1e6, (compiled - imported) / 1e6
    total = held + peak - loaded
    print(f"training adds {grown:.0f} MB to the loaded rows; with them {total / 1e6:.0f} MB = {total / held:.2f} x")
    print(f"importing took {imported / 1e6:.0f} MB, compiling {compiling:.0f} MB")


# -- defaults ------------------------------------------------------------------------------------------------------


def defaults(seeds: int) -> None:
    """Log loss and AUC without tuning on planted markets that were not used for choosing the defaults.

    Training on the first 70 % of the time (the networks keep its last seventh for early stopping, the regression learns
    from all of it), then one row between, then the test.
    """
    models = {
        "logistic": LogisticClassifier,
        "LSTM": LSTMClassifier,
        "Transformer": TransformerClassifier,
        "CNN": CNNClassifier,
    }
    table: dict[str, list[tuple[float, float]]] = {name: [] for name in models}
    for seed in range(seeds):
        bars, _ = planted_market(seed, 4_000, 2)
        features, labels = build_features(bars), build_labels(bars, "direction_1d")
        known = labels.y.loc[features.index].dropna()
        X, y = features.loc[known.index], known.to_numpy().astype(int)
        when = X.index.get_level_values("time")
        days = when.unique().sort_values()
        first, last = days[int(0.6 * len(days))], days[int(0.7 * len(days))]
        train, tail, test = when < first, (when > first) & (when < last), when > last
        context = when >= days[int(0.7 * len(days)) - 40]
        for name, cls in models.items():
            if name == "logistic":
                proba = cls().fit(X[train | tail], y[train | tail]).predict_proba(X[test])
            else:
                model = cls(random_state=seed).fit(X[train], y[train], validation=(X[tail], y[tail]))
                proba = model.predict_proba(X[context])[test[context]]
            scores = classification_scores(y[test], proba, np.array([0, 1]))
            table[name].append((scores["log_loss"], scores["auc"]))
        print(seed, *(f"{name} {table[name][-1][0]:.4f} {table[name][-1][1]:.3f}" for name in models), flush=True)
    base = np.array(table["logistic"])
    for name, found in table.items():
        own = np.array(found)
        wins = int((own[:, 0] < base[:, 0]).sum()), int((own[:, 1] > base[:, 1]).sum())
        loss, auc = own.mean(axis=0)
        print(
            f"{name:12s} log loss {loss:.4f}, AUC {auc:.3f}; better than logistic in {wins[0]} and {wins[1]} of {seeds}"
        )


PARTS = {"folds": folds, "latency": latency, "memory": memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["folds", "latency", "throughput", "memory"])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--only", default="", help="a network's name")
    parser.add_argument("--seeds", type=int, default=20)
    given = parser.parse_args()
    device = resolve_device(DEVICE, "benchmark")
    if device != "cpu":
        _multiply_in(TF32)
    print(f"{choose_backend()} on {device}, {os.cpu_count()} cores, {platform.machine()}")
    for part in given.parts:
        if part == "throughput":
            throughput(given.repeat, given.epochs, given.only)
        elif part == "defaults":
            defaults(given.seeds)
        else:
            PARTS[part]()


if __name__ == "__main__":
    main()
