"""What the fusing classifier and regressor share: encoders out of fold, joined columns, gate, booster, state."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.exceptions import NotFittedError
from sklearn.utils.metaestimators import _BaseComposition

from consilience.base import Arrays, InvalidState, Spec, State, invalid, nearest, take
from consilience.ensemble.alignment import Alignment
from consilience.ensemble.components import Components
from consilience.ensemble.embeddings import (
    Embedded,
    Job,
    embed,
    lookback_of,
    out_of_fold_embeddings,
    require_embedding,
)
from consilience.ensemble.fits import Refit
from consilience.ensemble.gates import Concatenation, Gate, GatedUnit, GroupAttention
from consilience.ensemble.members import NamedMembers
from consilience.ensemble.splitters import restore_splitter, splitter_spec
from consilience.ensemble.stored_gates import gate_arrays, read_alignment, read_components, read_gate
from consilience.evaluation.label_intervals import LabelIntervals, label_intervals

Fusion = Literal["concatenate", "gated", "attention"]
FUSIONS = ("concatenate", "gated", "attention")
_BOOSTER = "_booster"  # name of the child that is no encoder


class FusionBase(_BaseComposition):
    """Fitting, joining and storing for ``FusionClassifier`` and ``FusionRegressor``."""

    encoders: NamedMembers
    booster: Any
    folds: Any
    fusion: Fusion
    groups: Mapping[str, Sequence[str]] | None
    n_components: int | None
    align: bool
    validation_fraction: float
    n_jobs: int
    n_features_in_: int
    booster_: Any
    encoders_: dict[str, Any]
    alignments_: dict[str, Alignment]
    components_: dict[str, Components]
    gate_: Gate

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters; deep ones include ``<encoder>__<parameter>`` and ``booster__<parameter>``."""
        params: dict[str, Any] = self._get_params("encoders", deep=deep)
        return params

    def set_params(self, **params: Any) -> Any:
        """Set parameters of the fusion, of an encoder or of the booster, or replace an encoder by its name."""
        return self._set_params("encoders", **params)

    @property
    def lookback(self) -> int:
        """What the booster looks back on are fused rows, and each of them needs the encoders' lookback before it."""
        fitted = getattr(self, "encoders_", None)
        models = list(fitted.values()) if fitted else [model for _, model in self.encoders]
        return max(map(lookback_of, models)) + lookback_of(getattr(self, "booster_", self.booster))

    # -- fitting -----------------------------------------------------------------------------------------------

    def _fit_fusion(
        self,
        X: Any,
        labels: np.ndarray,
        target: np.ndarray,
        *,
        sample_weight: np.ndarray | None,
        validation: Any,
        label_end: Any,
        given: Mapping[str, Embedded] | None,
    ) -> None:
        """Encoders out of fold and on all rows, the gate walking forward, then the booster on the covered rows."""
        named = self._check()
        if len(X) < 2:
            required = "two rows or more, because folds need a past and a future"
            raise invalid("X", type(self).__name__, required, "1 sample")
        intervals = label_intervals(X, label_end, getattr(self.folds, "label_horizon", None))
        folds = list(self.folds.split(X, labels, label_end=label_end))
        weight = np.ones(len(X)) if sample_weight is None else sample_weight
        unknown = sorted(set(given or {}) - set(named))
        if unknown:
            required = f"keyed by the encoders ({', '.join(named)})"
            raise invalid("embedded", type(self).__name__, required, unknown[0], nearest(unknown[0], named).strip())
        self.embedded_: dict[str, Embedded] = {}
        for name, encoder in named.items():
            if given is not None and name in given:
                self.embedded_[name] = self._checked(name, given[name], folds, len(X))
                continue
            job = Job(encoder, X, labels, label_end, intervals, sample_weight, self.validation_fraction)
            final = Refit(
                encoder, X, labels, label_end, intervals, sample_weight, validation, self.validation_fraction
            )()
            self.embedded_[name] = out_of_fold_embeddings(job, folds, final, self.align, self.n_jobs)
        self.encoders_ = {name: found.model for name, found in self.embedded_.items()}
        self.alignments_ = {name: found.alignment for name, found in self.embedded_.items()}
        fold = next(iter(self.embedded_.values())).fold
        rows = np.flatnonzero(fold >= 0)
        self.components_ = {
            name: Components.fit(found.values[rows], self.n_components) for name, found in self.embedded_.items()
        }
        joined = self._joined(take(X, rows), {name: found.values[rows] for name, found in self.embedded_.items()})
        fused = self._gate_walking_forward(joined, target[rows], weight[rows], fold[rows], intervals, rows)
        self.booster_ = self._fit_booster(X, labels, fused, rows, label_end, intervals, sample_weight, validation)

    def _checked(self, name: str, found: Embedded, folds: list[Any], n_rows: int) -> Embedded:
        """Embeddings made before, which must cover the rows that these folds test."""
        fold = np.full(n_rows, -1, np.int64)
        for number, (_, test) in enumerate(folds):
            fold[test] = number
        if not np.array_equal(found.fold, fold):
            required = f"made on the same rows and folds; those of {name!r} were made on other rows or folds"
            remedy = "Leave them out of embedded=, and they are made anew."
            raise invalid("embedded", type(self).__name__, required, name, remedy)
        return found

    def _check(self) -> dict[str, Any]:
        owner = type(self).__name__
        try:
            named = dict(self.encoders)
            wrong = not named or len(named) != len(self.encoders) or any(str(name).startswith("_") for name in named)
        except (TypeError, ValueError):
            wrong = True
        if wrong:
            required = "a non-empty list of (name, network) with distinct names and no leading underscore"
            raise invalid("encoders", owner, required, self.encoders)
        self._validate_names(list(named))
        require_embedding(named, owner)
        if self.folds is None:
            raise invalid("folds", owner, "a splitter, such as PurgedWalkForward(n_splits=5)", None)
        if self.fusion not in FUSIONS:
            raise invalid("fusion", owner, f"one of {', '.join(FUSIONS)}", self.fusion)
        most = self.n_components
        if most is not None and (isinstance(most, bool) or not isinstance(most, int | np.integer) or most < 1):
            raise invalid("n_components", owner, "an integer >= 1, or None for all", most)
        return named

    def _gate_walking_forward(
        self,
        joined: np.ndarray,
        target: np.ndarray,
        weight: np.ndarray,
        fold: np.ndarray,
        intervals: LabelIntervals,
        rows: np.ndarray,
    ) -> np.ndarray:
        """Set ``gate_`` from all covered rows, and weigh each fold's rows by a gate of what was known before it."""
        self.gate_ = self._fit_gate(joined, target, weight)
        if isinstance(self.gate_, Concatenation):
            return joined
        begin, end = intervals.start[rows], intervals.end[rows]
        fused = None
        for number in np.unique(fold).tolist():
            inside = fold == number
            known = (end < begin[inside].min()) & ~inside
            gate = self._fit_gate(joined[known], target[known], weight[known]) if known.any() else self.gate_.open()
            part = gate(joined[inside])
            if fused is None:
                fused = np.empty((len(joined), part.shape[1]))
            fused[inside] = part
        assert fused is not None
        return fused

    def _fit_gate(self, joined: np.ndarray, target: np.ndarray, weight: np.ndarray) -> Gate:
        n_classes = self._n_classes()
        if self.fusion == "gated":
            return GatedUnit.fit(joined, joined.shape[1] - self.n_features_in_, target, weight, n_classes)
        if self.fusion == "attention":
            return GroupAttention.fit(joined, self._group_of_columns(), target, weight, n_classes)
        return Concatenation()

    def _fit_booster(
        self,
        X: Any,
        labels: np.ndarray,
        fused: np.ndarray,
        rows: np.ndarray,
        label_end: Any,
        intervals: LabelIntervals,
        sample_weight: np.ndarray | None,
        validation: Any,
    ) -> Any:
        watched = None
        if validation is not None:
            held = self._ordered_columns(validation[0])
            watched = (self._frame(self._fused(held), held), validation[1])
        part = LabelIntervals(intervals.start[rows], intervals.end[rows], intervals.steps, intervals.has_times)
        weight = None if sample_weight is None else sample_weight[rows]
        ends = None if label_end is None else take(label_end, rows)
        table = self._frame(fused, take(X, rows))
        return Refit(self.booster, table, labels[rows], ends, part, weight, watched, self.validation_fraction)()

    # -- joining -----------------------------------------------------------------------------------------------

    def _joined(self, X: Any, embeddings: Mapping[str, np.ndarray]) -> np.ndarray:
        """(n, p): the columns of X, then each encoder's components."""
        parts = [np.asarray(X, np.float64), *(self.components_[name](found) for name, found in embeddings.items())]
        return np.concatenate(parts, axis=1)

    def _fused(self, X: Any) -> np.ndarray:
        """(n, p) what the booster gets for rows that follow their context."""
        found = {name: self.alignments_[name](embed(model, X)) for name, model in self.encoders_.items()}
        return self.gate_(self._joined(X, found))

    def _answer(self, X: Any, method: str) -> np.ndarray:
        if "booster_" not in vars(self):
            raise NotFittedError(f"This {type(self).__name__} is not fitted yet; call fit first.")
        values = self._read_X(X, allow_nan=True)
        X = self._ordered_columns(X) if isinstance(X, pd.DataFrame) else values
        return np.asarray(getattr(self.booster_, method)(self._frame(self._fused(X), X)), np.float64)

    def _frame(self, fused: np.ndarray, X: Any) -> pd.DataFrame:
        """With names, and with the index of X for a booster that looks back."""
        return pd.DataFrame(fused, columns=self.fused_names_, index=getattr(X, "index", None))

    @property
    def fused_names_(self) -> list[str]:
        """The booster's columns: those of X, ``<encoder>_<component>``, and what the gate adds."""
        embedded = [f"{name}_{i}" for name, found in self.components_.items() for i in range(found.width)]
        return self.gate_.names([*self._tabular_names(), *embedded], self._group_names())

    @property
    def fused_importances_(self) -> pd.Series:
        """The booster's own importances, by fused column.

        Raises
        ------
        AttributeError : a booster that has none.
        """
        own = self.booster_.feature_importances_
        return own if isinstance(own, pd.Series) else pd.Series(np.asarray(own), index=self.fused_names_)

    def _tabular_names(self) -> list[str]:
        names = getattr(self, "feature_names_in_", [f"x{i}" for i in range(self.n_features_in_)])
        return [str(name) for name in names]

    def _group_names(self) -> list[str]:
        return [*(self.groups or {"tabular": ()}), *self.components_]

    def _group_of_columns(self) -> np.ndarray:
        """(p,) the group of every joined column."""
        names, owner = self._tabular_names(), type(self).__name__
        groups = {"tabular": names} if self.groups is None else {name: list(own) for name, own in self.groups.items()}
        listed = [column for own in groups.values() for column in own]
        if sorted(listed) != sorted(names):
            odd = sorted(set(listed) ^ set(names)) or sorted(listed)
            raise invalid("groups", owner, "every column of X in exactly one group", odd[0])
        number = {column: position for position, own in enumerate(groups.values()) for column in own}
        embedded = [np.full(found.width, len(groups) + i) for i, found in enumerate(self.components_.values())]
        return np.concatenate([[number[column] for column in names], *embedded]).astype(np.int64)

    def _n_classes(self) -> int:
        return len(getattr(self, "classes_", ()))

    # -- state -------------------------------------------------------------------------------------------------

    def _params_spec(self) -> Spec:
        params = self.get_params(deep=False)
        spec = {name: params[name] for name in params if name not in ("encoders", "booster", "folds", "groups")}
        groups = None if self.groups is None else {name: list(own) for name, own in self.groups.items()}
        names = [name for name, _ in self.encoders]
        return {**spec, "encoders": names, "folds": splitter_spec(self.folds), "groups": groups}

    @classmethod
    def _from_params_spec(cls, spec: Spec, children: dict[str, Any]) -> Any:
        encoders = [(name, children[name]) for name in spec["encoders"]]
        params = {**spec, "encoders": encoders, "booster": children[_BOOSTER]}
        return super()._from_params_spec(params | {"folds": restore_splitter(spec["folds"])}, children)

    def _fitted_state(self) -> tuple[Spec, Arrays, dict[str, State]]:
        models = {**self.encoders_, _BOOSTER: self.booster_}
        foreign = [name for name, model in models.items() if not hasattr(model, "get_state")]
        if foreign:
            raise InvalidState(f"{foreign[0]!r} is no predictor of this framework and cannot be stored.")
        arrays = gate_arrays(self.gate_)
        for number, name in enumerate(self.encoders_):
            arrays |= self.alignments_[name].arrays(f"align{number}") | self.components_[name].arrays(f"part{number}")
        return {"encoders": list(self.encoders_)}, arrays, {name: model.get_state() for name, model in models.items()}

    def _restore_fitted(self, spec: Spec, arrays: Arrays, children: dict[str, Any]) -> None:
        names = spec["encoders"]
        if not isinstance(names, list) or not names or any(name not in children for name in names):
            raise InvalidState(f"The stored {type(self).__name__} must name its encoders among its children.")
        self.encoders_ = {name: children[name] for name in names}
        require_embedding(self.encoders_, type(self).__name__)
        self.booster_ = children[_BOOSTER]
        self.alignments_ = {name: read_alignment(arrays, f"align{i}") for i, name in enumerate(names)}
        widths = [len(found.target) for found in self.alignments_.values()]
        self.components_ = {
            name: read_components(arrays, f"part{i}", width) for i, (name, width) in enumerate(zip(names, widths))
        }
        n_embedded = sum(found.width for found in self.components_.values())
        self.gate_ = read_gate(
            arrays, self.fusion, self.n_features_in_, n_embedded, self._n_classes(), len(self._group_names())
        )
