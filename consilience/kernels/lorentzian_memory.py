"""The remembered rows of a nearest-neighbour model: scaling, window, spacing, search, and their stored form."""

from typing import Any

import numpy as np

from consilience.base import Arrays, InvalidInput, InvalidState, Spec, TimeAxis, invalid
from consilience.kernels import _lorentzian_spacing, lorentzian_scaling
from consilience.kernels.inputs import count, for_kernels, number
from consilience.kernels.lorentzian_index import LorentzianIndex
from consilience.kernels.lorentzian_scaling import Scaling
from consilience.kernels.lorentzian_threads import threads


class LorentzianMemory:
    """Base of the Lorentzian classifier and regressor; the parameters are described there.

    Attributes
    ----------
    index_ : LorentzianIndex over the remembered rows, scaled.
    scaling_ : Scaling learnt from them.
    rows_ : (n,) int64, which rows of the X given to ``fit`` are remembered.
    n_samples_fit_ : rows of that X.
    """

    n_neighbors: int
    weights: str
    scaling: str
    clip: float | None
    min_spacing: int
    max_window: int | None
    smoothing: float
    n_jobs: int | None

    index_: LorentzianIndex
    scaling_: Scaling
    rows_: np.ndarray
    n_samples_fit_: int
    _bars: np.ndarray  # (n,) the row's number among the rows of its asset
    _assets: np.ndarray  # (n,)
    _row_weights: np.ndarray  # (n,) mean 1
    _target: np.ndarray  # (n,) class codes or values

    def kneighbors(self, X: Any = None, n_neighbors: int | None = None, return_distance: bool = True) -> Any:
        """The remembered rows nearest to each row of X, at least ``min_spacing`` bars apart, nearest first.

        Parameters
        ----------
        X : (m, d), or None for the remembered rows themselves, none of which is then its own neighbour.
        n_neighbors : None for the model's own.

        Returns
        -------
        distances (m, k) float64 (left out when ``return_distance`` is False) and indices (m, k) int64 into the rows
        given to ``fit``. Where the spacing leaves fewer than k, the rest is inf and -1.
        """
        owner = type(self).__name__
        queries = None if X is None else self._read_queries(X)
        usable = self.index_.shape[0] - (queries is None)
        k = count(
            self.n_neighbors if n_neighbors is None else n_neighbors,
            "n_neighbors",
            owner,
            usable,
            ", the number of remembered rows",
        )
        distances, places = self._search(queries, k)
        indices = np.where(places >= 0, self.rows_[places], -1)
        return (distances, indices) if return_distance else indices

    # -- fitting -----------------------------------------------------------------------------------------------

    def _check_params(self) -> None:
        owner = type(self).__name__
        count(self.n_neighbors, "n_neighbors", owner)
        count(self.min_spacing, "min_spacing", owner)
        if self.max_window is not None:
            count(self.max_window, "max_window", owner)
        if self.weights not in ("uniform", "distance"):
            raise invalid("weights", owner, "'uniform' or 'distance'", self.weights)
        if self.scaling not in lorentzian_scaling.METHODS:
            raise invalid("scaling", owner, "'robust', 'standard' or 'none'", self.scaling)
        if self.clip is not None:
            number(self.clip, "clip", owner, above=0.0, remark=", or None")
        number(self.smoothing, "smoothing", owner, at_least=0.0)
        threads(self.n_jobs, owner, "n_jobs")

    def _remember(self, axis: TimeAxis, values: np.ndarray, target: np.ndarray, weight: np.ndarray | None) -> None:
        """Keep the newest rows of values (n, d) that count for something."""
        bars = _bars(axis.assets)
        keep = np.ones(len(values), bool) if weight is None else weight > 0
        if self.max_window is not None:
            last = np.bincount(axis.assets)[axis.assets]
            keep &= bars >= last - self.max_window
        rows = np.flatnonzero(keep)
        if len(rows) < self.n_neighbors:
            raise InvalidInput(
                f"{type(self).__name__} was given n_samples = {len(values)} and remembers {len(rows)} of them, fewer "
                f"than n_neighbors = {self.n_neighbors}. Give more rows, a longer max_window, or fewer neighbours."
            )
        self.scaling_ = Scaling.of(values[rows], self.scaling, self.clip)
        self.rows_, self.n_samples_fit_ = rows, len(values)
        self._bars, self._assets, self._target = bars[rows], axis.assets[rows], target[rows]
        row_weights = np.ones(len(rows)) if weight is None else weight[rows]
        self._row_weights = row_weights / row_weights.mean()
        self.index_ = LorentzianIndex(self.scaling_(values[rows]), n_threads=self.n_jobs)

    # -- searching ---------------------------------------------------------------------------------------------

    def _read_queries(self, X: Any) -> np.ndarray:
        values: np.ndarray = self._read_X(X)  # type: ignore[attr-defined]
        return self.scaling_(values)

    def _search(self, queries: np.ndarray | None, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Distances and places among the remembered rows, (m, k), for scaled queries (None: the rows themselves)."""
        inside = queries is None
        rows = self.index_.reference if queries is None else queries
        if self.min_spacing == 1 and not inside:
            return self.index_.query(rows, k)
        # An accepted row hides at most 2(min_spacing − 1) others, so that many candidates always hold k accepted ones.
        # Usually far fewer do: start with those, and come back for the rows that they did not satisfy.
        enough = min(self.index_.shape[0], (k - 1) * (2 * self.min_spacing - 1) + 1 + inside)
        own = np.arange(len(rows)) if inside else np.full(len(rows), -1)
        distances, places = np.empty((len(rows), k)), np.empty((len(rows), k), np.int64)
        waiting, wide = np.arange(len(rows)), min(enough, 3 * k + inside)
        while len(waiting):
            found = self.index_.query(rows[waiting], wide)
            chosen = np.empty((len(waiting), k)), np.empty((len(waiting), k), np.int64)
            _lorentzian_spacing.spaced(
                *found, self._bars, self._assets, self.min_spacing, own[waiting].astype(np.int64), *chosen
            )
            distances[waiting], places[waiting] = chosen
            waiting = waiting[chosen[1][:, -1] < 0] if wide < enough else waiting[:0]
            wide = min(enough, 3 * wide)
        return distances, places

    def _neighbor_weights(self, distances: np.ndarray, places: np.ndarray) -> np.ndarray:
        """What each neighbour counts, (m, k): together k per query, times the rows' own weights."""
        found = places >= 0
        if self.weights == "distance":
            nearest = distances[:, :1]
            # A row met before decides alone; otherwise 1/d, relative to the nearest so that it cannot overflow.
            with np.errstate(invalid="ignore", divide="ignore"):
                shares = np.where(nearest > 0, nearest / distances, distances == 0)
        else:
            shares = np.ones_like(distances)
        shares = np.where(found, shares, 0.0)
        shares *= found.sum(axis=1, keepdims=True) / shares.sum(axis=1, keepdims=True)
        return shares * np.where(found, self._row_weights[places], 0.0)

    # -- stored form -------------------------------------------------------------------------------------------

    def _memory_arrays(self) -> Arrays:
        return {
            "reference": self.index_.reference,
            "target": self._target,
            "rows": self.rows_,
            "bars": self._bars,
            "assets": self._assets,
            "row_weights": self._row_weights,
            "center": self.scaling_.center,
            "scale": self.scaling_.scale,
        }

    def _restore_memory(self, spec: Spec, arrays: Arrays) -> None:
        self._check_params()
        n_features: int = self.n_features_in_  # type: ignore[attr-defined]
        reference = arrays["reference"]
        if reference.ndim != 2 or reference.dtype != np.float64 or reference.shape[1] != n_features:
            raise InvalidState(f"The stored reference must be a float64 matrix with {n_features} columns.")
        n = len(reference)
        for name in ("target", "rows", "bars", "assets", "row_weights"):
            if arrays[name].shape != (n,):
                raise InvalidState(f"The stored {name} must have one entry for each of the {n} remembered rows.")
        for name in ("rows", "bars", "assets"):
            if arrays[name].dtype != np.int64 or (n and int(arrays[name].min()) < 0):
                raise InvalidState(f"The stored {name} must be int64 and not negative.")
        weights = arrays["row_weights"]
        if weights.dtype != np.float64 or not np.isfinite(weights).all() or not (weights > 0).all():
            raise InvalidState("The stored row weights must be positive finite float64 numbers.")
        n_fit = spec["n_samples_fit"]
        if type(n_fit) is not int or n < self.n_neighbors or int(arrays["rows"].max()) >= n_fit:
            raise InvalidState("The stored rows do not fit the stored number of samples and neighbours.")
        self.scaling_ = Scaling(arrays["center"], arrays["scale"], self.clip)
        self.scaling_.check(n_features)
        self.rows_, self.n_samples_fit_ = arrays["rows"], n_fit
        self._bars, self._assets = for_kernels(arrays["bars"]), for_kernels(arrays["assets"])
        self._row_weights = weights
        self.index_ = LorentzianIndex(reference, n_threads=self.n_jobs)


def _bars(assets: np.ndarray) -> np.ndarray:
    """Each row's number among the rows of its asset, (n,) int64."""
    order = np.argsort(assets, kind="stable")
    counts = np.bincount(assets)
    bars = np.empty(len(assets), np.int64)
    bars[order] = np.arange(len(assets)) - np.repeat(np.cumsum(counts) - counts, counts)
    return bars
