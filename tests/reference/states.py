"""States of every shape that a predictor's could have, without fitting anything."""

import numpy as np

from consilience.base import State


def logistic(seed: int = 0, *, features: int = 4, C: float = 1.0, classes: tuple[int, ...] = (0, 1)) -> State:
    """A small state in the general form of ``get_state``; it does not become a predictor."""
    rng = np.random.default_rng(seed)
    spec = {
        "params": {"C": C, "random_state": seed},
        "n_features_in": features,
        "feature_names_in": [f"f{i}" for i in range(features)],
        "fitted": {"iterations": 7},
        "classes": {"dtype": "<i8", "values": list(classes)},
    }
    return State("LogisticClassifier", spec, {"coef": rng.standard_normal((1, features)), "intercept": np.zeros(1)})


def peculiar() -> State:
    """Everything that a store is likely to get wrong."""
    payload = np.array([0x7FF8000000000001, 0xFFF8DEADBEEF0000, 0x7FF0000000000001], np.uint64).view(np.float64)
    arrays = {
        "nan payloads": payload,
        "signed zeros": np.array([0.0, -0.0]),
        "all negative zero": np.full(5, -0.0),
        "subnormals": np.array([5e-324, -2.2e-308, np.finfo(np.float32).smallest_subnormal]),
        "infinities": np.array([np.inf, -np.inf]),
        "int64 extremes": np.array([np.iinfo(np.int64).min, np.iinfo(np.int64).max, 2**53 + 1]),
        "uint64 extremes": np.array([0, 2**64 - 1], np.uint64),
        "empty": np.zeros((0, 3)),
        "empty inside": np.zeros((2, 0, 4), np.float32),
        "scalar": np.array(3, np.float32),
        "bool": np.array([[True, False], [False, True]]),
        "half": np.array([1.5, np.nan, 6e-8], np.float16),
        "all zeros": np.zeros(100),
        "fortran": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        "strided": np.arange(20.0)[::3],
        "big endian": np.arange(4, dtype=">i4"),
        "a.b": np.arange(3),
        "a": np.arange(2, dtype=np.int8),
        "": np.array([1], np.uint16),
        "../../etc": np.array([2], np.int16),
    }
    spec = {
        "text": "é ☃ \x00 \U0001f600",
        "big": 2**70,
        "float": 0.1 + 0.2,
        "negative zero": -0.0,
        "none": None,
        "list": [[], {}],
    }
    return State("Peculiar", spec, arrays)


def tree(seed: int = 0, shared: State | None = None) -> State:
    """An ensemble with one large member (an artifact of its own) and small ones."""
    rng = np.random.default_rng(seed)
    large = shared or State("Large", {"params": {}}, {"w": rng.standard_normal(20_000)})
    members = {"large": large, "small": logistic(seed), "odd": peculiar()}
    return State("VotingClassifier", {"params": {"weights": [1.0, 2.0]}}, {"weights": rng.random(2)}, members)
