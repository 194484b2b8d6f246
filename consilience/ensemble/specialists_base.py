"""What classifying and regressing specialists share: fits per regime, how far to trust them, mixing, state."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from consilience.base import Arrays, InvalidState, Spec, State, invalid, predict_rows, take
from consilience.base.magnitude import magnitude
from consilience.ensemble.bayes import Scored, half_on_the_first, posterior_shares, reach
from consilience.ensemble.combine import CLIP, softmax
from consilience.ensemble.evidence import mean_one
from consilience.ensemble.fits import refit_on
from consilience.ensemble.pool import hardened
from consilience.ensemble.regimes import filtered
from consilience.ensemble.splitters import restore_splitter, splitter_spec
from consilience.evaluation.label_intervals import LabelIntervals, label_intervals

STRENGTHS = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
_GLOBAL, _REGIMES = "_global", "_regimes"


@dataclass(frozen=True)
class Experts:
    """A regime model, a model for all rows, and one per regime.

    Attributes
    ----------
    specialists : None where a regime has too few rows. rows : (n_regimes,) effective rows.
    """

    regime_model: Any
    whole: Any
    specialists: tuple[Any, ...]
    rows: np.ndarray

    @property
    def lookback(self) -> int:
        """The longest lookback among all of them."""
        models = [self.regime_model, self.whole, *(one for one in self.specialists if one is not None)]
        return max(int(getattr(model, "lookback", 0)) for model in models)

    def ask(self, owner: "SpecialistsBase", X: Any) -> "Said":
        """What all say about rows that follow their context."""
        return self._unpacked(self._packed(owner, X), owner)

    def ask_rows(self, owner: "SpecialistsBase", X: Any, rows: np.ndarray) -> "Said":
        """What all say about some rows of X, each with its context before it."""
        return self._unpacked(predict_rows(partial(self._packed, owner), X, rows, self.lookback), owner)

    def _packed(self, owner: "SpecialistsBase", X: Any) -> np.ndarray:
        """(n, …): the global answer, each specialist's, and the regimes, side by side."""
        whole = owner._ask(self.whole, X)
        own = [whole if one is None else owner._ask(one, X) for one in self.specialists]
        parts = [part.reshape(len(part), -1) for part in (whole, *own, filtered(self.regime_model, X))]
        return np.concatenate(parts, axis=1)

    def _unpacked(self, packed: np.ndarray, owner: "SpecialistsBase") -> "Said":
        n_regimes = len(self.specialists)
        answers = np.stack(np.split(packed[:, :-n_regimes], n_regimes + 1, axis=1))
        if not owner._n_classes():
            answers = answers[:, :, 0]
        regimes = packed[:, -n_regimes:]
        return Said(answers[0], answers[1:], hardened(regimes) if owner.hard else regimes)


@dataclass(frozen=True)
class Said:
    """Answers to the same rows: whole (n, …), own (n_regimes, n, …), regimes (n, n_regimes)."""

    whole: np.ndarray
    own: np.ndarray
    regimes: np.ndarray


class SpecialistsBase:
    """Fitting, trusting, asking and storing for the classifier and the regressor."""

    model: Any
    regimes: Any
    folds: Any
    hard: bool
    min_rows: int
    shrinkage: float
    validation_fraction: float
    n_features_in_: int
    experts_: Experts
    trust_: np.ndarray
    strength_: float

    @property
    def lookback(self) -> int:
        """The longest lookback among the models and the regime model."""
        if "experts_" in vars(self):
            return self.experts_.lookback
        return max(int(getattr(model, "lookback", 0)) for model in (self.model, self.regimes))

    @property
    def regime_model_(self) -> Any:
        """The regime model, fitted on all rows."""
        return self.experts_.regime_model

    @property
    def global_(self) -> Any:
        """The model of all rows."""
        return self.experts_.whole

    @property
    def specialists_(self) -> tuple[Any, ...]:
        """One model per regime, None where its rows are too few."""
        return self.experts_.specialists

    @property
    def effective_rows_(self) -> np.ndarray:
        """(n_regimes,) (Σ weight)² / Σ weight² of each regime."""
        return self.experts_.rows

    def _mix(self, said: Said, trust: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _ask(self, model: Any, X: Any) -> np.ndarray:
        raise NotImplementedError

    def _n_classes(self) -> int:
        return len(getattr(self, "classes_", ()))

    # -- fitting -----------------------------------------------------------------------------------------------

    def _fit_specialists(
        self,
        X: Any,
        labels: np.ndarray,
        target: np.ndarray,
        sample_weight: np.ndarray | None,
        validation: Any,
        label_end: Any,
    ) -> None:
        self._check()
        horizon = getattr(self.folds, "label_horizon", None)
        known = label_end is not None or horizon is not None
        intervals = label_intervals(X, label_end, horizon) if known or self.folds is not None else None
        weight = np.ones(len(X)) if sample_weight is None else mean_one(sample_weight, np.arange(len(X)))
        job = _Job(self, X, labels, weight, label_end, intervals, validation)
        self.strength_ = 1.0
        if self.folds is not None:
            assert intervals is not None
            self.strength_ = self._walk(job, target, intervals)
        self.experts_ = job.fit(np.arange(len(X)))
        self.trust_ = self.strength_ * self._shares(self.experts_)

    def _check(self) -> None:
        owner = type(self).__name__
        least = self.min_rows
        if isinstance(least, bool) or not isinstance(least, int | np.integer) or least < 1:
            raise invalid("min_rows", owner, "an integer >= 1", least)
        if isinstance(self.shrinkage, bool) or not self.shrinkage >= 0 or not np.isfinite(self.shrinkage):
            raise invalid("shrinkage", owner, "a number of rows >= 0", self.shrinkage)

    def _shares(self, experts: Experts) -> np.ndarray:
        """How far the row counts alone would trust each specialist."""
        there = np.array([one is not None for one in experts.specialists])
        shares: np.ndarray = there * experts.rows / np.maximum(experts.rows + self.shrinkage, 1e-300)
        return shares

    def _walk(self, job: "_Job", target: np.ndarray, intervals: LabelIntervals) -> float:
        """The mean strength by its losses on rows that were not fitted; half of the prior is on the global model."""
        tested, losses, unit = [], [], magnitude(target)
        for train, test in self.folds.split(job.X, job.y, label_end=job.label_end):
            experts = job.fit(train)
            said, shares = experts.ask_rows(self, job.X, test), self._shares(experts)
            tried = [_losses(self._mix(said, strength * shares), target[test], unit) for strength in STRENGTHS]
            tested.append(test)
            losses.append(np.stack(tried, axis=1))
        rows = np.concatenate(tested)
        begin = intervals.start[rows]
        spans = reach(begin, intervals.end[rows], intervals.steps)
        scored = Scored(np.concatenate(losses), job.weight[rows], begin, spans, target.dtype.kind == "f")
        return float(posterior_shares(scored, half_on_the_first(len(STRENGTHS))) @ STRENGTHS)

    # -- predicting --------------------------------------------------------------------------------------------

    def regime_proba(self, X: Any) -> np.ndarray:
        """Filtered probabilities (n, n_regimes)."""
        return filtered(self.experts_.regime_model, self._read(X))

    def _answer(self, X: Any) -> np.ndarray:
        if "experts_" not in vars(self):
            raise NotFittedError(f"This {type(self).__name__} is not fitted yet; call fit first.")
        return self._mix(self.experts_.ask(self, self._read(X)), self.trust_)

    def _read(self, X: Any) -> Any:
        values = self._read_X(X, allow_nan=True)  # type: ignore[attr-defined]
        return self._ordered_columns(X) if isinstance(X, pd.DataFrame) else values  # type: ignore[attr-defined]

    # -- state -------------------------------------------------------------------------------------------------

    def _params_spec(self) -> Spec:
        params = self.get_params(deep=False)  # type: ignore[attr-defined]
        spec = {name: value for name, value in params.items() if name not in ("model", "regimes", "folds")}
        return {**spec, "folds": splitter_spec(self.folds)}

    @classmethod
    def _from_params_spec(cls, spec: Spec, children: dict[str, Any]) -> Any:
        params = {**spec, "folds": restore_splitter(spec["folds"])}
        params |= {"model": children[_GLOBAL], "regimes": children[_REGIMES]}
        return super()._from_params_spec(params, children)  # type: ignore[misc]

    def _fitted_state(self) -> tuple[Spec, Arrays, dict[str, State]]:
        models = {_GLOBAL: self.experts_.whole, _REGIMES: self.experts_.regime_model}
        models |= {f"regime_{k}": one for k, one in enumerate(self.experts_.specialists) if one is not None}
        foreign = [type(model).__name__ for model in models.values() if not hasattr(model, "get_state")]
        if foreign:
            raise InvalidState(f"A {foreign[0]} is no predictor of this framework and cannot be stored.")
        arrays = {"trust": self.trust_, "rows": self.experts_.rows}
        return {"strength": self.strength_}, arrays, {name: model.get_state() for name, model in models.items()}

    def _restore_fitted(self, spec: Spec, arrays: Arrays, children: dict[str, Any]) -> None:
        trust, rows = arrays["trust"], arrays["rows"]
        specialists = tuple(children.get(f"regime_{k}") for k in range(len(trust)))
        for name, array in (("trust", trust), ("rows", rows)):
            if array.shape != (len(specialists),) or array.dtype.kind != "f" or not np.isfinite(array).all():
                raise InvalidState(f"The stored array {name!r} must hold one finite number per regime.")
        if len(trust) == 0 or (trust < 0).any() or (trust > 1).any():
            raise InvalidState("The stored trust in specialists must lie in [0, 1].")
        self.strength_ = float(spec["strength"])
        self.experts_ = Experts(children[_REGIMES], children[_GLOBAL], specialists, rows)
        self.trust_ = trust


@dataclass(frozen=True)
class _Job:
    """What the fits on all rows and on the rows of a fold have in common."""

    owner: SpecialistsBase
    X: Any
    y: np.ndarray
    weight: np.ndarray
    label_end: Any
    intervals: LabelIntervals | None
    validation: Any

    def fit(self, rows: np.ndarray) -> Experts:
        """Regimes, global model and specialists of some rows."""
        X, y, weight = take(self.X, rows), self.y[rows], self.weight[rows]
        model = clone(self.owner.regimes).fit(X)
        regimes = filtered(model, X)
        regimes = hardened(regimes) if self.owner.hard else regimes
        whole = self._refit(rows, None if (weight == 1.0).all() else weight)
        specialists, effective = [], []
        for share in regimes.T:
            own = weight * share
            effective.append(own.sum() ** 2 / max(float((own**2).sum()), 1e-300))
            enough = effective[-1] >= self.owner.min_rows and (not self.owner._n_classes() or _has_all(y, own))
            specialists.append(self._refit(rows, own) if enough else None)
        return Experts(model, whole, tuple(specialists), np.array(effective))

    def _refit(self, rows: np.ndarray, weight: np.ndarray | None) -> Any:
        """The model on some rows, of which the weights are those given."""
        everything = len(rows) == len(self.y)
        whole = None
        if weight is not None:
            whole = np.zeros(len(self.y))
            whole[rows] = weight
        return refit_on(
            self.owner.model,
            rows,
            self.X,
            self.y,
            self.label_end,
            self.intervals,
            whole,
            self.owner.validation_fraction,
            self.validation if everything else None,
        )


def _has_all(y: np.ndarray, weight: np.ndarray) -> bool:
    """Whether each class has at least the weight of two rows."""
    return all(weight[y == label].sum() >= 2.0 for label in np.unique(y))


def mixed_classes(said: Said, trust: np.ndarray) -> np.ndarray:
    """Each specialist's log-odds averaged with the global model's by its trust, then the mean over regimes.

    >>> said = Said(np.array([[0.5, 0.5]]), np.array([[[0.2, 0.8]], [[0.5, 0.5]]]), np.array([[1.0, 0.0]]))
    >>> mixed_classes(said, np.array([1.0, 1.0]))
    array([[0.2, 0.8]])
    """
    log_whole, log_own = (np.log(np.clip(part, CLIP, 1.0 - CLIP)) for part in (said.whole, said.own))
    joined = softmax(log_whole + trust[:, None, None] * (log_own - log_whole))
    found: np.ndarray = np.einsum("nk,knc->nc", said.regimes, joined)
    return found / found.sum(axis=1, keepdims=True)


def mixed_values(said: Said, trust: np.ndarray) -> np.ndarray:
    """``mixed_classes`` for values, (n,)."""
    away = trust[:, None] * (said.own - said.whole)
    found: np.ndarray = said.whole + np.einsum("nk,kn->n", said.regimes, away)
    return found


def _losses(said: np.ndarray, target: np.ndarray, unit: float) -> np.ndarray:
    """(n,) log losses of probabilities, or half the squared errors of values, in squared multiples of ``unit``."""
    if said.ndim == 1:
        error: np.ndarray = np.clip((target - said) / unit, -1e100, 1e100)
        return 0.5 * error**2
    return -np.log(np.clip(said[np.arange(len(target)), target], CLIP, 1.0))
