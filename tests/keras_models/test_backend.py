"""One backend, chosen before Keras is imported."""

import os
import subprocess
import sys

import keras
import pytest

from consilience.keras_models.backend import choose_backend

pytestmark = pytest.mark.xdist_group("keras")


def test_an_unknown_backend_names_the_choices():
    environment = {**os.environ, "KERAS_BACKEND": "tensorflw"}
    code = "import consilience.keras_models"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "one of jax, tensorflow, torch. Got 'tensorflw' instead. Did you mean 'tensorflow'?" in done.stderr


def test_gpu_memory_is_taken_as_needed_even_where_keras_was_imported_first(monkeypatch):
    for name in ("XLA_PYTHON_CLIENT_PREALLOCATE", "TF_FORCE_GPU_ALLOW_GROWTH"):
        monkeypatch.delenv(name, raising=False)
    assert choose_backend() == keras.backend.backend()
    assert os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
    assert os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "true")
    choose_backend()
    assert os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] == "true", "what the user has set stays"
