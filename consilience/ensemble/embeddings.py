"""What networks that had not seen a row's label say about it before their last layer, in one space for all folds."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from consilience.base import invalid, predict_rows, take
from consilience.ensemble.alignment import Alignment, align, likeness, unmoved
from consilience.ensemble.fits import refit_on
from consilience.evaluation.label_intervals import LabelIntervals


@dataclass(frozen=True)
class Embedded:
    """One encoder's out-of-fold embeddings, and the encoder that was fitted on all rows.

    Attributes
    ----------
    values : (n, width) in the first fold's space; NaN rows where no fold tests.
    fold : (n,) number of the fold that embedded each row, −1 where none did.
    model : fitted on all rows. alignment : from its space to the first fold's.
    likeness : (n_folds, 2) how much each fold's network (from the second on) and at last the final one resembles the
        one before it on the rows that both learnt from, before and after the motion; 1 is the same, NaN where there is
        nothing to compare.
    """

    values: np.ndarray
    fold: np.ndarray
    model: Any
    alignment: Alignment
    likeness: np.ndarray

    def __call__(self, X: Any) -> np.ndarray:
        """(n, width) of any rows, by the final encoder, in the first fold's space."""
        return self.alignment(embed(self.model, X))


@dataclass(frozen=True)
class Job:
    """What the fits of one encoder have in common; see ``Refit``."""

    encoder: Any
    X: Any
    y: np.ndarray
    label_end: Any
    intervals: LabelIntervals
    sample_weight: np.ndarray | None
    validation_fraction: float

    def fit(self, rows: np.ndarray) -> Any:
        """The encoder fitted on some rows; one that stops early watches a purged tail of them."""
        given = (self.X, self.y, self.label_end, self.intervals, self.sample_weight, self.validation_fraction)
        return refit_on(self.encoder, rows, *given)


def out_of_fold_embeddings(
    job: Job, folds: list[tuple[np.ndarray, np.ndarray]], final: Any, aligned: bool, n_jobs: int = 1
) -> Embedded:
    """Embed every fold's test rows by a network of its training rows.

    Each fold's network is moved onto the one before it by the rows that both were fitted on, so that the space is the
    first fold's all along. With walk-forward folds nothing later than a row, and no label of its fold, has
    touched its embedding: neither the network nor the motion.

    Parameters
    ----------
    final : the encoder fitted on all rows. aligned : False leaves each network in its own coordinates.
    n_jobs : folds fitted at once.
    """
    values, fold = None, np.full(len(job.y), -1, np.int64)
    before: tuple[Any, Alignment, np.ndarray] | None = None
    compared = []
    models = Parallel(n_jobs=n_jobs)(delayed(job.fit)(train) for train, _ in folds)
    for number, (model, (train, test)) in enumerate(zip(models, folds)):
        motion, alike = _continue(job.X, before, model, train, aligned)
        found = motion(predict_rows(_Embed(model), job.X, test, lookback_of(model)))
        if values is None:
            values = np.full((len(job.y), found.shape[1]), np.nan)
        values[test], fold[test] = found, number
        before = (model, motion, train)
        compared += alike
    if values is None:
        raise invalid("folds", "a fusion", "at least one fold, to embed rows out of fold", "none")
    motion, alike = _continue(job.X, before, final, np.arange(len(job.y)), aligned)
    return Embedded(values, fold, final, motion, np.array(compared + alike))


def embed(model: Any, X: Any) -> np.ndarray:
    """The model's representation of every row, (n, width) float64."""
    out = np.asarray(model.embed(X), np.float64)
    if out.ndim != 2 or len(out) != len(X):
        required = f"networks whose embed(X) gives one row per row of X, ({len(X)}, width)"
        raise invalid("encoders", "a fusion", required, f"{type(model).__name__}.embed with {out.shape}")
    return out


def lookback_of(model: Any) -> int:
    """How many earlier rows one embedding needs."""
    return int(getattr(model, "lookback", 0))


def require_embedding(named: Mapping[str, Any], owner: str) -> None:
    """Refuse an encoder that cannot embed."""
    for name, model in named.items():
        if not hasattr(model, "embed"):
            required = "models with embed(X), such as LSTMClassifier"
            raise invalid("encoders", owner, required, f"{name}: {type(model).__name__}")


def _continue(
    X: Any, before: tuple[Any, Alignment, np.ndarray] | None, model: Any, train: np.ndarray, aligned: bool
) -> tuple[Alignment, list[tuple[float, float]]]:
    """How to move a network's embeddings so that they continue those of the network before it."""
    if before is None:
        return unmoved(embed(model, take(X, train[:1])).shape[1]), []
    earlier, motion, rows = before
    shared = np.intersect1d(rows, train, assume_unique=True)
    if len(shared) < 2:
        if not aligned:
            return unmoved(embed(model, take(X, train[:1])).shape[1]), [(np.nan, np.nan)]
        required = "such that neighbouring folds learn from at least two rows in common, or align=False"
        raise invalid("folds", "a fusion", required, f"folds with {len(shared)}")
    own = predict_rows(_Embed(model), X, shared, lookback_of(model))
    other = motion(predict_rows(_Embed(earlier), X, shared, lookback_of(earlier)))
    found = align(own, other) if aligned else unmoved(own.shape[1])
    return found, [(likeness(own, other), likeness(found(own), other))]


class _Embed:
    """A model as ``predict_rows`` wants it."""

    def __init__(self, model: Any):
        self.model = model

    def __call__(self, X: Any) -> np.ndarray:
        return embed(self.model, X)
