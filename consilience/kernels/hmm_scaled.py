"""The fast way through forward–backward: scaled probabilities, eight lanes, several threads, every cut checked."""

import numpy as np

from consilience.kernels import _hmm_passes, memory
from consilience.kernels._hmm_emission import BLOCK
from consilience.kernels._hmm_lanes import LANES
from consilience.kernels._hmm_passes import FILTER, GATHER, SMOOTH
from consilience.kernels._hmm_steps import WRITTEN_OUT
from consilience.kernels._hmm_verdict import HELD, UNDERFLOW, settle
from consilience.kernels.hmm_parameters import HMMParameters
from consilience.kernels.hmm_segments import FIRST_OVERLAP, SCRATCH_LIMIT, Segments, cut, useful_threads
from consilience.kernels.workers import in_turns, scratch

__all__ = ["FILTER", "GATHER", "SMOOTH", "ScaledPass"]


class ScaledPass:
    """One data set, cut into segments, on which passes are run with one set of parameters after another.

    Parameters
    ----------
    X : (n, D) float64, C-ordered. starts : (m + 1,) first rows of the sequences and the end.
    """

    def __init__(self, X: np.ndarray, starts: np.ndarray) -> None:
        self._X = X
        self._overlap = FIRST_OVERLAP
        self._starts = starts
        self._segments = cut(starts, self._overlap)

    def run(self, parameters: HMMParameters, mode: int) -> tuple[float, np.ndarray, np.ndarray] | None:
        """One pass.

        Returns
        -------
        (log_likelihood, proba, sums), or None where only log space can hold the numbers.
        proba : (n, K) filtered or smoothed, empty when gathering. sums : (size,) laid out as in ``gather``, the last K
        being the posteriors of first rows.
        """
        while True:
            segments = self._segments
            if self._too_large(segments, parameters):
                return None
            proba, sums, summaries, edges = self._all_groups(segments, parameters, mode)
            log_likelihood, verdict = settle(
                summaries.reshape(-1), edges.reshape(-1), segments.cut_edges, 2 if mode == FILTER else 4,
                parameters.transmat.ravel(), parameters.n_states,
            )  # fmt: skip
            if verdict == UNDERFLOW:
                return None
            if verdict == HELD:
                return float(log_likelihood), proba, self._totals(segments, sums, parameters.n_states)
            self._overlap *= 4
            self._segments = cut(self._starts, self._overlap)

    def _too_large(self, segments: Segments, parameters: HMMParameters) -> bool:
        row = (2 * parameters.n_states + parameters.n_features) * LANES * 8
        return segments.longest * row > SCRATCH_LIMIT

    def _all_groups(
        self, segments: Segments, parameters: HMMParameters, mode: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        k, d, groups = parameters.n_states, parameters.n_features, len(segments.tables)
        diagonal = parameters.whitening.ndim == 2
        transmat = parameters.transmat.ravel()
        size = k * k + 2 * k + k * d + (k * d if diagonal else k * d * (d + 1) // 2)
        out = memory.result(0 if mode == GATHER else len(self._X), k)
        sums = np.zeros((groups, size * LANES if mode == GATHER else 0))
        summaries = np.ones((groups, 6 * LANES))
        edges = np.zeros((groups, 4, LANES, k))
        steps = segments.blocks_forward if mode == FILTER else segments.blocks
        room = (segments.longest + BLOCK) * LANES
        model = (
            parameters.startprob, transmat, parameters.means.ravel(), parameters.packed_whitening,
            parameters.log_normalizer, None if diagonal else True, True if k > WRITTEN_OUT else None,
            parameters.has_tiny_transitions,
        )  # fmt: skip
        rows = (segments.shared, segments.bounds, segments.opens, self._X.reshape(-1), d)

        def work(turns: np.ndarray) -> None:
            density, alpha, packed = scratch(room * k, room * k, room * d if mode == GATHER else 0)
            if mode == GATHER:
                _hmm_passes.run_gather(
                    turns, steps, *rows, *model, packed, density, alpha,
                    sums, summaries, edges,
                )  # fmt: skip
            else:
                _hmm_passes.run(
                    turns, steps, *rows, *model, True if mode == SMOOTH else None, density, alpha,
                    out.reshape(-1), summaries, edges,
                )  # fmt: skip

        in_turns(work, useful_threads(len(self._X) * k, groups))
        return out, sums.reshape(groups, -1, LANES), summaries, edges

    @staticmethod
    def _totals(segments: Segments, sums: np.ndarray, k: int) -> np.ndarray:
        if sums.size == 0:
            return np.empty(0)
        sums[:, -k:] = np.where(segments.first_rows, sums[:, -k:], 0.0)
        lanes: np.ndarray = sums.sum(axis=2)
        return lanes.sum(axis=0)
