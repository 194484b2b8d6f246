"""Members that break, at fit or when they are asked."""

import threading

import numpy as np

from consilience.boosting import LogisticClassifier


class Broken:
    """A fitted member that has stopped working, in one of several ways."""

    lookback = 0

    def __init__(self, model, how):
        self.model, self.how = model, how

    def predict(self, X):
        return self._spoil(np.asarray(self.model.predict(X), float))

    def predict_proba(self, X):
        return self._spoil(self.model.predict_proba(X))

    def _spoil(self, answer):
        if self.how == "raises":
            raise RuntimeError("the file is gone")
        if self.how == "slow":
            threading.Event().wait(30.0)
        if self.how == "nan":
            return np.full_like(answer, np.nan)
        if self.how == "some nan":
            answer[::3] = np.nan
        if self.how == "shape":
            return answer[:-1]
        if self.how == "not a distribution":
            return answer * 3.0
        return answer


class FailsToFit(LogisticClassifier):
    def fit(self, X, y, **options):
        raise MemoryError("not enough")


class FailsOnAllRows(LogisticClassifier):
    """Its out-of-fold fits succeed, its refit does not."""

    def fit(self, X, y, **options):
        if len(X) >= 200:
            raise MemoryError("too many rows")
        return super().fit(X, y, **options)


class SpoiltOutOfFold(LogisticClassifier):
    """What it says while the folds are made cannot be used; refitted on 200 rows or more it works."""

    def __init__(self, how="some nan", C=1.0):
        super().__init__(C=C)
        self.how = how

    def fit(self, X, y, **options):
        self.small_ = len(X) < 200
        return super().fit(X, y, **options)

    def predict_proba(self, X):
        answer = super().predict_proba(X)
        return Broken(None, self.how)._spoil(answer) if self.small_ else answer


class SlowToFit(LogisticClassifier):
    def fit(self, X, y, **options):
        threading.Event().wait(60.0)
        return super().fit(X, y, **options)
