"""One compilation per architecture and batch shape, however many fits, folds and sizes."""

import numpy as np
import pytest

from consilience.keras_models import LSTMClassifier, programs
from tests.contracts.predictor import market

pytestmark = pytest.mark.xdist_group("keras")

TINY = {"window": 5, "units": 4, "epochs": 2, "batch_size": 64, "random_state": 0}


def compilations(model):
    """How many shapes the model's training, prediction and embedding programs were compiled for; eager ones: 0."""
    architecture = model._architecture()
    forward = programs.forward(architecture)
    trainer = programs.trainer(model._recipe(architecture, "cross_entropy", model.batch_size, model.accumulation))
    compiled = [getattr(trainer, "_run", None), getattr(forward, "_call", None), getattr(forward, "_embed", None)]
    return [count(program) for program in compiled]


def count(program):
    for name in ("_cache_size", "experimental_get_tracing_count"):
        if hasattr(program, name):
            return getattr(program, name)()
    return 0


def test_six_folds_compile_once(monkeypatch):
    X, y = market(n_rows=300)
    first = LSTMClassifier(**TINY).fit(X[:80], y[:80], validation=(X[80:100], y[80:100]))
    first.predict_proba(X[80:140])
    before = compilations(first)
    built = []
    real = programs.program_module()
    monkeypatch.setattr(programs, "program_module", lambda: built.append(1) or real)
    for end in (100, 140, 180, 220, 260, 300):
        model = LSTMClassifier(**{**TINY, "random_state": end})
        model.fit(X[: end - 40], y[: end - 40], validation=(X[end - 40 : end], y[end - 40 : end]))
        model.predict_proba(X[end - 40 : end])
    assert not built
    assert compilations(first) == before


def test_sizes_compile_once_per_bucket():
    X, y = market()
    model = LSTMClassifier(**{**TINY, "window": 4}).fit(X, y)
    before = np.array(compilations(model))
    for n in range(1, 161, 7):
        model.predict_proba(X[:n])
        model.embed(X[:n])
    after = np.array(compilations(model)) - before
    compiling = programs.program_module().__name__.endswith(("jax_program", "tensorflow_program"))
    assert after[0] == 0
    assert list(after[1:]) == ([4, 4] if compiling else [0, 0]), "batches of 1, 8, 64 and 512"
