"""The classifying half of the sequence networks: labels, class weights, probabilities."""

from typing import Any, Self

import numpy as np

from consilience.base import ClassifierPredictor, InvalidInput, invalid
from consilience.base.state import Spec
from consilience.keras_models.checks import check_sequence_params
from consilience.keras_models.sequence import SequenceNetwork
from consilience.keras_models.validation import read_validation


class SequenceClassifier(SequenceNetwork, ClassifierPredictor):
    """The classifying half of a sequence network: a softmax over ``classes_``."""

    class_weight: Any

    def fit(self, X: Any, y: Any, *, sample_weight: Any = None, validation: Any = None) -> Any:
        """Train on rows in time order.

        Parameters
        ----------
        X : (n, n_features), indexed by time or by (asset, time), or an array.
        y : (n,) labels.
        sample_weight : (n,) non-negative, or None.
        validation : (X, y) later than the training rows, for early stopping only; None trains all epochs. See
            ``validation.validation_windows`` for the rows that their windows see.
        """
        check_sequence_params(self)
        values, labels, weight = self._read_fit(X, y, sample_weight)
        codes = self._read_labels(labels)
        self.n_outputs_ = len(self.classes_)
        weight = self._row_weights(codes, weight)
        kept = None
        if validation is not None:
            kept = read_validation(validation, self, X, None)
            known = np.isin(kept.y, self.classes_)
            if not known.all():
                unseen = kept.y[~known].tolist()[0]
                raise InvalidInput(f"validation has the label {unseen!r}, which the training rows have not.")
            kept.y = np.searchsorted(self.classes_, kept.y).astype(np.int32)
        self._fit_network(X, values, codes.astype(np.int32), weight, "cross_entropy", kept)
        return self

    def _row_weights(self, codes: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
        """Sample weight times class weight, with mean 1."""
        weight = np.ones(len(codes)) if weight is None else weight.copy()
        if self.class_weight is not None:
            from sklearn.utils.class_weight import compute_class_weight

            required = "None, 'balanced' or a dict of class to weight >= 0"
            try:
                per_class = compute_class_weight(self.class_weight, classes=self.classes_, y=self.classes_[codes])
                per_class = np.asarray(per_class, np.float64)
            except (TypeError, ValueError) as error:
                raise invalid("class_weight", type(self).__name__, required, self.class_weight) from error
            if not (np.isfinite(per_class) & (per_class >= 0)).all():
                raise invalid("class_weight", type(self).__name__, required, self.class_weight)
            weight *= per_class[codes]
        if not weight.sum() > 0:
            raise invalid("sample_weight", type(self).__name__, "positive for at least one row", "all zero")
        return weight / weight.mean()

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities (n, n_classes), in the order of ``classes_``; a row needs the ``lookback`` rows before it."""
        return self._finished(self._outputs(X))

    def predict_newest_proba(self, X: Any, n: int = 1) -> np.ndarray:
        """Probabilities (n, n_classes) of the last n rows; X holds one asset's rows, ``lookback`` before the first.

        Equal to the last n rows of ``predict_proba(X)``, without the work of the others: what a server calls.

        Raises
        ------
        InvalidInput : n is no whole number from 1 to the rows given, or X has several assets or is not in time order.

        >>> from consilience.keras_models import LSTMClassifier
        >>> X = np.random.default_rng(0).standard_normal((60, 2))
        >>> model = LSTMClassifier(window=5, units=4, epochs=1, random_state=0).fit(X, (X[:, 0] > 0).astype(int))
        >>> bool(np.allclose(model.predict_newest_proba(X[-6:], n=2), model.predict_proba(X)[-2:], atol=1e-6))
        True
        """
        return self._finished(self._newest(X, n))

    def _params_spec(self) -> Spec:
        spec = super()._params_spec()
        if isinstance(spec["class_weight"], dict):  # JSON's keys are text only
            spec["class_weight"] = [
                [label.item() if isinstance(label, np.generic) else label, weight]
                for label, weight in spec["class_weight"].items()
            ]
        return spec

    @classmethod
    def _from_params_spec(cls, spec: Spec, children: dict[str, Any]) -> Self:
        weights = spec.get("class_weight")
        return super()._from_params_spec(
            {**spec, "class_weight": dict(weights)} if isinstance(weights, list) else spec, children
        )

    def _finished(self, raw: np.ndarray) -> np.ndarray:
        return _softmax(raw)


def _softmax(logits: np.ndarray) -> np.ndarray:
    proba = np.exp(logits - logits.max(axis=1, keepdims=True))
    return proba / proba.sum(axis=1, keepdims=True)
