"""Out-of-fold tables with a known amount of signal, without any model behind them."""

import numpy as np

from consilience.ensemble.evidence import Evidence


def table(n=2000, n_members=4, n_folds=5, signal=0.5, noise=0.3, seed=0, n_classes=2, horizon=1):
    """Members that each see one of n_members equal parts of the true log-odds, plus noise of their own."""
    rng = np.random.default_rng(seed)
    parts = rng.standard_normal((n_members, n, n_classes)) * signal / np.sqrt(n_members)
    truth = softmax(parts.sum(axis=0))
    codes = (truth.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    outputs = softmax(parts + noise * rng.standard_normal(parts.shape))
    time = np.arange(n)
    return Evidence(
        tuple(f"m{i}" for i in range(n_members)),
        outputs.astype(np.float32).astype(np.float64),
        codes,
        time,
        time * n_folds // n,
        time,
        time + horizon,
        np.ones(n),
        np.full(n_classes, 50.0),
        np.ones((n, 1)),
    )


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)


def log_loss(proba, codes):
    return float(-np.log(proba[np.arange(len(codes)), codes]).mean())
