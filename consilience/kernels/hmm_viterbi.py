"""The fast way to the most probable path: eight lanes, several threads, and a check of every cut."""

import numpy as np

from consilience.kernels import _hmm_viterbi, memory
from consilience.kernels._hmm_emission import BLOCK
from consilience.kernels._hmm_lanes import LANES
from consilience.kernels._hmm_steps import WRITTEN_OUT
from consilience.kernels.hmm_parameters import HMMParameters
from consilience.kernels.hmm_segments import FIRST_OVERLAP, SCRATCH_LIMIT, Segments, cut, useful_threads
from consilience.kernels.workers import in_turns, scratch

_AGREE = 1e-9  # nats: how far two sides of a cut may differ; the path found is as near to the best one


def best_path(X: np.ndarray, starts: np.ndarray, parameters: HMMParameters) -> tuple[float, np.ndarray] | None:
    """Log-probability and states (n,) of the best path, or None where the segments would not fit into memory.

    Parameters
    ----------
    X : (n, D) float64, C-ordered, finite. starts : (m + 1,) first rows of the sequences and the end.
    """
    overlap = FIRST_OVERLAP
    while True:
        segments = cut(starts, overlap)
        if segments.longest * parameters.n_states * LANES > SCRATCH_LIMIT:
            return None
        path, totals, edges, ends = _all_groups(X, segments, parameters)
        log_probability = float(totals.sum())
        if not np.isfinite(log_probability):
            return None
        if _agrees(segments, edges, ends):
            return log_probability, path
        overlap *= 4


def _all_groups(
    X: np.ndarray, segments: Segments, parameters: HMMParameters
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    k, d, groups = parameters.n_states, parameters.n_features, len(segments.tables)
    with np.errstate(divide="ignore"):
        log_start, log_trans = np.log(parameters.startprob), np.log(parameters.transmat).ravel()
    path = memory.result(len(X))
    totals = np.zeros((groups, LANES))
    edges = np.zeros((groups, 2, LANES, k))
    ends = np.zeros((groups, 2, LANES), np.int64)

    def work(turns: np.ndarray) -> None:
        (back,) = scratch((segments.longest + BLOCK) * k)
        _hmm_viterbi.run(
            turns, segments.blocks, segments.shared, segments.bounds, segments.opens, X.reshape(-1), d, log_start,
            log_trans, parameters.means.ravel(), parameters.packed_whitening, parameters.log_normalizer,
            None if parameters.whitening.ndim == 2 else True, True if k > WRITTEN_OUT else None,
            back.view(np.uint8), path, totals, edges, ends,
        )  # fmt: skip

    in_turns(work, useful_threads(len(X) * k, groups))
    return path.view(np.int64), np.where(segments.tables[:, 2] < segments.tables[:, 3], totals, 0.0), edges, ends


def _agrees(segments: Segments, edges: np.ndarray, ends: np.ndarray) -> bool:
    before, after = segments.before, segments.after
    own_end = ends[:, 1].ravel()[before]
    next_start = ends[:, 0].ravel()[after]
    if (own_end != next_start).any():
        return False
    k = edges.shape[3]
    here = edges[:, 1].reshape(-1, k)[before]
    there = edges[:, 0].reshape(-1, k)[after]
    same = (here == there) | (np.abs(here - there) <= _AGREE)
    return bool(same.all())
