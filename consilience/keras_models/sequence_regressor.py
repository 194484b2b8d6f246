"""The regressing half of the sequence networks: one or several targets, standardised inside."""

from typing import Any

import numpy as np

from consilience.base import InvalidState, RegressorPredictor, State, invalid
from consilience.base.state import Arrays, Spec
from consilience.keras_models.checks import check_sequence_params
from consilience.keras_models.scaling import Scaler
from consilience.keras_models.sequence import SequenceNetwork
from consilience.keras_models.validation import read_validation


class SequenceRegressor(SequenceNetwork, RegressorPredictor):
    """The regressing half of a sequence network: one or several targets, standardised inside."""

    _own_arrays = ("target_mean", "target_scale")
    loss: str
    target_scaler_: Scaler

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any, *, sample_weight: Any = None, validation: Any = None) -> Any:
        """Train on rows in time order; y is (n,) or (n, n_targets). Other arguments as in the classifiers."""
        check_sequence_params(self)
        values, target, weight = self._read_fit(X, y, sample_weight, multi_output=True)
        self._one_target = target.ndim == 1
        target = target.reshape(len(target), -1)
        self.n_outputs_ = target.shape[1]
        weight = np.ones(len(target)) if weight is None else weight
        if not weight.sum() > 0:
            raise invalid("sample_weight", type(self).__name__, "positive for at least one row", "all zero")
        self.target_scaler_ = Scaler.fit(target[weight > 0], target=True)
        kept = None
        if validation is not None:
            kept = read_validation(validation, self, X, self.n_outputs_)
            kept.y = self.target_scaler_.transform(kept.y)
        self._fit_network(X, values, self.target_scaler_.transform(target), weight / weight.mean(), self.loss, kept)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Values (n,), or (n, n_targets) after a fit to several targets."""
        return self._targets(self._outputs(X))

    def predict_newest(self, X: Any, n: int = 1) -> np.ndarray:
        """The last n rows of ``predict(X)``, of one asset's rows, without the work of the others.

        Raises
        ------
        InvalidInput : n is no whole number from 1 to the rows given, or X has several assets or is not in time order.

        >>> from consilience.keras_models import LSTMRegressor
        >>> X = np.random.default_rng(0).standard_normal((60, 2))
        >>> LSTMRegressor(window=5, units=4, epochs=1, random_state=0).fit(X, X).predict_newest(X[-5:]).shape
        (1, 2)
        """
        return self._targets(self._newest(X, n))

    def _targets(self, scaled: np.ndarray) -> np.ndarray:
        values = self._finished(scaled)
        return values[:, 0] if self._one_target else values

    def _finished(self, raw: np.ndarray) -> np.ndarray:
        return self.target_scaler_.inverse(raw)

    def _fitted_state(self) -> tuple[Spec, Arrays, dict[str, State]]:
        spec, arrays, children = super()._fitted_state()
        arrays["target_mean"], arrays["target_scale"] = self.target_scaler_.mean, self.target_scaler_.scale
        return {**spec, "one_target": self._one_target}, arrays, children

    def _restore_fitted(self, spec: Spec, arrays: Arrays, children: dict[str, Any]) -> None:
        super()._restore_fitted(spec, arrays, children)
        self._one_target = spec["one_target"]
        if not isinstance(self._one_target, bool) or (self._one_target and self.n_outputs_ != 1):
            raise InvalidState("one_target must be true or false, and true only for one output.")
        self.target_scaler_ = Scaler.restore(arrays["target_mean"], arrays["target_scale"], self.n_outputs_)
