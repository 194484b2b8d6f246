"""The fast way through forward–backward: scaled probabilities, eight lanes, several threads, every cut checked."""

import numpy as np

from consilience.kernels import _hmm_passes
from consilience.kernels._hmm_emission import BLOCK
from consilience.kernels._hmm_lanes import LANES
from consilience.kernels._hmm_passes import FILTER, GATHER, SMOOTH
from consilience.kernels._hmm_steps import WRITTEN_OUT
from consilience.kernels.hmm_parameters import HMMParameters
from consilience.kernels.hmm_segments import FIRST_OVERLAP, SCRATCH_LIMIT, Segments, cut, useful_threads
from consilience.kernels.workers import in_turns, scratch

__all__ = ["FILTER", "GATHER", "SMOOTH", "ScaledPass"]

_AGREE = 1e-12  # relative difference at a cut, below which an arbitrary start counts as forgotten
_LOW_WATER = 1e-280  # a scale below it may have lost states to underflow; log space decides then
_TINY_TRANSITION = (
    1e-100  # transitions below it let a state live on mass that scaling cannot hold; then every step is watched
)


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
            if not (summaries[:, 4:] > _LOW_WATER).all():
                return None
            total, power, opening, closing = (summaries[:, row] for row in range(4))
            with np.errstate(divide="ignore", invalid="ignore"):
                masses = np.log(closing) - np.log(opening)
            log_likelihood = float(total.sum() + np.log(2.0) * power.sum() + masses.sum())
            if not np.isfinite(log_likelihood):
                return None
            if self._agrees(segments, parameters, edges, mode):
                return log_likelihood, proba, self._totals(segments, sums, parameters.n_states)
            self._overlap *= 4
            self._segments = cut(self._starts, self._overlap)

    def _too_large(self, segments: Segments, parameters: HMMParameters) -> bool:
        row = (2 * parameters.n_states + parameters.n_features) * LANES * 8
        return int(segments.steps.max()) * row > SCRATCH_LIMIT

    def _all_groups(
        self, segments: Segments, parameters: HMMParameters, mode: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        k, d, groups = parameters.n_states, parameters.n_features, len(segments.tables)
        diagonal = parameters.whitening.ndim == 2
        transmat = parameters.transmat.ravel()
        first = np.where(segments.opening[:, None, :], parameters.startprob[:, None], 1 / k)
        size = k * k + 2 * k + k * d + (k * d if diagonal else k * d * (d + 1) // 2)
        out = np.empty((0 if mode == GATHER else len(self._X), k))
        sums = np.zeros((groups, size * LANES if mode == GATHER else 0))
        summaries = np.ones((groups, 6 * LANES))
        edges = np.zeros((groups, 4, LANES, k))
        needed = segments.only_forward if mode == FILTER else segments.steps
        steps = -(-needed // BLOCK) * BLOCK
        room = (int(steps.max()) + 1) * LANES
        model = (
            transmat, parameters.means.ravel(), parameters.packed_whitening, parameters.log_normalizer,
            None if diagonal else True, True if k > WRITTEN_OUT else None,
            bool((transmat < _TINY_TRANSITION).any()),
        )  # fmt: skip
        rows = (segments.tables, segments.bounds, first.reshape(groups, -1), self._X.reshape(-1), d)

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
        return out, sums.reshape(groups, -1, LANES), summaries.reshape(groups, 6, LANES), edges

    @staticmethod
    def _agrees(segments: Segments, parameters: HMMParameters, edges: np.ndarray, mode: int) -> bool:
        """Whether both sides of every cut tell the same story, relative to each state's probability."""
        if len(segments.before) == 0:
            return True
        rows = segments.cut_edges[:2] if mode == FILTER else segments.cut_edges
        found = edges.reshape(-1, parameters.n_states)[rows]
        found /= np.maximum(found.sum(axis=2, keepdims=True), 1e-300)
        found[:2] = found[:2] @ parameters.transmat
        found[2:] = found[2:] @ parameters.transmat.T
        a, b = found[::2], found[1::2]
        return bool((np.abs(a - b) <= _AGREE * np.minimum(a, b)).all())

    @staticmethod
    def _totals(segments: Segments, sums: np.ndarray, k: int) -> np.ndarray:
        if sums.size == 0:
            return np.empty(0)
        sums[:, -k:] = np.where(segments.first_rows, sums[:, -k:], 0.0)
        lanes: np.ndarray = sums.sum(axis=2)
        return lanes.sum(axis=0)
