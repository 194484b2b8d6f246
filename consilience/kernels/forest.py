"""Fitted trees as plain arrays: validated once, evaluated by one compiled walker, whatever library grew them."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from consilience.base import Arrays, InvalidState, Spec, invalid
from consilience.kernels import _forest
from consilience.kernels.inputs import for_kernels, matrix
from consilience.kernels.workers import in_threads, n_threads

MAX_DEPTH = 1024
_PARALLEL_WORK = 2_000_000  # node visits (2 ns each) below which a second thread costs more than it brings
_PROBLEMS = {
    _forest.BAD_START: "tree boundaries that do not cover the nodes",
    _forest.BAD_FEATURE: "a feature out of range",
    _forest.BAD_CHILD: "a child out of range",
    _forest.NOT_A_TREE: "nodes that do not form a tree",
    _forest.BAD_THRESHOLD: "a threshold that is not a number",
    _forest.BAD_VALUE: "a leaf value that is not finite",
    _forest.TOO_DEEP: f"a path longer than {MAX_DEPTH}",
    _forest.BAD_FLAG: "an unknown flag for missing values",
    _forest.BAD_OUTPUT: "a tree for an output that does not exist",
}
_DTYPES = {
    "start": np.dtype(np.int64),
    "output": np.dtype(np.int32),
    "feature": np.dtype(np.int32),
    "threshold": np.dtype(np.float64),
    "left": np.dtype(np.int32),
    "right": np.dtype(np.int32),
    "missing": np.dtype(np.uint8),
    "value": np.dtype(np.float64),
    "gain": np.dtype(np.float64),
    "cover": np.dtype(np.float64),
    "base": np.dtype(np.float64),
}


@dataclass(frozen=True, eq=False)
class Forest:
    """T trees with N nodes in all, checked when built: no walk through them can loop, leave them, or read outside X.

    A row goes left at a node when ``x[feature] <= threshold``. Raw output of a row: ``base`` plus, for each tree t, the
    value of the leaf it ends in, added to the outputs ``output[t]``, ``output[t] + 1``, … (W of them).

    Parameters
    ----------
    n_features : columns of X.
    single : X is rounded to float32 before comparing, as XGBoost and scikit-learn do.
    single_sum : the trees are added up in float32, as XGBoost does.
    start : (T + 1,) int64, tree t owns nodes start[t] to start[t + 1].
    output : (T,) int32, the first output that each tree adds to.
    feature : (N,) int32, -1 at a leaf.
    threshold : (N,) float64.
    left, right : (N,) int32, counted from the tree's first node, always behind the parent; -1 at a leaf.
    missing : (N,) uint8 flags: 1 missing goes left, 2 NaN is read as zero, 4 zero is missing too.
    value : (N, W) float64, used at leaves.
    gain, cover : (N,) float64, the split's improvement and the training weight that reached the node.
    base : (n_outputs,) float64, the output before any tree.

    Raises
    ------
    InvalidState : arrays that are not such trees.

    Examples
    --------
    >>> stump = Forest(1, False, False, np.array([0, 3]), np.array([0], np.int32), np.array([0, -1, -1], np.int32),
    ...     np.array([0.5, 0, 0]), np.array([1, -1, -1], np.int32), np.array([2, -1, -1], np.int32),
    ...     np.zeros(3, np.uint8), np.array([[0.0], [-1.0], [1.0]]), np.array([1.0, 0, 0]), np.array([2.0, 1, 1]),
    ...     np.array([10.0]))
    >>> stump.raw(np.array([[0.2], [0.7]])).tolist()
    [[9.0], [11.0]]
    """

    n_features: int
    single: bool
    single_sum: bool
    start: np.ndarray
    output: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    missing: np.ndarray
    value: np.ndarray
    gain: np.ndarray
    cover: np.ndarray
    base: np.ndarray
    _packed: tuple[np.ndarray, ...] = field(init=False, repr=False)
    _packed_cover: np.ndarray = field(init=False, repr=False)
    _zero_is_missing: bool = field(init=False, repr=False)
    _path_length: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._check_shapes()
        depth = np.zeros(self.n_trees, np.int32)
        trees = (self.start, self.output, self.feature, self.threshold, self.left, self.right, self.missing, self.value)
        code, node = _forest.check_trees(*trees, self.n_features, len(self.base), MAX_DEPTH, depth)
        if code != _forest.OK:
            raise InvalidState(f"The forest has {_PROBLEMS[code]} (at {node}).")
        object.__setattr__(self, "_packed", self._pack(depth))
        object.__setattr__(self, "_zero_is_missing", bool((self.missing & _forest.ZERO_IS_MISSING).any()))
        object.__setattr__(self, "_path_length", int(depth.sum()))

    @property
    def n_trees(self) -> int:
        """How many trees there are."""
        return len(self.output)

    @property
    def n_outputs(self) -> int:
        """Raw outputs per row."""
        return len(self.base)

    def _check_shapes(self) -> None:
        if (
            type(self.n_features) is not int
            or not 1 <= self.n_features < 2**31
            or not all(isinstance(flag, bool) for flag in (self.single, self.single_sum))
        ):
            raise InvalidState(f"A forest of {self.n_features!r} features cannot be.")
        for name, dtype in _DTYPES.items():
            array = getattr(self, name)
            dims = 2 if name == "value" else 1
            if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != dims:
                raise InvalidState(f"The forest's array {name!r} must be {dims}-D {dtype}.")
            object.__setattr__(self, name, for_kernels(np.asarray(array, order="C")))
        sizes = {
            len(getattr(self, n))
            for n in ("feature", "threshold", "left", "right", "missing", "value", "gain", "cover")
        }
        if len(sizes) != 1 or len(self.start) != len(self.output) + 1 or not 0 < len(self.feature) < 2**31:
            raise InvalidState("The forest's arrays differ in length, or hold no node.")
        if not 1 <= self.value.shape[1] <= len(self.base) or not np.isfinite(self.base).all():
            raise InvalidState("The forest's base must be finite, with one number per output.")
        if not all(np.isfinite(a).all() and (a >= 0).all() for a in (self.cover,)) or not np.isfinite(self.gain).all():
            raise InvalidState("The forest's gain and cover must be finite, and cover not negative.")

    def _pack(self, depth: np.ndarray) -> tuple[np.ndarray, ...]:
        n_nodes = len(self.feature)
        nodes, cut = np.empty((n_nodes, 2), np.int32), np.empty(n_nodes)
        flags, place = np.empty(n_nodes, np.uint8), np.empty(n_nodes, np.int64)
        _forest.pack_trees(
            self.start, self.feature, self.threshold, self.left, self.right, self.missing, nodes, cut, flags, place
        )
        object.__setattr__(self, "_packed_cover", self.cover[place])
        return self.start, depth, self.output, nodes, cut, flags, self.value[place]

    def _read(self, X: Any) -> tuple[np.ndarray, bool]:
        """X as the trees compare it, and whether no value may be missing."""
        values = matrix(X, "X", "Forest", self.n_features, finite=False)
        with np.errstate(over="ignore", invalid="ignore"):
            if self.single:
                values = values.astype(np.float32).astype(np.float64)
            complete = math.isfinite(values.sum())
        if not complete and np.isinf(values).any():
            row, column = np.argwhere(np.isinf(values))[0].tolist()
            limit = "within float32's range" if self.single else "free of infinities"
            raise invalid("X", "Forest", limit, f"{np.asarray(X)[row, column]} in row {row}, column {column}")
        return values, complete and not self._zero_is_missing

    def raw(self, X: Any) -> np.ndarray:
        """Raw outputs (n, n_outputs) for X (n, n_features); NaN is missing.

        The result does not depend on the number of threads: each row adds its trees in the same order.

        Raises
        ------
        InvalidInput : X is empty, of another width, not numeric, or holds infinity (what float32 cannot hold, too,
            where the trees compare in float32).
        """
        X, simple = self._read(X)
        out = np.empty((len(X), len(self.base)))
        out[:] = self.base

        def add(rows: slice) -> None:
            _forest.add_trees(*self._packed, X[rows], simple, self.single_sum, out[rows])

        _in_parallel(add, len(X), len(X) * self._path_length)
        return out

    def contributions(self, X: Any) -> np.ndarray:
        """How much each feature moves each row's raw output from the mean over the training rows.

        Returns (n, n_features + 1, n_outputs): the exact Shapley values of the trees (TreeSHAP, Lundberg, Erion & Lee
        2018), and the mean output in the last place; over its second axis it adds up to ``raw(X)``.
        """
        X, _ = self._read(X)
        out = np.zeros((len(X), self.n_features + 1, self.n_outputs))
        out[:, -1] = self.base

        def add(rows: slice) -> None:
            _forest.add_contributions(*self._packed, self._packed_cover, X[rows], out[rows])

        _in_parallel(add, len(X), 20 * len(X) * self._path_length)
        return out

    def importances(self, kind: str = "gain") -> np.ndarray:
        """(n_features,) shares that sum to 1: of the ``gain`` of all splits, or of their number (``split``)."""
        inner = self.feature >= 0
        weights = np.maximum(self.gain[inner], 0.0) if kind == "gain" else None
        total = np.bincount(self.feature[inner], weights, minlength=self.n_features).astype(np.float64)
        return total / total.sum() if total.sum() > 0 else total

    def head(self, n_trees: int) -> Self:
        """The forest of the first trees only."""
        stop = int(self.start[n_trees])
        cut: dict[str, Any] = {name: getattr(self, name)[:stop].copy() for name in _NODE_ARRAYS}
        return type(self)(
            n_features=self.n_features,
            single=self.single,
            single_sum=self.single_sum,
            start=self.start[: n_trees + 1].copy(),
            output=self.output[:n_trees].copy(),
            base=self.base,
            **cut,
        )

    def followed_by(self, other: "Forest") -> Self:
        """This forest's trees and then the other's, on this forest's base; the other's base is dropped."""
        joined: dict[str, Any] = {n: np.concatenate([getattr(self, n), getattr(other, n)]) for n in _NODE_ARRAYS}
        return type(self)(
            n_features=self.n_features,
            single=self.single,
            single_sum=self.single_sum,
            start=np.concatenate([self.start, other.start[1:] + self.start[-1]]),
            output=np.concatenate([self.output, other.output]),
            base=self.base,
            **joined,
        )

    def to_state(self) -> tuple[Spec, Arrays]:
        """The forest as a JSON-able spec and arrays."""
        return {"n_features": self.n_features, "single": self.single, "single_sum": self.single_sum}, {
            name: getattr(self, name) for name in _DTYPES
        }

    @classmethod
    def from_state(cls, spec: Spec, arrays: Arrays) -> Self:
        """The inverse of ``to_state``; everything is checked again."""
        missing = sorted(set(_DTYPES) - set(arrays))
        if missing:
            raise InvalidState(f"The forest lacks the array {missing[0]!r}.")
        return cls(spec["n_features"], spec["single"], spec["single_sum"], **{name: arrays[name] for name in _DTYPES})


def _in_parallel(add: Callable[[slice], None], n_rows: int, work: int) -> None:
    """Call ``add`` on slices of the rows, one per thread where there is enough to do.

    Python's threads rather than the compiler's own: the kernels release the GIL, and Numba's default thread pool ends
    the process when two threads of a server enter it at once.
    """
    parts = min(n_threads(), n_rows) if work >= _PARALLEL_WORK else 1
    edges = [n_rows * part // parts for part in range(parts + 1)]
    in_threads(lambda part: add(slice(edges[part], edges[part + 1])), parts)


_NODE_ARRAYS = ("feature", "threshold", "left", "right", "missing", "value", "gain", "cover")
