"""The directions of an embedding in which rows differ most: fewer columns, sorted by what they carry."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from consilience.base import Arrays


@dataclass(frozen=True)
class Components:
    """Principal components of the embeddings that the booster is fitted on; no label takes part.

    Attributes
    ----------
    mean : (width,). axes : (width, n_components), orthonormal, the largest variance first.

    Examples
    --------
    >>> points = np.array([[0.0, 0.0], [3.0, 3.0], [6.0, 6.0]])
    >>> Components.fit(points, 1)(points).round(3).tolist()
    [[-4.243], [0.0], [4.243]]
    """

    mean: np.ndarray
    axes: np.ndarray

    @classmethod
    def fit(cls, embedding: np.ndarray, n_components: int | None) -> Self:
        """From (n, width); None keeps the coordinates. An axis's largest entry is positive."""
        mean = embedding.mean(axis=0)
        if n_components is None:
            return cls(np.zeros_like(mean), np.eye(len(mean)))
        centred = embedding - mean
        _, axes = np.linalg.eigh(centred.T @ centred)
        axes = axes[:, ::-1][:, :n_components]
        sign = np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
        return cls(mean, axes * np.where(sign == 0.0, 1.0, sign))

    @property
    def width(self) -> int:
        """How many components there are."""
        return int(self.axes.shape[1])

    def __call__(self, embedding: np.ndarray) -> np.ndarray:
        """(n, n_components)."""
        found: np.ndarray = (embedding - self.mean) @ self.axes
        return found

    def arrays(self, prefix: str) -> Arrays:
        """As named arrays."""
        return {f"{prefix}_mean": self.mean, f"{prefix}_axes": self.axes}
