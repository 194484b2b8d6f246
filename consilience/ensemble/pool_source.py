"""Where the pool of any members comes from: from stored out-of-fold predictions, or from weights that are fixed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from consilience.ensemble import conformal
from consilience.ensemble.evidence import Evidence
from consilience.ensemble.own_record import SaidOf
from consilience.ensemble.pool import Pool
from consilience.ensemble.vote_pools import VotePool

AnyPool = Pool | VotePool


class PoolSource(Protocol):
    """Makes the pool of the members at some positions, and the scores of what that pool said out of fold."""

    @property
    def names(self) -> tuple[str, ...]: ...
    def pool(self, present: tuple[int, ...], regimes: bool) -> AnyPool: ...
    def scores(self, present: tuple[int, ...], regimes: bool) -> np.ndarray | None: ...


@dataclass(frozen=True)
class FromTable:
    """Pools fitted on the out-of-fold table of exactly the members that are there; no member is fitted again.

    Attributes
    ----------
    fit : makes the pool of a table. said : by fold, what the pools of their time said (``own_record``).
    """

    table: Evidence
    fit: Callable[[Evidence], AnyPool]
    said: SaidOf

    @property
    def names(self) -> tuple[str, ...]:
        return self.table.names

    def pool(self, present: tuple[int, ...], regimes: bool) -> AnyPool:
        """Fitted for these members; without regimes where those are not known."""
        return self.fit(self._part(present, regimes))

    def scores(self, present: tuple[int, ...], regimes: bool) -> np.ndarray:
        """(m,) conformal scores of these members' own walk forward, in time order."""
        table = self._part(present, regimes)
        return scores_of(table, self.said(table))

    def _part(self, present: tuple[int, ...], regimes: bool) -> Evidence:
        table = self.table.members(np.array(present, np.int64))
        return table if regimes else replace(table, regimes=np.ones((table.n_rows, 1)))


@dataclass(frozen=True)
class FixedVotes:
    """A vote whose weights were given: absent members' are spread over the others in proportion.

    There are no out-of-fold predictions behind it, and so no conformal scores.
    """

    names: tuple[str, ...]
    whole: VotePool

    def pool(self, present: tuple[int, ...], regimes: bool) -> VotePool:
        """The vote of these members; equal where nobody with a weight is left."""
        weights = self.whole.weights[list(present)]
        return replace(self.whole, weights=weights if weights.sum() > 0.0 else np.ones(len(weights)))

    def scores(self, present: tuple[int, ...], regimes: bool) -> None:
        """None."""
        return None


def scores_of(table: Evidence, said: dict[int, np.ndarray]) -> np.ndarray:
    """Conformal scores (m,) of what was said by fold, in time order of the rows."""
    found = np.full(table.n_rows, np.nan)
    score = conformal.class_scores if table.outputs.ndim == 3 else conformal.value_scores
    for fold, answer in said.items():
        inside = table.fold == fold
        found[inside] = score(answer, table.target[inside])
    return found[np.isfinite(found)]
