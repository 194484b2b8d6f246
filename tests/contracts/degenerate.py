"""What every predictor does with degenerate numbers: a finite, sensible answer, or one error that names the input."""

from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from sklearn.base import clone, is_classifier

from consilience.base import InvalidInput
from consilience.ensemble import QuorumNotMet
from tests.support.degenerate import LARGEST, SUBNORMAL, Case, ordinary

# What an error about these inputs may name.
NAMED = (
    "X",
    "y",
    "fold",
    "sample",
    "row",
    "feature",
    "column",
    "class",
    "n_components",
    "n_neighbors",
    "times",
    "window",
)


def frame(case: Case) -> pd.DataFrame:
    """The features, indexed by time."""
    columns = [f"f{i}" for i in range(case.X.shape[1])]
    return pd.DataFrame(case.X, columns=columns, index=pd.DatetimeIndex(case.times))


def check_degenerate(estimator: Any, case: Case) -> bool:
    """Fit and predict; whether the estimator accepted the case.

    Accepted: outputs are finite; probabilities are in [0, 1] and sum to 1, and ``predict`` is their largest; the last
    rows alone get the same classes. Refused: an ``InvalidInput`` that names what it refuses.
    """
    X, model = frame(case), clone(estimator)
    classifier = is_classifier(model)
    target = case.y if classifier else case.values
    try:
        model.fit(X, target)
        output = model.predict_proba(X) if classifier else model.predict(X)
    except (InvalidInput, QuorumNotMet) as refused:
        assert any(name in str(refused) for name in NAMED), refused
        return False
    assert len(output) == len(X)
    assert np.isfinite(output).all(), "the output must be finite"
    if classifier:
        assert (output >= 0.0).all() and (output <= 1.0).all()
        np.testing.assert_allclose(output.sum(axis=1), 1.0, atol=1e-6)
        np.testing.assert_array_equal(model.predict(X), model.classes_[output.argmax(axis=1)])
    else:
        away, spread = np.abs(output - np.mean(case.values / 2) * 2), np.ptp(case.values / 2) * 2
        rounding = 1e-6 * np.abs(case.values).max() + np.finfo(np.float32).tiny  # some learn in float32
        assert (away <= 1e3 * spread + rounding).all(), "far outside the target's range"
    return True


@st.composite
def any_case(draw) -> Case:
    """A random mixture: each column of a kind and scale of its own, few rows or many, labels of any kind."""
    n = draw(st.sampled_from([2, 3, 5, 8, 20, 60]))
    rng = np.random.default_rng(draw(st.integers(0, 2**20)))
    case = ordinary(rng, n)
    scales = st.sampled_from([1.0, 1.0, SUBNORMAL, 1e-150, 1e-9, 1e9, 1e150, LARGEST])
    kinds = st.sampled_from(["noise", "noise", "constant", "steps", "first", "mirrored", "late", "outlier", "offset"])
    columns = []
    for _ in range(draw(st.integers(1, 4))):
        kind, scale, noise = draw(kinds), draw(scales), rng.standard_normal(n)
        column = {
            "noise": noise,
            "constant": np.ones(n),
            "steps": np.round(noise),
            "first": columns[0] / (np.abs(columns[0]).max() or 1.0) if columns else noise,
            "mirrored": -columns[0] / (np.abs(columns[0]).max() or 1.0) if columns else noise,
            "late": np.where(np.arange(n) < 2 * n // 3, 0.5, noise),
            "outlier": np.where(np.arange(n) == n // 2, 1e6, noise),
            "offset": 1.0 + 1e-14 * noise,
        }[kind]
        columns.append(np.clip(column * scale, -1e301, 1e301))
    y = {"drawn": case.y, "one": np.zeros(n, np.int64), "all but one": (np.arange(n) == n // 2).astype(np.int64)}
    return Case(
        np.stack(columns, axis=1),
        y[draw(st.sampled_from(sorted(y)))],
        case.values * draw(scales) if draw(st.booleans()) else np.full(n, draw(scales)),
        case.times,
    )
