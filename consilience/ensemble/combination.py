"""A fitted combination of all members, and of whichever of them answer: each from the stored out-of-fold
predictions."""

from collections.abc import Callable, Iterator

import numpy as np

from consilience.ensemble.evidence import Evidence
from consilience.ensemble.failures import Answers, needed, require_quorum, warn_left_out
from consilience.ensemble.pool import Pool
from consilience.ensemble.shrinkage import fit_pool

FitPool = Callable[[Evidence], Pool]


class Combination:
    """Joins answers by the pool fitted for exactly the members that gave one.

    Parameters
    ----------
    table : the out-of-fold predictions that every pool is fitted on.
    pool : the pool of all members.
    quorum : members that must answer (see ``failures.needed``).
    fit : makes the pool of a table of some of the members.
    owner : the ensemble's name, for messages.

    The pool of a subset is fitted when it is first needed (some tens of milliseconds) and kept; ``prepare`` does so in
    advance. No member is fitted again.
    """

    def __init__(self, table: Evidence, pool: Pool, quorum: float | int, owner: str, fit: FitPool = fit_pool):
        self.table, self.pool, self.owner, self.fit = table, pool, owner, fit
        self.required = needed(quorum, len(table.names), owner)
        self._pools: dict[tuple[int, ...], Pool] = {tuple(range(len(table.names))): pool}

    def pool_for(self, present: tuple[int, ...]) -> Pool:
        """The pool of the members at these positions."""
        found = self._pools.get(present)
        if found is None:
            found = self._pools[present] = self.fit(self.table.members(np.array(present)))
        return found

    def prepare(self, n_lost: int = 1) -> None:
        """Fit the pools for the loss of up to ``n_lost`` members now, so that no prediction has to wait for one."""
        from itertools import combinations

        everyone = range(len(self.table.names))
        for size in range(len(self.table.names) - n_lost, len(self.table.names)):
            for present in combinations(everyone, size):
                if size >= self.required:
                    self.pool_for(present)

    def combine(self, answers: Answers, regimes: np.ndarray | None = None) -> np.ndarray:
        """(n, n_classes) probabilities or (n,) values.

        Raises
        ------
        QuorumNotMet : a row that too few members answered.
        """
        if answers.alive is None:
            return self.pool.combine(answers.outputs, regimes)
        warn_left_out(self.owner, answers.reasons)
        out = np.empty(answers.outputs.shape[1:])
        for present, rows, pool in self._parts(answers):
            out[rows] = pool.combine(answers.outputs[np.ix_(present, rows)], _some(regimes, rows))
        return out

    def contributions(self, answers: Answers, regimes: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Per member (n_members, n, …), 0 where it is absent, and the base (n, …) of each row."""
        n_members, n_rows = answers.outputs.shape[:2]
        if answers.alive is None:
            members, base = self.pool.contributions(answers.outputs, regimes)
            return members, np.broadcast_to(base, (n_rows, *np.shape(base)))
        shape = (n_rows, answers.outputs.shape[2] - 1) if answers.outputs.ndim == 3 else (n_rows,)
        members, bases = np.zeros((n_members, *shape)), np.empty(shape)
        for present, rows, pool in self._parts(answers):
            part, base = pool.contributions(answers.outputs[np.ix_(present, rows)], _some(regimes, rows))
            members[np.ix_(present, rows)] = part
            bases[rows] = base
        return members, bases

    def _parts(self, answers: Answers) -> Iterator[tuple[np.ndarray, np.ndarray, Pool]]:
        """Rows that the same members answered, with those members' positions and pool."""
        assert answers.alive is not None
        patterns, which = np.unique(answers.alive, axis=1, return_inverse=True)
        for number, pattern in enumerate(patterns.T):
            present = np.flatnonzero(pattern)
            require_quorum(len(present), self.required, answers.reasons, len(pattern))
            yield present, np.flatnonzero(which.ravel() == number), self.pool_for(tuple(present.tolist()))


def _some(regimes: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    return None if regimes is None else regimes[rows]
