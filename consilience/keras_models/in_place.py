"""Training the variables of a network itself, for backends that do not take a training's values as arguments."""

import threading
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from consilience.keras_models.losses import LOSSES
from consilience.keras_models.optimizers import build_optimizer
from consilience.keras_models.programs import Recipe


class Ticket:
    """One training's values while they are not in the variables: weights, dropout streams, optimizer."""

    def __init__(self, trainer: "InPlaceTrainer", parts: list[list[np.ndarray]]) -> None:
        self.trainer, self.parts = trainer, parts


class Seat:
    """Which training's values are in a network's variables; one training at a time runs on it.

    A network has one seat, however many recipes train it.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.taken: Ticket | None = None


_SEATS: WeakKeyDictionary[Any, Seat] = WeakKeyDictionary()
_lock = threading.Lock()


def seat_of(model: Any) -> Seat:
    """The one seat of a network."""
    with _lock:
        return _SEATS.setdefault(model, Seat())


class InPlaceTrainer:
    """All of a trainer but its ``run``, for steps that change the network's own variables.

    The state that ``run`` of a subclass takes and gives is put in and read out only when another training, of this
    recipe or of another one on the same network, came between.
    """

    def __init__(self, model: Any, recipe: Recipe) -> None:
        self._model = model
        self._optimizer = build_optimizer(recipe)
        self._optimizer.build(model.trainable_variables)
        self._loss = LOSSES[recipe.loss]
        self._batch_size = recipe.batch_size
        self._optimizer_start = [self._array(v) for v in self._optimizer.variables]
        self._seat = seat_of(model)

    def start(self, weights: list[np.ndarray], seed: int) -> Ticket:
        """A fresh state: these weights, an optimizer that has seen nothing, dropout streams from the seed."""
        streams = [
            np.array([seed, number], self._array(v).dtype)
            for number, v in enumerate(self._model.non_trainable_variables)
        ]
        return self.load([list(weights), streams, self._optimizer_start])

    def load(self, parts: list[list[np.ndarray]]) -> Ticket:
        return Ticket(self, [[np.array(a) for a in part] for part in parts])

    def weights(self, state: Ticket) -> list[np.ndarray]:
        return self.dump(state)[0]

    def dump(self, state: Ticket) -> list[list[np.ndarray]]:
        """The whole state as arrays, for a checkpoint."""
        with self._seat.lock:
            if self._seat.taken is state:
                state.parts = self._read()
            return [[np.array(a) for a in part] for part in state.parts]

    def release(self, state: Ticket) -> None:
        """The training is over: its values are kept no longer."""
        with self._seat.lock:
            state.parts = []
            if self._seat.taken is state:
                self._seat.taken = None

    def _variables(self) -> list[list[Any]]:
        return [
            list(self._model.trainable_variables),
            list(self._model.non_trainable_variables),
            list(self._optimizer.variables),
        ]

    def _read(self) -> list[list[np.ndarray]]:
        return [[self._array(v) for v in part] for part in self._variables()]

    def _enter(self, state: Ticket) -> None:
        """Put the state's values into the variables, and those that were there back into theirs. Under the lock."""
        before = self._seat.taken
        if before is state:
            return
        if before is not None:
            before.parts = before.trainer._read()
        self._seat.taken = None  # nobody's, should an assignment fail half-way
        for variables, values in zip(self._variables(), state.parts, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
        self._seat.taken = state

    def _array(self, variable: Any) -> np.ndarray:
        """A copy of the variable's value on the host."""
        raise NotImplementedError
