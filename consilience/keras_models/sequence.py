"""What the sequence networks share: reading rows, scaling, training in windows, predicting in fixed shapes, state."""

import warnings
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import keras
import numpy as np
from sklearn.utils.validation import check_is_fitted

from consilience.base import InvalidInput, InvalidState, State, invalid, time_axis
from consilience.base.state import Arrays, Spec
from consilience.base.windows import Windows, padded_places, sliding_windows, windows_of_padded
from consilience.keras_models import programs
from consilience.keras_models.architecture import Architecture, initial_weights, network
from consilience.keras_models.checkpoint import Checkpoint
from consilience.keras_models.checks import check_sequence_params
from consilience.keras_models.data_parallel import shares
from consilience.keras_models.device import out_of_memory, precise, resolve_device, running_on, single
from consilience.keras_models.export import export_network
from consilience.keras_models.prediction import Prediction
from consilience.keras_models.scaling import Scaler
from consilience.keras_models.shapes import weight_shapes
from consilience.keras_models.training import Examples, Plan, Snapshot, train

_BLOCK = 2_048  # rows scaled at a time
_COMPILED: WeakKeyDictionary[Any, Prediction] = WeakKeyDictionary()  # a finished model's device memory goes with it


class SequenceNetwork:
    """A network over the last ``window`` rows of each row, per asset; the base of the public classes."""

    uses_validation: ClassVar[bool] = True
    family: ClassVar[str]
    own_options: ClassVar[tuple[str, ...]]
    _own_arrays: ClassVar[tuple[str, ...]] = ()

    window: int
    pooling: str
    feature_gate: bool
    epochs: int
    batch_size: int
    learning_rate: float
    schedule: str
    warmup: float
    patience: int | None
    optimizer: str
    weight_decay: float
    clip_norm: float | None
    accumulation: int
    augmentation: dict[str, float] | None
    precision: str
    device: str
    checkpoint: str | None
    random_state: int | None

    n_features_in_: int
    weights_: list[np.ndarray]
    scaler_: Scaler
    n_outputs_: int
    history_: dict[str, list[float]]

    def _store(self, values: dict[str, Any]) -> None:
        """Keep the constructor's arguments under their names."""
        for name, value in values.items():
            if name not in ("self", "__class__"):
                setattr(self, name, value)

    @property
    def lookback(self) -> int:
        """``window - 1`` earlier rows."""
        return self.window - 1

    # -- fit ---------------------------------------------------------------------------------------------------

    def _fit_network(
        self, X: Any, values: np.ndarray, y: np.ndarray, weight: np.ndarray, loss: str, validation: Any
    ) -> None:
        """Train on rows already checked; y as the loss takes it, validation as (X, values, y) or None."""
        if len(values) < self.window:
            raise InvalidInput(
                f"{type(self).__name__} needs at least window = {self.window} rows to fit; X has {len(values)}. "
                "Give more rows or a smaller window."
            )
        seed = int(np.random.default_rng(self.random_state).integers(2**31))
        self.scaler_ = Scaler.fit(values)
        examples = Examples(self._windows(X, values), y, weight.astype(np.float32))
        validate = self._validator(validation, loss) if validation is not None else None
        device = resolve_device(self.device, type(self).__name__)
        architecture = self._architecture(device, precise(self.precision, device))
        self._check_shares(device)
        batch_size, accumulation = self.batch_size, self.accumulation
        kept: list[Snapshot] = []  # the last whole epoch, from which smaller batches go on
        while True:
            try:
                with running_on(device):
                    self._train(architecture, loss, examples, validate, seed, batch_size, accumulation, kept)
                return
            except Exception as error:
                if not out_of_memory(error) or batch_size == 1:
                    raise
                batch_size, accumulation = (batch_size + 1) // 2, accumulation * 2
                warnings.warn(
                    f"{type(self).__name__}: the memory of {device} is full; training goes on {_from(kept)} with "
                    f"batches of {batch_size}, {accumulation} per update.",
                    stacklevel=3,
                )

    def _check_shares(self, device: str) -> None:
        shared = shares(device)
        if shared is not None and self.batch_size % shared.n_devices:
            n = shared.n_devices
            raise invalid("batch_size", type(self).__name__, f"a multiple of the {n} devices", self.batch_size)

    def _train(
        self,
        architecture: Architecture,
        loss: str,
        examples: Examples,
        validate: Any,
        seed: int,
        batch_size: int,
        accumulation: int,
        kept: list[Snapshot],
    ) -> None:
        recipe = self._recipe(architecture, loss, batch_size, accumulation)
        plan = Plan(
            self.epochs,
            batch_size,
            float(self.learning_rate),
            self.schedule,
            float(self.warmup),
            self.patience,
            seed,
            self.augmentation,
            accumulation,
        )
        checkpoint = None
        if self.checkpoint is not None:
            arrays = [examples.windows.padded, examples.windows.start, examples.y, examples.weight]
            checkpoint = Checkpoint(self.checkpoint, (recipe, plan, validate is None, keras.backend.backend()), arrays)
        start = initial_weights(network(architecture), seed)

        def keep(snapshot: Snapshot) -> None:
            kept[:] = [snapshot]

        begin = kept[0] if kept else None
        trainer = programs.trainer(recipe)
        self.weights_, progress = train(trainer, start, examples, plan, validate, checkpoint, begin, keep)
        self.history_ = progress.history
        if checkpoint is not None:
            checkpoint.finish()

    def _recipe(self, architecture: Architecture, loss: str, batch_size: int, accumulation: int) -> programs.Recipe:
        clip_norm = None if self.clip_norm is None else float(self.clip_norm)
        decay = float(self.weight_decay)
        return programs.Recipe(architecture, loss, batch_size, self.optimizer, decay, clip_norm, accumulation)

    def _validator(self, validation: tuple[Any, np.ndarray, np.ndarray], loss: str) -> Any:
        X, values, y = validation
        windows, architecture = self._windows(X, values), self._architecture()

        def validate(weights: list[np.ndarray]) -> float:
            return _host_loss(loss, y, Prediction(architecture, weights).run(windows))

        return validate

    # -- predict -----------------------------------------------------------------------------------------------

    def _architecture(self, device: str | None = None, precision: str = "float32") -> Architecture:
        """What is compiled; predictions always run in float32."""
        device = device or single(resolve_device(self.device, type(self).__name__, strict=False))
        names = ("pooling", "feature_gate", *self.own_options)
        options = tuple(sorted((name, getattr(self, name)) for name in names))
        return Architecture(self.family, self.window, self.n_features_in_, self.n_outputs_, options, precision, device)

    def _windows(self, X: Any, values: np.ndarray) -> Windows:
        """Scaled windows; rows are scaled block by block into their padded place, so that one copy of X is made."""
        place, position, n_padded = padded_places(len(values), self.window, time_axis(X).assets)
        padded = np.zeros((n_padded, values.shape[1]), np.float32)
        for first in range(0, len(values), _BLOCK):
            padded[place[first : first + _BLOCK]] = self.scaler_.transform(values[first : first + _BLOCK])
        return windows_of_padded(padded, self.window, place, position)

    def _outputs(self, X: Any, embed: bool = False) -> np.ndarray:
        """Raw outputs (n, n_outputs) float64, or representations (n, width), of every row."""
        values = self._read_X(X)  # type: ignore[attr-defined]
        return self._compiled().run(self._windows(X, values), embed)

    def _newest(self, X: Any, n: int) -> np.ndarray:
        """Raw outputs of the last n rows of one asset's rows; only the rows that they need are scaled and windowed."""
        values = self._read_X(X)  # type: ignore[attr-defined]
        if isinstance(n, bool) or not 1 <= n <= len(values):
            raise invalid("n", type(self).__name__, f"from 1 to the {len(values)} rows given", n)
        windows = sliding_windows(self.scaler_.transform(values[-(self.window - 1 + n) :]), self.window)
        rows = np.arange(len(windows) - n, len(windows))
        return self._compiled().run_batch(windows.left_aligned(rows), windows.lengths[rows])

    def warm(self, n_rows: int = 1) -> Any:
        """Compile and run the prediction of so many rows once, so that the first real one is as fast as the rest."""
        window = np.zeros((n_rows, self.window, self.n_features_in_), np.float32)
        self._compiled().run_batch(window, np.full(n_rows, self.window, np.int32))
        return self

    def _compiled(self) -> Prediction:
        """This model's weights on its device, and their program; a refit or a restored state gets its own."""
        check_is_fitted(self)
        found = _COMPILED.get(self)
        if found is None or found.host is not self.weights_:
            found = _COMPILED[self] = Prediction(self._architecture(), self.weights_)
        return found

    def embed(self, X: Any) -> np.ndarray:
        """The representation before the head, one row per row of X, (n, width): for fusion with other models."""
        return self._outputs(X, embed=True)

    def export(self, path: str | Path, format: str = "tf_saved_model") -> Path:
        """Write the network, input scaling included, as a TensorFlow SavedModel or as ONNX; see ``export_network``."""
        check_is_fitted(self)
        return export_network(self, path, format)

    def _finished(self, raw: np.ndarray) -> np.ndarray:
        """Probabilities of the logits, or values of the standardised ones, (n, n_outputs)."""
        raise NotImplementedError

    # -- state -------------------------------------------------------------------------------------------------

    def _fitted_state(self) -> tuple[Spec, Arrays, dict[str, State]]:
        arrays = {f"w{number:03d}": weight for number, weight in enumerate(self.weights_)}
        arrays["mean"], arrays["scale"] = self.scaler_.mean, self.scaler_.scale
        return {"n_outputs": self.n_outputs_, "history": self.history_}, arrays, {}

    def _restore_fitted(self, spec: Spec, arrays: Arrays, children: dict[str, Any]) -> None:
        check_sequence_params(self)
        n_outputs = spec["n_outputs"]
        if isinstance(n_outputs, bool) or not isinstance(n_outputs, int) or not 1 <= n_outputs <= 10_000:
            raise InvalidState(f"n_outputs must be an integer from 1 to 10000, not {n_outputs!r}.")
        self.n_outputs_ = n_outputs
        self.scaler_ = Scaler.restore(arrays["mean"], arrays["scale"], self.n_features_in_)
        self.history_ = _history(spec["history"])
        shapes = weight_shapes(self._architecture())
        unknown = set(arrays) - {f"w{n:03d}" for n in range(len(shapes))} - {"mean", "scale", *self._own_arrays}
        if unknown:
            raise InvalidState(
                f"The stored {type(self).__name__} has the array {min(unknown)!r}, which is no part of it."
            )
        self.weights_ = [_weight(arrays, number, shape) for number, shape in enumerate(shapes)]


def _from(kept: list[Snapshot]) -> str:
    return f"after epoch {kept[0].progress.epoch}" if kept else "from its beginning"


def _host_loss(loss: str, y: np.ndarray, out: np.ndarray) -> float:
    """The training loss on the host, in float64, unweighted."""
    if loss == "cross_entropy":
        top = out.max(axis=1)
        total = top + np.log(np.exp(out - top[:, None]).sum(axis=1))
        return float(np.mean(total - out[np.arange(len(y)), y]))
    error = np.abs(out - y)
    if loss == "huber":
        return float(np.mean(np.where(error < 1.0, 0.5 * error**2, error - 0.5)))
    return float(np.mean(error**2))


def _history(spec: Any) -> dict[str, list[float]]:
    if not isinstance(spec, dict) or not all(isinstance(curve, list) for curve in spec.values()):
        raise InvalidState("The stored learning curves must be a dictionary of lists.")
    return {name: [float(value) for value in curve] for name, curve in spec.items()}


def _weight(arrays: Arrays, number: int, shape: tuple[int, ...]) -> np.ndarray:
    array = arrays[f"w{number:03d}"]
    if array.shape != shape or array.dtype.kind != "f" or not np.isfinite(array).all():
        raise InvalidState(f"Weight {number} must be finite and of shape {shape}; got {array.dtype} {array.shape}.")
    return array.astype(np.float32)
