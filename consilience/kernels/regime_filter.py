"""The regime of a market row: chosen columns, standardised, through a Gaussian HMM filtered over a bounded window."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from consilience.base import Arrays, InvalidInput, InvalidState, invalid, nearest
from consilience.kernels import hmm
from consilience.kernels.gaussian_hmm import GaussianHMM
from consilience.kernels.hmm_parameters import HMMParameters, forgetting_length, stationary_distribution
from consilience.kernels.hmm_sequences import Sequences
from consilience.kernels.regime_names import regime_names

MARKET_COLUMNS = ("ret_1", "vol_20")
_CLIP = 20.0  # standard deviations: one absurd tick must not overflow a density


@dataclass(frozen=True)
class RegimeFilter:
    """A fitted regime filter: each row's state probabilities, from that row and at most ``window`` - 1 rows before it.

    The prior of a window's first row is the stationary distribution, so that a row's regime does not depend on where
    the data happen to begin, and the memory is bounded even where the transition matrix alone would remember for ever.

    Attributes
    ----------
    columns : (d,) int64, the columns of X that the model sees.
    centre, scale : (d,) subtracted from and divided into them.
    parameters : of the Gaussian HMM in standardised units.
    window : rows.
    """

    columns: np.ndarray
    centre: np.ndarray
    scale: np.ndarray
    parameters: HMMParameters
    window: int

    @classmethod
    def fitted(cls, X: np.ndarray, sequences: Sequences, columns: np.ndarray, model: GaussianHMM, window: int) -> Self:
        """Standardise the columns of X (n, d), fit ``model`` to them, and bound its memory."""
        chosen = X[:, columns]
        with np.errstate(over="ignore"):
            centre, scale = chosen.mean(axis=0), chosen.std(axis=0)
        if not (np.isfinite(centre).all() and np.isfinite(scale).all()):
            raise InvalidInput("X holds numbers too large to standardise; rescale its columns first.")
        scale = np.where(scale > 1e-12 * np.abs(centre), scale, 1.0)
        standard = np.clip((chosen - centre) / scale, -_CLIP, _CLIP)
        model.fit(sequences.together(standard), lengths=sequences.lengths)
        parameters = model.parameters
        return cls(columns, centre, scale, parameters, min(window, forgetting_length(parameters.transmat) + 1))

    def standardized(self, X: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.clip((X[:, self.columns] - self.centre) / self.scale, -_CLIP, _CLIP)

    def filtered(self, X: np.ndarray, sequences: Sequences) -> np.ndarray:
        """State probabilities (n, K) of rows X (n, n_features)."""
        rows = sequences.together(self.standardized(X))
        return sequences.back(hmm.windowed_filter(rows, self.parameters, self._start, self.window, sequences.lengths))

    @cached_property
    def _start(self) -> np.ndarray:
        return stationary_distribution(self.parameters.transmat)

    def names(self) -> list[str]:
        """A name per state (``regime_names``); the first column is taken for the return."""
        p = self.parameters
        mean = p.means[:, 0] * self.scale[0] + self.centre[0]
        return regime_names(mean, np.sqrt(p.full_covars[:, 0, 0]) * self.scale[0])

    # -- state -------------------------------------------------------------------------------------------------

    def arrays(self) -> Arrays:
        p = self.parameters
        return {
            "columns": self.columns,
            "centre": self.centre,
            "scale": self.scale,
            "startprob": p.startprob,
            "transmat": p.transmat,
            "means": p.means,
            "covars": p.covars,
        }

    @classmethod
    def restored(cls, arrays: Arrays, covariance_type: str, window: Any, n_features_in: int) -> Self:
        """Inverse of ``arrays``, with every shape and range checked."""
        parts = {name: arrays[name] for name in ("centre", "scale", "startprob", "transmat", "means", "covars")}
        columns = arrays["columns"]
        if columns.dtype != np.int64 or any(part.dtype != np.float64 for part in parts.values()):
            raise InvalidState("A stored regime filter has arrays of a wrong type.")
        try:
            parameters = HMMParameters.checked(
                parts["startprob"], parts["transmat"], parts["means"], parts["covars"], covariance_type
            )
        except InvalidInput as error:
            raise InvalidState(f"A stored regime filter is damaged: {error}") from error
        shape = (parameters.n_features,)
        sound = (
            columns.shape == parts["centre"].shape == parts["scale"].shape == shape
            and ((columns >= 0) & (columns < n_features_in)).all()
            and np.isfinite(parts["centre"]).all()
            and (np.isfinite(parts["scale"]) & (parts["scale"] > 0)).all()
            and isinstance(window, int)
            and not isinstance(window, bool)
            and 1 <= window < 2**31
        )
        if not sound:
            raise InvalidState("A stored regime filter has columns, scales or a window that do not fit together.")
        return cls(columns, parts["centre"], parts["scale"], parameters, window)


def chosen_columns(columns: Any, names: Any, n_features: int, owner: str) -> np.ndarray:
    """Positions (d,) of the columns a regime model sees.

    Parameters
    ----------
    columns : names or positions; None takes ``ret_1`` and ``vol_20`` where X has both, otherwise every column.
    names : column names of X, or None for an array.
    """
    listed = [] if names is None else [str(name) for name in names]
    if columns is None:
        if all(name in listed for name in MARKET_COLUMNS):
            return np.array([listed.index(name) for name in MARKET_COLUMNS], np.int64)
        return np.arange(n_features, dtype=np.int64)
    if isinstance(columns, str) or not isinstance(columns, Sequence | np.ndarray) or len(columns) == 0:
        raise invalid("columns", owner, "None or a list of column names or positions", columns)
    positions = [_position(column, listed, n_features, owner) for column in columns]
    if len(set(positions)) != len(positions):
        raise invalid("columns", owner, "columns that do not repeat", columns)
    return np.array(positions, np.int64)


def _position(column: Any, names: list[str], n_features: int, owner: str) -> int:
    if isinstance(column, str):
        if column in names:
            return names.index(column)
        raise InvalidInput(f"X has no column {column!r}, which columns= of {owner} names.{nearest(column, names)}")
    if isinstance(column, int | np.integer) and not isinstance(column, bool) and 0 <= column < n_features:
        return int(column)
    raise invalid("columns", owner, f"column names, or positions from 0 to {n_features - 1}", column)
