"""One answer from the members' answers, and from whichever of them there are: each from a combination of its own."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from consilience.ensemble import conformal
from consilience.ensemble.failures import Answers, warn_left_out
from consilience.ensemble.final_estimator import FinalEstimator
from consilience.ensemble.pool_source import AnyPool, PoolSource
from consilience.ensemble.quorum import Quorum

Key = tuple[tuple[int, ...], bool]  # positions of the members that are there, and whether regimes are known


@dataclass(frozen=True)
class Joined:
    """Answers joined row by row.

    Attributes
    ----------
    output : (n, n_classes) or (n,). degraded : (n,) whether something was missing. reasons : what and why, by name.
    contributions : (n_members, n, …), 0 where a member is absent. base : (n, …).
    limit : (n,) the conformal score that a true class or value stays below at the wanted coverage, or None where no
        out-of-fold predictions are known.
    """

    output: np.ndarray
    degraded: np.ndarray
    reasons: dict[str, str]
    contributions: np.ndarray
    base: np.ndarray
    limit: np.ndarray | None


class Combination:
    """Joins answers by the pool of exactly the members that gave one.

    Parameters
    ----------
    source : makes the pool of any members. pool, scores : those of all members. owner : the ensemble's name.
    final : a meta-learner that answers instead of the pool where nothing is missing; ``scores`` are then its own.

    The pool of a subset is fitted when it is first needed (some tens of milliseconds) and kept; ``prepare`` does so in
    advance. No member is fitted again.
    """

    def __init__(
        self,
        source: PoolSource,
        pool: AnyPool,
        scores: np.ndarray | None,
        quorum: Quorum,
        owner: str,
        final: FinalEstimator | None = None,
    ):
        self.source, self.pool, self.own_scores = source, pool, scores
        self.quorum, self.owner, self.final = quorum, owner, final
        everyone = tuple(range(len(source.names)))
        self._pools: dict[Key, AnyPool] = {(everyone, True): pool}
        self._scores: dict[Key, np.ndarray | None] = {} if final is not None else {(everyone, True): scores}

    def pool_for(self, present: tuple[int, ...], regimes: bool = True) -> AnyPool:
        """The pool of the members at these positions; the one that knows no regimes where those are missing."""
        found = self._pools.get((present, regimes))
        if found is None:
            found = self._pools[present, regimes] = self.source.pool(present, regimes)
        return found

    def scores_for(self, present: tuple[int, ...], regimes: bool = True) -> np.ndarray | None:
        """The conformal scores of that pool's own walk forward, so that its promise is about itself."""
        if (present, regimes) not in self._scores:
            self._scores[present, regimes] = self.source.scores(present, regimes)
        return self._scores[present, regimes]

    def prepare(self, n_lost: int = 1) -> None:
        """Fit the pools for the loss of up to ``n_lost`` members now, so that no prediction has to wait for one."""
        names = self.source.names
        for size in range(max(len(names) - n_lost, 1), len(names)):
            for present in combinations(range(len(names)), size):
                if self.quorum.present(names[i] for i in present) >= self.quorum.required:
                    self.pool_for(present)

    def combine(self, answers: Answers) -> np.ndarray:
        """(n, n_classes) probabilities or (n,) values.

        Raises
        ------
        QuorumNotMet : a row that too few members answered.
        """
        if self.final is None and not answers.reasons:  # nobody is missing: on the path of every prediction
            return self.pool.combine(answers.outputs, answers.regimes)
        output, _, reasons = self._finals(answers)
        for present, rows, regimes, pool in self._parts(answers, _empty_rows(output)):
            output[rows] = pool.combine(answers.outputs[np.ix_(present, rows)], regimes)
        self._warn(answers, reasons)
        return output

    def explain(self, answers: Answers, coverage: float) -> Joined:
        """The same with what led to it; ``coverage`` is that of the conformal limit."""
        output, by_final, reasons = self._finals(answers)
        shape = (output.shape[0], output.shape[1] - 1) if output.ndim == 2 else output.shape
        contributions, base = np.zeros((len(answers.outputs), *shape)), np.empty(shape)
        limit = np.full(len(output), np.nan)
        if by_final.any():
            assert self.final is not None and self.own_scores is not None
            rows = np.flatnonzero(by_final)
            contributions[:, rows], base[rows] = self.final.contributions(*answers.some(rows))
            limit[rows] = conformal.threshold(self.own_scores, coverage)
        for present, rows, regimes, pool in self._parts(answers, ~by_final):
            outputs = answers.outputs[np.ix_(present, rows)]
            output[rows] = pool.combine(outputs, regimes)
            contributions[np.ix_(present, rows)], base[rows] = pool.contributions(outputs, regimes)
            scores = self.scores_for(tuple(present.tolist()), answers.regimes is None or regimes is not None)
            limit[rows] = np.nan if scores is None else conformal.threshold(scores, coverage)
        self._warn(answers, reasons)
        degraded = ~answers.complete
        if self.final is not None:
            degraded = degraded | ~by_final
        known = None if np.isnan(limit).any() else limit
        return Joined(output, degraded, answers.reasons | reasons, contributions, base, known)

    def _finals(self, answers: Answers) -> tuple[np.ndarray, np.ndarray, dict[str, str]]:
        """The final estimator's answers, NaN in the rows that are left to a pool; which it gave; why not the others."""
        output = np.full(answers.outputs.shape[1:], np.nan)
        given = np.zeros(len(output), bool)
        if self.final is None:
            return output, given, {}
        rows = np.flatnonzero(answers.complete)
        if len(rows):
            output[rows] = self.final.combine(*answers.some(rows))
        given[rows] = ~_empty_rows(output[rows])
        n_refused = len(rows) - int(given.sum())
        return output, given, {"final_estimator": f"it has no answer to {n_refused} rows"} if n_refused else {}

    def _warn(self, answers: Answers, reasons: dict[str, str]) -> None:
        if answers.reasons or reasons:
            warn_left_out(self.owner, answers.reasons | reasons)

    def _parts(
        self, answers: Answers, wanted: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None, AnyPool]]:
        """Wanted rows that the same members answered: those members' positions, the rows, their regimes, the pool."""
        n_members, n_rows = answers.outputs.shape[:2]
        alive = np.ones((n_members, n_rows), bool) if answers.alive is None else answers.alive
        known = np.ones(n_rows, bool) if answers.regimes is None else np.isfinite(answers.regimes).all(axis=1)
        inside = np.flatnonzero(wanted)
        patterns, which = np.unique(np.vstack([alive, known])[:, inside], axis=1, return_inverse=True)
        for number, pattern in enumerate(patterns.T):
            present, rows = np.flatnonzero(pattern[:-1]), inside[which.ravel() == number]
            self.quorum.check((self.source.names[i] for i in present), answers.reasons, answers.first_error)
            regimes = None if answers.regimes is None or not pattern[-1] else answers.regimes[rows]
            yield present, rows, regimes, self.pool_for(tuple(present.tolist()), bool(pattern[-1]))


def _empty_rows(output: np.ndarray) -> np.ndarray:
    """(n,) rows that nobody has answered yet."""
    return ~np.isfinite(output).reshape(len(output), int(np.prod(output.shape[1:]))).all(axis=1)
