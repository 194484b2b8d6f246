"""Weights that follow the members' results as they come in."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from consilience.base import InvalidInput, InvalidState, State, invalid, nearest
from consilience.base.persistence import read_state, write_state
from consilience.ensemble import expert_advice as advice
from consilience.ensemble.combine import CLIP
from consilience.ensemble.track_record import METRICS, TrackRecord, window_weights

Regime = int | np.ndarray
_METHODS = ("fixed_share", "exponential", "window")


class OnlineWeights:
    """Member weights per regime, updated after every outcome; only outcomes that were reported can have any effect.

    Parameters
    ----------
    members : names.
    method : "fixed_share" (exponential weights that can follow a change), "exponential" (the best member in the long
        run) or "window" (in proportion to a metric over the newest trades).
    n_regimes : regimes 0 … n_regimes - 1, each with weights of its own.
    share : what fixed share gives back per step; 1/share is about how many steps one member stays the best.
    metric : for "window": "win_rate", "mean_profit" or "sharpe".
    window, min_trades : newest trades that count, and how many a member needs before its own record counts.
    periods_per_year : for the Sharpe ratios of ``report``.

    Notes
    -----
    On log loss ``combine`` loses at most ``regret()["bound"]`` nats in all to the best member, per regime, when every
    outcome is reported before the next prediction (``expert_advice``). Probabilities are kept inside [0.001, 0.999].

    Examples
    --------
    >>> weights = OnlineWeights(["trend", "reversal"], share=0.02)
    >>> for _ in range(20):
    ...     weights.observe(np.array([[0.3, 0.7], [0.6, 0.4]]), outcome=1)
    >>> weights.weights()["trend"] > 0.9
    True
    """

    def __init__(
        self,
        members: Sequence[str],
        *,
        method: Literal["fixed_share", "exponential", "window"] = "fixed_share",
        n_regimes: int = 1,
        share: float = 0.01,
        metric: str = "win_rate",
        window: int = 250,
        min_trades: int = 20,
        periods_per_year: float = 252.0,
    ):
        self.members = tuple(members)
        self.method, self.n_regimes, self.share, self.metric = method, n_regimes, share, metric
        self.window, self.min_trades, self.periods_per_year = window, min_trades, periods_per_year
        self._check()
        shape = (n_regimes, len(self.members))
        self.log_weights_ = np.zeros(shape)
        self.losses_ = np.zeros(shape)  # of each member, and of the mixture, since the start
        self.own_loss_ = np.zeros(n_regimes)
        self.steps_ = np.zeros(n_regimes, np.int64)
        self.record_ = TrackRecord.empty(*shape, window)

    def _check(self) -> None:
        owner = "OnlineWeights"
        if not self.members or len(set(self.members)) != len(self.members):
            raise invalid("members", owner, "a non-empty list of distinct names", self.members)
        if self.method not in _METHODS:
            raise invalid("method", owner, f"one of {', '.join(_METHODS)}", self.method)
        if self.metric not in METRICS:
            raise invalid("metric", owner, f"one of {', '.join(METRICS)}", self.metric)
        for name in ("n_regimes", "window", "min_trades"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise invalid(name, owner, "an integer >= 1", value)
        if not 0.0 <= self.share < 1.0:
            raise invalid("share", owner, "a number in [0, 1)", self.share)
        if not 0.0 < self.periods_per_year < np.inf:
            raise invalid("periods_per_year", owner, "a positive number", self.periods_per_year)

    # -- asking ------------------------------------------------------------------------------------------------

    def array(self, regime: Regime = 0, alive: np.ndarray | None = None) -> np.ndarray:
        """Weights (n_members,) in a regime, or averaged over filtered regime probabilities (n_regimes,)."""
        if np.ndim(regime) == 1:
            share = np.asarray(regime, np.float64)
            if share.shape != (self.n_regimes,):
                raise invalid("regime", "OnlineWeights", f"{self.n_regimes} probabilities", regime)
            return share @ np.stack([self._of_regime(number, alive) for number in range(self.n_regimes)])
        return self._of_regime(self._regime(regime), alive)

    def weights(self, regime: Regime = 0) -> dict[str, float]:
        """Weights by member name; they sum to 1."""
        return dict(zip(self.members, self.array(regime).tolist()))

    def combine(self, proba: np.ndarray, regime: Regime = 0, alive: np.ndarray | None = None) -> np.ndarray:
        """(…, n_classes) weighted mean of the members' probabilities (n_members, …, n_classes)."""
        weights = self.array(regime, alive)
        present = np.ones(len(weights), bool) if alive is None else alive
        clipped = _clip(np.asarray(proba, np.float64)[present])
        mixed: np.ndarray = np.tensordot(weights[present], clipped, axes=1)
        return mixed

    def _of_regime(self, regime: int, alive: np.ndarray | None) -> np.ndarray:
        if self.method == "window":
            values, count = self.record_.windowed(self.metric, regime)
            weights = window_weights(values, count, self.min_trades, 0.5 if self.metric == "win_rate" else 0.0)
            with np.errstate(divide="ignore"):
                return weights if alive is None else advice.normalise(np.log(weights + 1e-12), alive)
        return advice.normalise(self.log_weights_[regime], alive)

    # -- learning ----------------------------------------------------------------------------------------------

    def observe(
        self, proba: np.ndarray, outcome: int, *, regime: int = 0, profit: Any = None, alive: np.ndarray | None = None
    ) -> None:
        """Report one outcome: what every member had said (n_members, n_classes), and which class came.

        Parameters
        ----------
        profit : (n_members,) of each member's position; by default +1 where its most probable class came, −1 otherwise.
        alive : (n_members,) bool, False for members that gave no answer.
        """
        said, regime = np.asarray(proba, np.float64), self._regime(regime)
        present = np.ones(len(self.members), bool) if alive is None else np.asarray(alive, bool)
        if said.ndim != 2 or len(said) != len(self.members) or not np.isfinite(said[present]).all():
            raise invalid("proba", "OnlineWeights.observe", f"finite, shape ({len(self.members)}, n_classes)", proba)
        if not 0 <= outcome < said.shape[1]:
            raise invalid("outcome", "OnlineWeights.observe", f"a class code 0 … {said.shape[1] - 1}", outcome)
        if not present.any():
            return
        mixed = self.combine(said, regime, present)
        losses = np.where(present, -np.log(_clip(np.where(present[:, None], said, 0.5))[:, outcome]), 0.0)
        own = float(-np.log(mixed[outcome]))
        self.own_loss_[regime] += own
        self.losses_[regime] += np.where(present, losses, own)
        self.steps_[regime] += 1
        self.log_weights_[regime] = advice.exponential_step(self.log_weights_[regime], losses, alive=present)
        if self.method == "fixed_share":
            self.log_weights_[regime] = advice.share_step(self.log_weights_[regime], self.share)
        choices, agreed = said.argmax(axis=1), said.argmax(axis=1) == mixed.argmax()
        gains = np.where(choices == outcome, 1.0, -1.0) if profit is None else np.asarray(profit, np.float64)
        for member in np.flatnonzero(present):
            won = choices[member] == outcome if profit is None else gains[member] > 0
            self.record_.add(int(member), regime, float(gains[member]), bool(won), bool(agreed[member]))

    def update(self, member: str, regime: int = 0, profit: float = 0.0, *, agreed: bool = True) -> None:
        """Report the result of one member's trade alone; it counts in the track record and the "window" weights.

        A bound on regret needs the losses of all members at one time, so the other methods learn from ``observe``.
        """
        if member not in self.members:
            hint = nearest(str(member), self.members)
            raise InvalidInput(f"There is no member {member!r}; the members are {', '.join(self.members)}.{hint}")
        if not np.isfinite(profit):
            raise invalid("profit", "OnlineWeights.update", "a finite number", profit)
        self.record_.add(self.members.index(member), self._regime(regime), float(profit), profit > 0, agreed)

    def run(
        self,
        proba: np.ndarray,
        codes: np.ndarray,
        begin: np.ndarray,
        end: np.ndarray,
        regimes: np.ndarray | None = None,
    ) -> np.ndarray:
        """Walk through history: predict each row, and learn from each label only once it is known.

        Parameters
        ----------
        proba : (n_members, n, n_classes). codes : (n,). begin, end : (n,) when each row is and when its label is known,
            begin in order. regimes : (n,) filtered regime of each row.

        Returns
        -------
        (n, n_classes) probabilities; row i stands on labels with end < begin[i].
        """
        regimes = np.zeros(len(codes), np.int64) if regimes is None else regimes
        known, reported = np.argsort(end, kind="stable"), 0
        out = np.empty(proba.shape[1:])
        for row in range(len(codes)):
            while reported < len(known) and end[known[reported]] < begin[row]:
                past = known[reported]
                self.observe(proba[:, past], int(codes[past]), regime=int(regimes[past]))
                reported += 1
            out[row] = self.combine(proba[:, row], int(regimes[row]))
        return out

    # -- reporting ---------------------------------------------------------------------------------------------

    def report(self) -> pd.DataFrame:
        """Trades, win rate, mean profit, Sharpe and agreement per (regime, member)."""
        return self.record_.report(self.members, self.periods_per_year)

    def regret(self, regime: int = 0, n_switches: int = 0) -> dict[str, float]:
        """Total log loss of the mixture and of the best single member, and the bound on their difference."""
        regime, n_members = self._regime(regime), len(self.members)
        steps = int(self.steps_[regime])
        bound = advice.exponential_bound(n_members)
        if self.method == "fixed_share":
            bound = advice.fixed_share_bound(n_members, max(steps, 1 + n_switches), n_switches, self.share)
        best = float(self.losses_[regime].min())
        own = float(self.own_loss_[regime])
        return {"own": own, "best": best, "regret": own - best, "bound": np.inf if self.method == "window" else bound}

    # -- state -------------------------------------------------------------------------------------------------

    def get_state(self) -> State:
        """Parameters and everything learnt, as data."""
        spec = {name: getattr(self, name) for name in _PARAMETERS}
        return State("OnlineWeights", {**spec, "members": list(self.members)}, dict(self._arrays()))

    @classmethod
    def from_state(cls, state: State) -> "OnlineWeights":
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
    def load(cls, path: str | Path) -> "OnlineWeights":
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

    def _regime(self, regime: Any) -> int:
        if np.ndim(regime) != 0 or not 0 <= int(regime) < self.n_regimes:
            raise invalid("regime", "OnlineWeights", f"an integer 0 … {self.n_regimes - 1}", regime)
        return int(regime)


_PARAMETERS = ("method", "n_regimes", "share", "metric", "window", "min_trades", "periods_per_year")


def _clip(proba: np.ndarray) -> np.ndarray:
    """Probabilities inside [0.001, 0.999], summing to 1 again, so that no single miss is infinitely bad."""
    clipped = np.clip(proba, CLIP, 1.0 - CLIP)
    total: np.ndarray = clipped / clipped.sum(axis=-1, keepdims=True)
    return total


def _check_size(state: State) -> None:
    """The declared sizes must be those of the arrays that are there, before anything is allocated from them."""
    declared = (state.spec["n_regimes"], len(state.spec["members"]), state.spec["window"])
    if state.arrays["recent"].shape != declared:
        raise ValueError(f"its window has the shape {state.arrays['recent'].shape}, not {declared}")
