"""A fitted network as a file for other programs: windows of raw rows in, probabilities or values out."""

import contextlib
import io
import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np

from consilience.base import InvalidInput, invalid, nearest
from consilience.base.errors import ConsilienceError, MissingDependency
from consilience.keras_models.architecture import build_network
from consilience.keras_models.device import running_on
from consilience.keras_models.layers.gelu import elementary_operations
from consilience.keras_models.layers.standardise import Standardise, Unstandardise

FORMATS = ("tf_saved_model", "onnx")
_CONVERTERS = {"jax": "jax2onnx", "tensorflow": "tf2onnx", "torch": "onnxscript"}
_TOLERANCE = 1e-5  # of probabilities, or of values in units of the target's deviation


class ExportFailed(ConsilienceError, RuntimeError):
    """The backend could not write the network, or what it wrote gives other numbers; no file is left."""


def export_network(predictor: Any, path: str | Path, format: str = "tf_saved_model") -> Path:
    """Write the whole of a fitted network, standardisation included, and check what was written.

    Parameters
    ----------
    path : a folder ("tf_saved_model") or a file ("onnx") that does not exist yet.
    format : "tf_saved_model" (on jax and tensorflow) or "onnx" (on jax, tensorflow and torch).

    The file takes ``windows`` (batch, window, n_features) float32, raw rows in time order, real rows first, then
    anything finite, and ``lengths`` (batch,) int32, how many rows are real (the window's length, but for the first rows
    of a series). It gives probabilities (batch, n_classes) in the order of ``classes_``, or values (batch, n_targets).
    The signature of a SavedModel is ``serve``.

    Raises
    ------
    InvalidInput : an unknown format, a path that exists, or a format that the running backend does not write.
    MissingDependency : the packages of the extra ``onnx``, or TensorFlow, are not installed.
    ExportFailed : the written network gives other numbers than the predictor (more than 1e-5 apart).
    """
    place = Path(path)
    _check(type(predictor).__name__, place, format)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=place.name) as folder:
        draft = Path(folder) / "network.onnx" if format == "onnx" else Path(folder) / "network"
        try:
            with running_on("cpu"), elementary_operations(), _quiet():
                _write(_served(predictor), draft, format)
            gap = _difference(predictor, draft, format)
        except Exception as error:
            reason = str(error).strip().partition("\n")[0]
            raise ExportFailed(
                f"{keras.backend.backend()} could not write this {type(predictor).__name__} as {format}: "
                f"{type(error).__name__}: {reason}"
            ) from error
        if not gap <= _TOLERANCE:
            raise ExportFailed(
                f"The {format} file of this {type(predictor).__name__} gives outputs {gap:.1e} from the predictor's "
                f"(allowed: {_TOLERANCE:.0e}), so it was not kept. Features whose mean is many times their deviation "
                "do not fit into float32: difference them first."
            )
        shutil.move(draft, place)
    return place


def _check(owner: str, place: Path, format: str) -> None:
    backend = keras.backend.backend()
    if format not in FORMATS:
        raise invalid("format", owner, "one of 'tf_saved_model', 'onnx'", format, nearest(str(format), FORMATS).strip())
    if place.exists():
        raise InvalidInput(f"{place} exists already; export to another path or remove it first.")
    if not place.parent.is_dir():
        raise InvalidInput(f"Cannot export to {place}: the folder {place.parent} does not exist.")
    if format == "tf_saved_model":
        if backend == "torch":
            raise InvalidInput(
                "Keras writes no SavedModel from torch without torch_xla. Save the predictor, load it in a process "
                "with KERAS_BACKEND=jax or tensorflow, where it predicts the same, and export it there; or use 'onnx'."
            )
        needed, remedy = ["tensorflow"], "Install tensorflow-cpu."
    else:
        needed = [_CONVERTERS[backend], "onnx", "onnxruntime"]
        remedy = "Install consilience[onnx]."
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise MissingDependency(f"Writing {format} on {backend} needs {missing[0]}, which is not installed. {remedy}")


def bare_network(predictor: Any) -> Any:
    """A Keras model of its own with the predictor's weights: scaled windows and lengths in, logits or values out."""
    network = build_network(predictor._architecture("cpu"))
    for variable, value in zip(network.trainable_variables, predictor.weights_, strict=True):
        variable.assign(value)
    return network


def _served(predictor: Any) -> Any:
    """The predictor's network on raw rows, weights of its own, with softmax or the target's scale at its end."""
    architecture, network = predictor._architecture("cpu"), bare_network(predictor)
    windows = keras.Input((architecture.window, architecture.n_features), name="windows")
    lengths = keras.Input((), dtype="int32", name="lengths")
    scaler = predictor.scaler_
    out, _ = network([Standardise(scaler.mean, scaler.scale, name="standardise")(windows), lengths])
    if hasattr(predictor, "classes_"):
        last = keras.layers.Softmax(name="probabilities", dtype="float32")
    else:
        target = predictor.target_scaler_
        last = Unstandardise(target.mean, target.scale, name="values")
    model = keras.Model([windows, lengths], last(out), name=architecture.family)
    model([np.zeros((1, *windows.shape[1:]), np.float32), np.ones(1, np.int32)])  # Keras exports what has been called
    return model


def _write(model: Any, draft: Path, format: str) -> None:
    if keras.backend.backend() != "torch" or model.name == "lstm":
        model.export(draft, format=format, verbose=False)
        return
    import torch  # Keras's own way on torch fails at layer normalisation; this way fixes an LSTM's batch

    class Flat(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model.eval()

        def forward(self, windows: Any, lengths: Any) -> Any:
            return self.model([windows, lengths], training=False)

    shape, batch = (2, *model.inputs[0].shape[1:]), torch.export.Dim("batch")
    given = (torch.zeros(shape), torch.ones(2, dtype=torch.int32))
    dynamic = ({0: batch}, {0: batch})
    torch.onnx.export(Flat(), given, draft, input_names=["windows", "lengths"], dynamo=True, dynamic_shapes=dynamic)


def _difference(predictor: Any, draft: Path, format: str) -> float:
    """The largest difference of the file's outputs from the predictor's, batches of 1 and 13, short windows too."""
    window, n_features, scaler = predictor.window, predictor.n_features_in_, predictor.scaler_
    unit = 1.0 if hasattr(predictor, "classes_") else predictor.target_scaler_.scale
    rng, gaps = np.random.default_rng(0), []
    run = _onnx(draft) if format == "onnx" else _saved_model(draft)
    for n in (1, 13):
        drawn = rng.standard_normal((n, window, n_features)) * scaler.scale + scaler.mean
        rows = drawn.astype(np.float32)
        lengths = (window - np.arange(n) % window).astype(np.int32)
        expected = predictor._finished(predictor._compiled().run_batch(scaler.transform(rows), lengths))
        gaps.append(np.abs((run(rows, lengths) - expected) / unit).max())
    return float(max(gaps))


def _saved_model(draft: Path) -> Any:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(draft))
    return lambda rows, lengths: np.asarray(loaded.serve([rows, lengths]), np.float64)


def _onnx(draft: Path) -> Any:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(draft), providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    return lambda rows, lengths: np.asarray(session.run(None, dict(zip(names, (rows, lengths))))[0], np.float64)


@contextmanager
def _quiet() -> Iterator[None]:
    """The converters report on themselves at length, and on plugins of theirs that nothing here uses."""
    loggers = [logging.getLogger(name) for name in ("jax2onnx", "tf2onnx", "tensorflow", "absl", "torch.onnx")]
    before = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before):
            logger.setLevel(level)
