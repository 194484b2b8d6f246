"""The filter as a stream: one row in, the state's probabilities out."""

from typing import Any

import numpy as np

from consilience.base import InvalidInput, invalid
from consilience.kernels import _hmm_step
from consilience.kernels.hmm_parameters import HMMParameters
from consilience.kernels.inputs import numbers


class HMMStream:
    """Filtered state probabilities, updated with each new row; the same numbers as ``forward_filter`` on all rows.

    It remembers nothing between steps, so that several threads may step several streams of rows through one.

    Parameters
    ----------
    parameters : of the model, copied.

    Examples
    --------
    >>> p = HMMParameters.checked([0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], [[0.0], [2.0]], [1.0, 1.0], "spherical")
    >>> stream = HMMStream(p)
    >>> [stream.step(None, [0.0]).round(3).tolist(), stream.step([0.881, 0.119], [2.0]).round(3).tolist()]
    [[0.881, 0.119], [0.358, 0.642]]
    """

    def __init__(self, parameters: HMMParameters) -> None:
        self._k, self._d = parameters.means.shape
        self._startprob = parameters.startprob.copy()
        self._first = _block(parameters, np.eye(self._k))
        self._model = _block(parameters, parameters.transmat)

    def step(self, state: Any, x: Any) -> np.ndarray:
        """P(state | rows so far and x), (K,).

        Parameters
        ----------
        state : the answer to the row before, (K,), or None at the first row.
        x : (D,) the new row.

        Raises
        ------
        InvalidInput : a wrong shape, numbers that are not finite, or a row that the model excludes.
        """
        required = f"a finite row of {self._d} numbers"
        row = numbers(x, "x", "step", required)
        if row.shape != (self._d,) or not np.isfinite(row).all():
            raise invalid("x", "step", required, x)
        if state is None:
            model, prior = self._first, self._startprob
        else:
            required = f"None or the {self._k} probabilities of the row before"
            model, prior = self._model, numbers(state, "state", "step", required)
            if prior.shape != (self._k,) or not abs(prior.sum() - 1) <= 1e-2 or prior.min() < 0:
                raise invalid("state", "step", required, state)
        out = np.empty(3 * self._k + self._d)  # this call's own: the kernel holds no lock while it writes here
        if _hmm_step.step(model, prior, row, out) == -np.inf:
            raise InvalidInput("x has probability 0 under this model: no state reachable from here explains it.")
        return out[: self._k]


def _block(parameters: HMMParameters, transmat: np.ndarray) -> np.ndarray:
    k, d = parameters.means.shape
    diagonal = float(parameters.whitening.ndim == 2)
    return np.concatenate(
        [
            [k, d, diagonal],
            transmat.ravel(),
            parameters.log_normalizer,
            parameters.means.ravel(),
            parameters.packed_whitening,
        ]
    )
