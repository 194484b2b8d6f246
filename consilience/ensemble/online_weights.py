"""Weights that follow the members' results as they come in."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from consilience.base import InvalidInput, invalid, nearest
from consilience.ensemble import expert_advice as advice
from consilience.ensemble import online_checks as checks
from consilience.ensemble.combine import CLIP
from consilience.ensemble.online_state import OnlineState
from consilience.ensemble.track_record import METRICS, TrackRecord, window_weights

Regime = int | np.ndarray
_METHODS = ("fixed_share", "exponential", "window")


class OnlineWeights(OnlineState):
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

    References
    ----------
    Herbster & Warmuth, *Tracking the best expert* (1998), for fixed share. Cesa-Bianchi & Lugosi, *Prediction,
    Learning, and Games* (2006), ch. 2 and 5, for exponential weights and the bounds.

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
        self._last: _Asked | None = None

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
        if not _is_number(self.share) or not 0.0 <= self.share < 1.0:
            raise invalid("share", owner, "a number in [0, 1)", self.share)
        if not _is_number(self.periods_per_year) or not 0.0 < self.periods_per_year < np.inf:
            raise invalid("periods_per_year", owner, "a positive number", self.periods_per_year)

    # -- asking ------------------------------------------------------------------------------------------------

    def array(self, regime: Regime = 0, alive: np.ndarray | None = None) -> np.ndarray:
        """Weights (n_members,) in a regime, or averaged over filtered regime probabilities (n_regimes,).

        Raises
        ------
        InvalidInput : a regime that there is not.
        """
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
        """(…, n_classes) weighted mean of the members' probabilities (n_members, …, n_classes).

        One row's (n_members, n_classes) are remembered until the next, for ``update(..., outcome=...)``.
        """
        present = checks.checked_alive(alive, len(self.members), "OnlineWeights.combine")
        if not present.any():
            raise invalid("alive", "OnlineWeights.combine", "True for at least one member", alive)
        said = np.asarray(proba, np.float64)
        mixed = self._mixed(said, regime, present)
        if said.ndim == 2:
            self._last = _Asked(said.copy(), present, mixed)
        return mixed

    def _mixed(self, said: np.ndarray, regime: Regime, present: np.ndarray) -> np.ndarray:
        weights = self.array(regime, present)
        mixed: np.ndarray = np.tensordot(weights[present], _clip(said[present]), axes=1)
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

        Raises
        ------
        InvalidInput : something that does not fit; nothing was learnt then.
        """
        present = checks.checked_alive(alive, len(self.members), checks.OBSERVE)
        said = checks.checked_proba(proba, present, checks.OBSERVE)
        outcome = checks.checked_outcome(outcome, said.shape[1], checks.OBSERVE)
        gains, regime = checks.checked_profit(profit, present, checks.OBSERVE), self._regime(regime)
        if not present.any():
            return
        asked = _Asked(said, present, self._mixed(said, regime, present))
        self._learn(asked, present, outcome, regime, gains)

    def update(
        self,
        member: str,
        regime: int = 0,
        profit: float | None = None,
        *,
        outcome: int | None = None,
        proba: np.ndarray | None = None,
    ) -> None:
        """Report the outcome, or the profit, of one member alone.

        Parameters
        ----------
        profit : of its position; by default +1 where its most probable class came, −1 otherwise.
        outcome : the class that came. "fixed_share" and "exponential" learn from it against what the other members had
            said, so ``combine`` must have been asked about that row, and nobody can report the row twice. When all
            members have reported, everything is as after ``observe``.
        proba : (n_classes,) what the member had said; by default what ``combine`` was given last.

        Raises
        ------
        InvalidInput : a method that cannot learn from what is given; nothing was learnt then.
        """
        owner = "OnlineWeights.update"
        if member not in self.members:
            hint = nearest(str(member), self.members)
            raise InvalidInput(f"There is no member {member!r}; the members are {', '.join(self.members)}.{hint}")
        position, regime, last = self.members.index(member), self._regime(regime), self._last
        if profit is not None and not (np.ndim(profit) == 0 and abs(profit) <= checks.LARGEST_PROFIT):
            raise invalid("profit", owner, f"a number below {checks.LARGEST_PROFIT:g} in size", profit)
        if outcome is None:
            if profit is None or self.method != "window":
                required = "given" if profit is None else f"given with method={self.method!r}, which learns from losses"
                raise invalid("outcome", owner, required, None, "Profits alone are enough for method='window'.")
            self.record_.add(position, regime, float(profit), profit > 0, True)
            return
        if proba is not None:
            own = checks.checked_proba(np.asarray(proba)[None], np.ones(1, bool), owner)[0]
        elif last is not None and last.alive[position]:
            own = last.said[position]
        else:
            raise invalid("proba", owner, f"given, because combine(...) was not told what {member!r} says", None)
        outcome = checks.checked_outcome(outcome, len(own), owner)
        if self.method == "window":
            mixed = own if last is None or last.mixed.shape != own.shape else last.mixed
            self._record(position, regime, own, mixed, outcome, profit)
            return
        if last is None or not last.alive[position] or position in last.reported or last.mixed.shape != own.shape:
            required = f"reported once for each row that combine(...) was asked about, with {self.method!r}"
            raise invalid("outcome", owner, required, outcome, "observe(...) takes all members at once.")
        last.said[position] = own
        only = np.arange(len(self.members)) == position
        self._learn(last, only, outcome, regime, None if profit is None else np.full(len(only), float(profit)))

    def _learn(self, asked: "_Asked", members: np.ndarray, outcome: int, regime: int, gains: np.ndarray | None) -> None:
        """The part of a step of those members (n_members,) bool; with the last that was there the step is done."""
        own = float(-np.log(asked.mixed[outcome]))  # a mean of clipped probabilities, and so bounded itself
        losses = np.where(members, -np.log(_clip(np.where(members[:, None], asked.said, 0.5))[:, outcome]), own)
        self.log_weights_[regime] = advice.exponential_step(self.log_weights_[regime], losses, own, members)
        self.losses_[regime] += losses - own
        for member in np.flatnonzero(members).tolist():
            asked.reported.add(member)
            gain = None if gains is None else float(gains[member])
            self._record(member, regime, asked.said[member], asked.mixed, outcome, gain)
        if len(asked.reported) < asked.alive.sum():
            return
        self.losses_[regime] += own
        self.own_loss_[regime] += own
        self.steps_[regime] += 1
        self.log_weights_[regime] -= self.log_weights_[regime].max()
        if self.method == "fixed_share":
            self.log_weights_[regime] = advice.share_step(self.log_weights_[regime], self.share)

    def _record(
        self, member: int, regime: int, said: np.ndarray, mixed: np.ndarray, outcome: int, profit: float | None
    ) -> None:
        choice = int(said.argmax())
        won = choice == outcome if profit is None else profit > 0
        gain = (1.0 if won else -1.0) if profit is None else float(profit)
        self.record_.add(member, regime, gain, bool(won), choice == int(mixed.argmax()))

    def run(
        self,
        proba: np.ndarray,
        codes: np.ndarray,
        begin: np.ndarray,
        end: np.ndarray,
        regimes: np.ndarray | None = None,
        alive: np.ndarray | None = None,
    ) -> np.ndarray:
        """Walk through history: predict each row, and learn from each label only once it is known.

        Parameters
        ----------
        proba : (n_members, n, n_classes). codes : (n,). begin, end : (n,) when each row is and when its label is known,
            begin in order. regimes : (n,) filtered regime of each row. alive : (n_members, n) bool, who answered.

        Returns
        -------
        (n, n_classes) probabilities; row i stands on labels with end < begin[i].

        Raises
        ------
        InvalidInput : parts that do not fit together, or rows out of order; nothing was learnt then.
        """
        proba, codes, begin, end, regimes, there = checks.checked_history(
            proba, codes, begin, end, regimes, alive, len(self.members)
        )
        for row in range(len(codes)):
            checks.checked_proba(proba[:, row], there[:, row], checks.RUN)
            checks.checked_outcome(codes[row], proba.shape[2], checks.RUN)
            self._regime(regimes[row])
        known, reported = np.argsort(end, kind="stable"), 0
        out = np.empty(proba.shape[1:])
        for row in range(len(codes)):
            while reported < len(known) and end[known[reported]] < begin[row]:
                past = known[reported]
                self.observe(proba[:, past], int(codes[past]), regime=int(regimes[past]), alive=there[:, past])
                reported += 1
            out[row] = self._mixed(proba[:, row], int(regimes[row]), there[:, row])
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

    def _regime(self, regime: Any) -> int:
        whole = isinstance(regime, int | np.integer) and not isinstance(regime, bool)
        if not whole or not 0 <= regime < self.n_regimes:
            raise invalid("regime", "OnlineWeights", f"an integer 0 … {self.n_regimes - 1}", regime)
        return int(regime)


@dataclass
class _Asked:
    """A row that was combined: said (n_members, n_classes), alive (n_members,), mixed (n_classes,), who reported."""

    said: np.ndarray
    alive: np.ndarray
    mixed: np.ndarray
    reported: set[int] = field(default_factory=set)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _clip(proba: np.ndarray) -> np.ndarray:
    """Probabilities inside [0.001, 0.999], summing to 1 again, so that no single miss is infinitely bad."""
    clipped = np.clip(proba, CLIP, 1.0 - CLIP)
    total: np.ndarray = clipped / clipped.sum(axis=-1, keepdims=True)
    return total
