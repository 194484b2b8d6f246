"""Bringing the embeddings of separately fitted networks into one space.

Two networks that were fitted on almost the same rows may say the same in other coordinates: the representation before
the head is known up to a rotation, and units change places from fit to fit. A booster that was fitted on one network's
coordinates can do nothing with another's.
"""

from dataclasses import dataclass

import numpy as np

from consilience.base import Arrays, invalid


@dataclass(frozen=True)
class Alignment:
    """A rigid motion: ``(x − source) @ rotation + target``.

    Attributes
    ----------
    source, target : (width,) the centres. rotation : (width, width) orthogonal, reflections and exchanges included.
    """

    source: np.ndarray
    target: np.ndarray
    rotation: np.ndarray

    def __call__(self, embedding: np.ndarray) -> np.ndarray:
        """(n, width) in the other space."""
        moved: np.ndarray = (embedding - self.source) @ self.rotation + self.target
        return moved

    def arrays(self, prefix: str) -> Arrays:
        """As named arrays."""
        return {f"{prefix}_{name}": getattr(self, name) for name in ("source", "target", "rotation")}


def unmoved(width: int) -> Alignment:
    """The motion that changes nothing."""
    return Alignment(np.zeros(width), np.zeros(width), np.eye(width))


def align(own: np.ndarray, other: np.ndarray) -> Alignment:
    """The motion that brings ``own`` (n, width) closest to ``other`` (n, width), the same rows seen by two networks.

    Raises
    ------
    InvalidInput : embeddings of different widths, or fewer than two rows.

    References
    ----------
    Schönemann, *A generalized solution of the orthogonal Procrustes problem* (1966).

    Examples
    --------
    >>> points = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    >>> turned = points[:, ::-1] + 5.0
    >>> align(turned, points)(turned).round(6) + 0.0
    array([[0., 0.],
           [2., 0.],
           [0., 1.]])
    """
    if own.shape != other.shape or len(own) < 2:
        required = f"an embedding of the same rows, two at least, and width as other, which has {other.shape}"
        raise invalid("own", "align", required, own.shape)
    source, target = own.mean(axis=0), other.mean(axis=0)
    left, _, right = np.linalg.svd((own - source).T @ (other - target))
    return Alignment(source, target, left @ right)


def likeness(own: np.ndarray, other: np.ndarray) -> float:
    """Share of ``other``'s variance that ``own`` accounts for, row by row and coordinate by coordinate: 1 is the same.

    >>> points = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    >>> likeness(points, points), likeness(-points, points) < 0
    (1.0, True)
    """
    centred = other - other.mean(axis=0)
    return float(1.0 - ((own - other) ** 2).sum() / max((centred**2).sum(), 1e-300))
