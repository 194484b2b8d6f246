"""What the sequence networks share: reading rows, scaling, training in windows, predicting in fixed shapes, state."""

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import keras
import numpy as np
from sklearn.utils.validation import check_is_fitted

from consilience import __version__
from consilience.base import InvalidInput, InvalidState, State, invalid, time_axis
from consilience.base.frame import check_one_series
from consilience.base.state import Arrays, Spec
from consilience.base.windows import Windows, sliding_windows
from consilience.keras_models import programs
from consilience.keras_models.architecture import Architecture, initial_weights, network
from consilience.keras_models.checkpoint import Checkpoint
from consilience.keras_models.checks import check_sequence_params
from consilience.keras_models.data_parallel import shares
from consilience.keras_models.device import OutOfMemory, out_of_memory, precise, resolve_device, running_on, single
from consilience.keras_models.export import export_network
from consilience.keras_models.losses import loss_on_host
from consilience.keras_models.prediction import Prediction
from consilience.keras_models.scaling import Scaler
from consilience.keras_models.shapes import weight_shapes
from consilience.keras_models.training import Examples, Plan, Snapshot, TrainingDiverged, train
from consilience.keras_models.validation import Validation, validation_windows

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
        self,
        X: Any,
        values: np.ndarray,
        y: np.ndarray,
        weight: np.ndarray,
        loss: str,
        validation: Validation | None,
    ) -> None:
        """Train on rows already checked, y as the loss takes it."""
        owner = type(self).__name__
        self._check_rows(X, values)
        self.scaler_ = Scaler.fit(values)
        examples = Examples(self._windows(X, values), y, weight.astype(np.float32))
        validate, watched = None, []
        if validation is not None:
            windows, scored = validation_windows(X, values, validation, self.window, self.scaler_)
            watched = [*windows.contents, validation.y[scored]]
            validate = self._validator(windows, validation.y[scored], loss)
        device = resolve_device(self.device, owner)
        architecture = self._architecture(device, precise(self.precision, device))
        n_devices = self._n_devices(device)
        seed = int(np.random.default_rng(self.random_state).integers(2**31))
        with self._kept_in(self.checkpoint, architecture, loss, examples, watched) as checkpoint:
            begin = checkpoint.load() if checkpoint is not None else None
            batch_size, accumulation = self.batch_size, self.accumulation
            if begin is not None:
                batch_size, accumulation, seed = begin.batch_size, begin.accumulation, begin.seed
            kept = [begin] if begin is not None else []  # the last whole epoch, from which smaller batches go on

            def keep(snapshot: Snapshot) -> None:
                kept[:] = [snapshot]
                if checkpoint is not None:
                    checkpoint.save(snapshot)

            while True:
                plan = self._plan(batch_size, accumulation, seed)
                recipe = self._recipe(architecture, loss, batch_size, accumulation)
                try:
                    with running_on(device):
                        start = initial_weights(network(architecture), seed)
                        begin = kept[0] if kept else None
                        self.weights_, progress = train(
                            programs.trainer(recipe), start, examples, plan, validate, begin, keep
                        )
                    break
                except TrainingDiverged:
                    if checkpoint is not None:
                        checkpoint.finish()  # it would diverge again
                    raise
                except Exception as error:
                    if not out_of_memory(error):
                        raise
                    batch_size = self._smaller(batch_size, n_devices, device, error)
                    steps = self.epochs * math.ceil(len(y) / batch_size)
                    accumulation = min(2 * accumulation, steps)
                    warnings.warn(
                        f"{owner}: the memory of {device} is full; training goes on {_from(kept)} with "
                        f"batches of {batch_size}, {accumulation} per update.",
                        stacklevel=3,
                    )
            self.history_ = progress.history
            if checkpoint is not None:
                checkpoint.finish()

    def _check_rows(self, X: Any, values: np.ndarray) -> None:
        """Refuse rows of which no window can be filled, and so few batches that the weights would never change."""
        owner = type(self).__name__
        assets = time_axis(X).assets
        longest = int(np.bincount(assets).max())
        if longest < self.window:
            whose = f"its longest asset has {longest}" if assets.any() else f"X has {longest}"
            raise InvalidInput(
                f"{owner} needs at least window = {self.window} rows of one asset to fit; {whose}. "
                "Give more rows or a smaller window."
            )
        batches = self.epochs * math.ceil(len(values) / self.batch_size)
        if batches < self.accumulation:
            required = f"at most the {batches} batches that all epochs have"
            raise invalid("accumulation", owner, required, self.accumulation, "The weights would never be updated.")

    def _n_devices(self, device: str) -> int:
        shared = shares(device)
        n = 1 if shared is None else shared.n_devices
        if self.batch_size % n:
            raise invalid("batch_size", type(self).__name__, f"a multiple of the {n} devices", self.batch_size)
        return n

    def _smaller(self, batch_size: int, n_devices: int, device: str, error: Exception) -> int:
        """Half the batch, rounded up to a multiple of the devices that share it."""
        share = batch_size // n_devices
        if share == 1:
            raise OutOfMemory(
                f"{type(self).__name__}: the memory of {device} is full even with batches of {batch_size}. Use a "
                "smaller network or window, or device='cpu'."
            ) from error
        return (share + 1) // 2 * n_devices

    @contextmanager
    def _kept_in(
        self,
        folder: str | None,
        architecture: Architecture,
        loss: str,
        examples: Examples,
        watched: list[np.ndarray],
    ) -> Iterator[Checkpoint | None]:
        """The checkpoint of this training, or None where no folder is given."""
        if folder is None:
            yield None
            return
        settings = (
            __version__,
            keras.backend.backend(),
            self._recipe(architecture, loss, self.batch_size, self.accumulation),
            self._plan(self.batch_size, self.accumulation, 0),
            None if self.random_state is None else int(self.random_state),
        )
        trained = [*examples.windows.contents, examples.y, examples.weight]
        with Checkpoint(folder, settings, [*trained, *watched]) as checkpoint:
            yield checkpoint

    def _plan(self, batch_size: int, accumulation: int, seed: int) -> Plan:
        return Plan(
            self.epochs,
            batch_size,
            float(self.learning_rate),
            self.schedule,
            float(self.warmup),
            self.patience,
            seed,
            self.augmentation,
            accumulation,
            self._clip_norm(),
        )

    def _clip_norm(self) -> float | None:
        return None if self.clip_norm is None else float(self.clip_norm)

    def _recipe(self, architecture: Architecture, loss: str, batch_size: int, accumulation: int) -> programs.Recipe:
        decay = float(self.weight_decay)
        return programs.Recipe(architecture, loss, batch_size, self.optimizer, decay, self._clip_norm(), accumulation)

    def _validator(self, windows: Windows, y: np.ndarray, loss: str) -> Callable[[list[np.ndarray]], float]:
        architecture = self._architecture()

        def validate(weights: list[np.ndarray]) -> float:
            return loss_on_host(loss, y, Prediction(architecture, weights).run(windows))

        return validate

    # -- predict -----------------------------------------------------------------------------------------------

    def _architecture(self, device: str | None = None, precision: str = "float32") -> Architecture:
        """What is compiled; predictions always run in float32."""
        device = device or single(resolve_device(self.device, type(self).__name__, strict=False))
        names = ("pooling", "feature_gate", *self.own_options)
        options = tuple(sorted((name, getattr(self, name)) for name in names))
        return Architecture(self.family, self.window, self.n_features_in_, self.n_outputs_, options, precision, device)

    def _windows(self, X: Any, values: np.ndarray) -> Windows:
        """Windows that are scaled as they are read: of X itself no copy is made."""
        return sliding_windows(values, self.window, time_axis(X).assets, self.scaler_.transform)

    def _outputs(self, X: Any, embed: bool = False) -> np.ndarray:
        """Raw outputs (n, n_outputs) float64, or representations (n, width), of every row."""
        values = self._read_X(X)  # type: ignore[attr-defined]
        return self._compiled().run(self._windows(X, values), embed)

    def _newest(self, X: Any, n: int) -> np.ndarray:
        """Raw outputs of the last n rows of one asset's rows; only the rows that they need are scaled and windowed."""
        values = self._read_X(X)  # type: ignore[attr-defined]
        if isinstance(n, bool) or not hasattr(n, "__index__") or not 1 <= n <= len(values):
            raise invalid("n", type(self).__name__, f"an integer from 1 to the {len(values)} rows given", n)
        check_one_series(X)
        scaled = self.scaler_.transform(values[-(self.window - 1 + n) :])
        if n == 1 and len(scaled) == self.window:  # what a server asks for
            return self._compiled().run_batch(scaled[None], np.array([self.window], np.int32))
        windows = sliding_windows(scaled, self.window)
        rows = np.arange(len(windows) - n, len(windows))
        return self._compiled().run_batch(windows.left_aligned(rows), windows.lengths[rows])

    def warm(self, n_rows: int = 1) -> Any:
        """Compile and run the prediction of so many rows once, so that the first real one is as fast as the rest.

        ``serving.Live.load`` calls it. Returns the model.

        >>> import numpy as np
        >>> from consilience.keras_models import LSTMRegressor
        >>> X = np.random.default_rng(0).standard_normal((60, 2))
        >>> model = LSTMRegressor(window=5, units=4, epochs=1, random_state=0).fit(X, X[:, 0])
        >>> model.warm().predict_newest(X[-5:]).shape
        (1,)
        """
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
        """The representation before the head, one row per row of X, (n, width): for fusion with other models.

        >>> import numpy as np
        >>> from consilience.keras_models import LSTMRegressor
        >>> X = np.random.default_rng(0).standard_normal((60, 2))
        >>> LSTMRegressor(window=5, units=4, epochs=1, random_state=0).fit(X, X[:, 0]).embed(X).shape
        (60, 4)
        """
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


def _history(spec: Any) -> dict[str, list[float]]:
    if not isinstance(spec, dict) or not all(isinstance(curve, list) for curve in spec.values()):
        raise InvalidState("The stored learning curves must be a dictionary of lists.")
    return {name: [float(value) for value in curve] for name, curve in spec.items()}


def _weight(arrays: Arrays, number: int, shape: tuple[int, ...]) -> np.ndarray:
    array = arrays[f"w{number:03d}"]
    if array.shape != shape or array.dtype.kind != "f" or not np.isfinite(array).all():
        raise InvalidState(f"Weight {number} must be finite and of shape {shape}; got {array.dtype} {array.shape}.")
    return array.astype(np.float32)
