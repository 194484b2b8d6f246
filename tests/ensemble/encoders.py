"""A stand-in for a sequence network, fitted in milliseconds, that hides what it learnt in coordinates of its own."""

import zlib

import numpy as np
import pandas as pd

from consilience.base import ClassifierPredictor


class TurningEncoder(ClassifierPredictor):
    """Least squares on the last ``window`` rows, embedded among noise directions in coordinates of this fit only.

    As with real networks, the representation holds the head's direction and others, up to a rotation, and is better on
    rows that were fitted: ``memory`` adds the row's own label, remembered by its features.
    """

    def __init__(self, window=3, width=6, memory=0.0):
        self.window = window
        self.width = width
        self.memory = memory

    @property
    def lookback(self):
        return self.window - 1

    def _lagged(self, X):
        values = np.asarray(X, float)
        padded = np.concatenate([np.zeros((self.window - 1, values.shape[1])), values])
        view = np.lib.stride_tricks.sliding_window_view(padded, self.window, axis=0)
        return view.reshape(len(values), -1)

    def fit(self, X, y, *, sample_weight=None, validation=None):
        values, labels, _ = self._read_fit(X, y)
        codes = self._read_labels(labels)
        lagged = self._lagged(values)
        signs = 2.0 * codes - 1.0
        head = np.linalg.lstsq(lagged.T @ lagged + np.eye(lagged.shape[1]), lagged.T @ signs, rcond=None)[0]
        fixed = np.random.default_rng(0).standard_normal((lagged.shape[1], self.width - 1)) / np.sqrt(lagged.shape[1])
        own = np.random.default_rng(zlib.crc32(values.tobytes()))
        self.turn_ = np.linalg.qr(own.standard_normal((self.width, self.width)))[0]
        self.body_ = np.concatenate([3.0 * head[:, None], fixed], axis=1)
        self.known_ = {row.tobytes(): sign for row, sign in zip(values, signs)} if self.memory else {}
        return self

    def embed(self, X):
        values = self._read_X(X)
        body = self._lagged(values) @ self.body_
        if self.known_:
            body[:, 0] += self.memory * np.array([self.known_.get(row.tobytes(), 0.0) for row in values])
        return body @ self.turn_

    def _fitted_state(self):
        return {}, {"turn": self.turn_, "body": self.body_}, {}

    def _restore_fitted(self, spec, arrays, children):
        self.turn_, self.body_, self.known_ = arrays["turn"], arrays["body"], {}

    def predict_proba(self, X):
        p = 1.0 / (1.0 + np.exp(-(self.embed(X) @ self.turn_.T)[:, 0]))
        return np.stack([1.0 - p, p], axis=1)


def motif_market(n=900, seed=0, n_features=4):
    """Labels that hang on the rows before (for the encoder) and on an interaction in the row (for the booster)."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((n, n_features))
    past = np.concatenate([np.zeros((2, n_features)), values])[:n]
    truth = 2.5 * past[:, 0] + 2.0 * np.sign(values[:, 1] * values[:, 2])
    y = (rng.random(n) < 1.0 / (1.0 + np.exp(-truth))).astype(np.int64)
    X = pd.DataFrame(
        values, columns=[f"f{i}" for i in range(n_features)], index=pd.bdate_range("2015-01-01", periods=n)
    )
    return X, y
