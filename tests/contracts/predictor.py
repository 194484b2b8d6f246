"""The contract of design.md that every predictor keeps, on top of scikit-learn's own checks."""

import numpy as np
import pandas as pd
from sklearn.base import clone, is_classifier

from consilience.base import restore


def market(n_rows: int = 160, n_features: int = 4, assets: int = 1, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """A small panel in time order with a learnable sign, as (X, y) with y in {0, 1}."""
    rng = np.random.default_rng(seed)
    days = pd.bdate_range("2020-01-01", periods=n_rows)
    frames = []
    for asset in range(assets):
        values = rng.standard_normal((n_rows, n_features))
        values[1:] = 0.6 * values[:-1] + 0.8 * values[1:]
        frame = pd.DataFrame(values, columns=[f"f{i}" for i in range(n_features)])
        frame.index = (
            days if assets == 1 else pd.MultiIndex.from_product([[f"a{asset}"], days], names=["asset", "time"])
        )
        frames.append(frame)
    X = pd.concat(frames)
    if assets > 1:
        X = X.sort_index(level=["time", "asset"])
    signal = X["f0"].to_numpy() - 0.5 * X["f1"].to_numpy()
    y = (signal + 0.5 * rng.standard_normal(len(X)) > 0).astype(np.int64)
    return X, y


def outputs(model, X) -> np.ndarray:
    return model.predict_proba(X) if is_classifier(model) else model.predict(X)


def check_causal(predict, X, cuts=(0.55, 0.8, 0.97), atol: float = 1e-9) -> None:
    """Cutting the future off, or replacing it, moves no earlier output."""
    whole = predict(X)
    for cut in cuts:
        k = int(cut * len(X))
        np.testing.assert_allclose(predict(X.iloc[:k]), whole[:k], rtol=0, atol=atol, err_msg=f"truncated at row {k}")
        other = X.copy()
        other.iloc[k:] = -3.0 * other.iloc[k:].to_numpy() + 1.0
        np.testing.assert_allclose(
            predict(other)[:k], whole[:k], rtol=0, atol=atol, err_msg=f"future changed at row {k}"
        )


def check_predictor(estimator, *, atol: float = 1e-9, assets: int = 1) -> None:
    """Fit on a small market and hold the estimator to the contract: shape, causality, lookback, clone, state, names."""
    X, y = market(assets=assets)
    target = y if is_classifier(estimator) else y - 0.5 + 0.1 * X["f2"].to_numpy()
    before = estimator.get_params(deep=False)
    model = clone(estimator)
    assert model.fit(X, target, validation=None) is model
    assert {k: repr(v) for k, v in clone(estimator).get_params(deep=False).items()} == {
        k: repr(v) for k, v in before.items()
    }, "fit changed a constructor parameter"
    out = outputs(model, X)
    assert len(out) == len(X), "one row out per row in"
    assert np.isfinite(out).all()
    if is_classifier(model):
        assert out.shape == (len(X), 2)
        np.testing.assert_allclose(out.sum(axis=1), 1.0, atol=1e-6)
        assert (out >= 0).all()
        assert list(model.classes_) == [0, 1]
        np.testing.assert_array_equal(model.predict(X), model.classes_[out.argmax(axis=1)])
    check_causal(lambda frame: outputs(model, frame), X, atol=atol)
    assert isinstance(model.lookback, int) and model.lookback >= 0
    if assets == 1:
        tail = X.iloc[-(model.lookback + 5) :]
        np.testing.assert_allclose(
            outputs(model, tail)[-5:], out[-5:], rtol=0, atol=max(atol, 1e-6), err_msg="lookback"
        )
    state = model.get_state()
    again = restore(state)
    np.testing.assert_array_equal(outputs(again, X), out, err_msg="state round trip")
    assert again.get_state().digest() == state.digest()
    np.testing.assert_allclose(outputs(model, X[X.columns[::-1]]), out, rtol=0, atol=0, err_msg="reordered columns")
    scores = model.evaluate(X, target)
    assert all(isinstance(v, float) for v in scores.values()) and ("log_loss" in scores or "rmse" in scores)
