"""Weighing tabular columns against embeddings row by row, before a booster sees them.

A gate is fitted with a linear head on standardised columns by maximum likelihood (least squares for values) with a
ridge penalty, and only its weighing is kept. Columns are (n, p) throughout; a gate leaves a column as it is where it
trusts all groups alike.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np
from scipy.optimize import minimize

from consilience.ensemble.combine import softmax

RIDGE = 0.03  # per row, on standardised columns: a weight of 1 costs as much as 0.015 nats in every row
Gradient = Callable[[np.ndarray], tuple[float, np.ndarray]]


class Gate(Protocol):
    """What turns joined columns into what the booster gets."""

    def __call__(self, columns: np.ndarray) -> np.ndarray: ...
    def open(self) -> "Gate": ...
    def names(self, columns: list[str], groups: list[str]) -> list[str]: ...


@dataclass(frozen=True)
class Concatenation:
    """The columns as they are."""

    def __call__(self, columns: np.ndarray) -> np.ndarray:
        """(n, p) as they are."""
        return columns

    def open(self) -> Self:
        """A gate that trusts all alike: this one."""
        return self

    def names(self, columns: list[str], groups: list[str]) -> list[str]:
        """Of the columns that the booster gets: the same."""
        return columns


@dataclass(frozen=True)
class Standard:
    """Centre and scale of the rows that a gate was fitted on; missing values become the mean.

    Attributes
    ----------
    mean, scale : (p,).
    """

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, columns: np.ndarray) -> Self:
        """From (n, p); a column without any value gets the centre 0 and the scale 1."""
        known = np.where(np.isfinite(columns), columns, np.nan)
        empty = np.isnan(known).all(axis=0)
        known[:, empty] = 0.0
        scale = np.nanstd(known, axis=0)
        return cls(np.nanmean(known, axis=0), np.where(scale > 1e-12, scale, 1.0))

    def __call__(self, columns: np.ndarray) -> np.ndarray:
        """(n, p + 1): standardised, kept within 5 deviations, and a column of ones."""
        moved = np.nan_to_num((columns - self.mean) / self.scale, nan=0.0)
        return np.concatenate([np.clip(moved, -5.0, 5.0), np.ones((len(columns), 1))], axis=1)


@dataclass(frozen=True)
class GatedUnit:
    """One gate in (0, 2) per embedding column, read from all columns of the row; tabular columns pass.

    Attributes
    ----------
    standard : of all columns. gate : (p + 1, m) for the last m columns, the embeddings; the last row is the bias.

    References
    ----------
    Arevalo et al., *Gated multimodal units for information fusion* (2017).
    """

    standard: Standard
    gate: np.ndarray

    @classmethod
    def fit(cls, columns: np.ndarray, n_embedded: int, target: np.ndarray, weight: np.ndarray, n_classes: int) -> Self:
        """Fit on rows; target (n,) are codes where n_classes > 0, else values."""
        standard = Standard.fit(columns)
        x = standard(columns)
        gated = x[:, x.shape[1] - 1 - n_embedded : -1]
        plain = np.delete(x, np.arange(x.shape[1] - 1 - n_embedded, x.shape[1] - 1), axis=1)
        head = _Head(target, weight, n_classes)
        shapes = [(x.shape[1], n_embedded), (plain.shape[1], head.width), (n_embedded, head.width)]

        def loss(parts: list[np.ndarray]) -> tuple[float, list[np.ndarray]]:
            gate, direct, through = parts
            opened = 2.0 * _sigmoid(x @ gate)
            value, error = head(plain @ direct + (opened * gated) @ through)
            passed = (error @ through.T) * gated * opened * (1.0 - 0.5 * opened)
            return value, [x.T @ passed, plain.T @ error, (opened * gated).T @ error]

        return cls(standard, _minimum(loss, shapes)[0])

    def open(self) -> Self:
        """One that lets every column pass as it is."""
        return replace(self, gate=np.zeros_like(self.gate))

    def openness(self, columns: np.ndarray) -> np.ndarray:
        """(n, m) in (0, 2): 1 passes an embedding's column as it is."""
        return 2.0 * _sigmoid(self.standard(columns) @ self.gate)

    def __call__(self, columns: np.ndarray) -> np.ndarray:
        """(n, p): tabular columns as they are, each embedding column times its gate."""
        m = self.gate.shape[1]
        return np.concatenate([columns[:, :-m], self.openness(columns) * columns[:, -m:]], axis=1)

    def names(self, columns: list[str], groups: list[str]) -> list[str]:
        """Of the columns that the booster gets: the same."""
        return columns


@dataclass(frozen=True)
class GroupAttention:
    """Softmax weights over groups of columns, read from the whole row.

    The booster gets the columns as they are, and each group's weight times the linear evidence of that group.

    Attributes
    ----------
    standard : of all columns. group : (p,) int64 group of each column. score : (p + 1, n_groups). value : (p + 1, k)
        each column's part in its group's evidence, k outputs; the last row, the bias, belongs to no group.

    References
    ----------
    Bahdanau, Cho & Bengio, *Neural machine translation by jointly learning to align and translate* (2015), for
    weighing by a softmax of scores; Jacobs et al., *Adaptive mixtures of local experts* (1991), for the groups.
    """

    standard: Standard
    group: np.ndarray
    score: np.ndarray
    value: np.ndarray

    @classmethod
    def fit(
        cls, columns: np.ndarray, group: np.ndarray, target: np.ndarray, weight: np.ndarray, n_classes: int
    ) -> Self:
        """Fit on rows; target (n,) are codes where n_classes > 0, else values."""
        standard = Standard.fit(columns)
        x = standard(columns)
        inside = _membership(group)
        head = _Head(target, weight, n_classes)
        shapes = [(x.shape[1], inside.shape[1]), (x.shape[1], head.width)]

        def loss(parts: list[np.ndarray]) -> tuple[float, list[np.ndarray]]:
            score, value = parts
            attention = softmax(x @ score) * inside.shape[1]
            evidence = _by_group(x, value, inside)
            output, error = head(np.einsum("ng,ngk->nk", attention, evidence) + value[-1])
            pull = np.einsum("ngk,nk->ng", evidence, error)
            centred = attention * (pull - (attention * pull).sum(axis=1, keepdims=True) / inside.shape[1])
            found = np.empty_like(value)
            found[:-1] = np.stack(
                [(x[:, :-1] * attention[:, group]).T @ error[:, k] for k in range(head.width)], axis=1
            )
            found[-1] = error.sum(axis=0)
            return output, [x.T @ centred, found]

        score, value = _minimum(loss, shapes)
        return cls(standard, np.asarray(group, np.int64), score, value)

    def open(self) -> Self:
        """One that has seen nothing yet: all groups alike, and no evidence in any."""
        return replace(self, score=np.zeros_like(self.score), value=np.zeros_like(self.value))

    def attention(self, columns: np.ndarray) -> np.ndarray:
        """(n, n_groups) each group's weight in each row; they sum to 1."""
        return softmax(self.standard(columns) @ self.score)

    def __call__(self, columns: np.ndarray) -> np.ndarray:
        """(n, p + n_groups · k): the columns, and each group's weighed evidence."""
        weights = self.attention(columns)
        x, inside = self.standard(columns), _membership(self.group)
        weighed = (weights * inside.shape[1])[:, :, None] * _by_group(x, self.value, inside)
        return np.concatenate([columns, weighed.reshape(len(columns), -1)], axis=1)

    def names(self, columns: list[str], groups: list[str]) -> list[str]:
        """Of the columns that the booster gets: ``attended_<group>`` are added."""
        k = self.value.shape[1]
        return columns + [f"attended_{name}" + (f"_{i}" if k > 1 else "") for name in groups for i in range(k)]


class _Head:
    """Mean loss of linear outputs (n, width) and its gradient: log loss of codes, or half the squared error."""

    def __init__(self, target: np.ndarray, weight: np.ndarray, n_classes: int):
        self.share = weight / weight.sum()
        self.width = n_classes - 1 if n_classes else 1
        if n_classes:
            self.hit = (target[:, None] == np.arange(n_classes)).astype(np.float64)
        else:
            mean = self.share @ target
            spread = float(np.sqrt(self.share @ (target - mean) ** 2))
            self.hit, self.goal = np.empty(0), (target - mean) / (spread if spread > 0.0 else 1.0)

    def __call__(self, outputs: np.ndarray) -> tuple[float, np.ndarray]:
        if not len(self.hit):
            away = outputs[:, 0] - self.goal
            return 0.5 * float(self.share @ away**2), (self.share * away)[:, None]
        proba = softmax(np.concatenate([np.zeros((len(outputs), 1)), outputs], axis=1))
        value = -float(self.share @ np.log(np.maximum((proba * self.hit).sum(axis=1), 1e-300)))
        return value, (proba - self.hit)[:, 1:] * self.share[:, None]


def _minimum(
    loss: Callable[[list[np.ndarray]], tuple[float, list[np.ndarray]]], shapes: list[tuple[int, int]]
) -> list[np.ndarray]:
    """Parameters of these shapes that minimise the loss plus the ridge, biases included, from zero on."""
    sizes = np.cumsum([rows * columns for rows, columns in shapes])

    def unpack(flat: np.ndarray) -> list[np.ndarray]:
        return [part.reshape(shape) for part, shape in zip(np.split(flat, sizes[:-1]), shapes)]

    def whole(flat: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradients = loss(unpack(flat))
        return value + 0.5 * RIDGE * float(flat @ flat), np.concatenate([g.ravel() for g in gradients]) + RIDGE * flat

    found = minimize(whole, np.zeros(sizes[-1]), jac=True, method="L-BFGS-B", options={"maxiter": 200})
    return unpack(found.x)


def _membership(group: np.ndarray) -> np.ndarray:
    """(p, n_groups) one-hot."""
    return np.eye(int(group.max()) + 1)[group]


def _by_group(x: np.ndarray, value: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(n, n_groups, k) linear evidence of each group."""
    parts = value[:-1, None, :] * inside[:, :, None]
    flat = x[:, :-1] @ parts.reshape(len(parts), -1)
    return np.asarray(flat.reshape(len(x), inside.shape[1], value.shape[1]))


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.tanh(0.5 * z))
