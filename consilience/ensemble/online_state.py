"""``OnlineWeights`` as data, and back."""

from pathlib import Path
from typing import Any, Self

import numpy as np

from consilience.base import InvalidState, State
from consilience.base.persistence import read_state, write_state
from consilience.ensemble.track_record import TrackRecord

_PARAMETERS = ("method", "n_regimes", "share", "metric", "window", "min_trades", "periods_per_year")


class OnlineState:
    """Storing and restoring; a row that ``combine`` was asked about and that not all have reported is not stored."""

    members: tuple[str, ...]
    log_weights_: np.ndarray
    losses_: np.ndarray
    own_loss_: np.ndarray
    steps_: np.ndarray
    record_: TrackRecord

    def __init__(self, members: Any, **params: Any):
        raise NotImplementedError

    def get_state(self) -> State:
        """Parameters and everything learnt, as data."""
        spec = {name: getattr(self, name) for name in _PARAMETERS}
        return State("OnlineWeights", {**spec, "members": list(self.members)}, dict(self._arrays()))

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The inverse of ``get_state``; whatever does not fit together raises InvalidState."""
        if state.kind != "OnlineWeights":
            raise InvalidState(f"A state of {state.kind!r} cannot become OnlineWeights.")
        try:
            _check_size(state)
            self = cls(**state.spec)
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidState(f"The stored OnlineWeights are damaged: {error}") from error
        for name, own in self._arrays().items():
            stored = state.arrays.get(name)
            if stored is None or stored.shape != own.shape or stored.dtype != own.dtype:
                raise InvalidState(f"The stored array {name!r} must have the shape {own.shape} and type {own.dtype}.")
            if np.isinf(stored).any() or (not name.startswith("recent") and np.isnan(stored).any()):
                raise InvalidState(f"The stored array {name!r} holds numbers that are not finite.")
            own[...] = stored
        return self

    def save(self, path: str | Path) -> None:
        """Write to one file, atomically and without pickle."""
        write_state(self.get_state(), Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what ``save`` wrote."""
        return cls.from_state(read_state(Path(path)))

    def _arrays(self) -> dict[str, np.ndarray]:
        record = self.record_
        return {
            "log_weights": self.log_weights_,
            "losses": self.losses_,
            "own_loss": self.own_loss_,
            "steps": self.steps_,
            "totals": record.totals,
            "recent": record.recent,
            "recent_won": record.recent_won,
            "cursor": record.cursor,
        }


def _check_size(state: State) -> None:
    """The declared sizes must be those of the arrays that are there, before anything is allocated from them."""
    declared = (state.spec["n_regimes"], len(state.spec["members"]), state.spec["window"])
    if state.arrays["recent"].shape != declared:
        raise ValueError(f"its window has the shape {state.arrays['recent'].shape}, not {declared}")
