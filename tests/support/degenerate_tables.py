"""Degenerate out-of-fold tables: what members may predict at its most unusual."""

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from consilience.ensemble.evidence import Evidence

SIZES = (1, 2, 3, 5, 10, 20, 50, 200)
SCALES = (1.0, 1.0, 1e-300, 1e-310, 1e-150, 1e150, 1e300)
# What one member predicts. "first", "reversed first": as the first member, or the other way round.
MEMBERS = ("noise", "weak", "constant", "residue", "sure", "right", "wrong", "first", "reversed first", "far", "tiny")
TARGETS = ("random", "one class", "all but one")
REGIMES = ("none", "random", "one never visited", "only the first")


def build(
    kind: str,
    members: Sequence[str],
    *,
    n: int = 50,
    n_classes: int = 2,
    n_folds: int = 4,
    target: str = "random",
    regimes: str = "none",
    scale: float = 1.0,
    early_constant: bool = False,
    weights_of_zero: bool = False,
    panel: bool = False,
    seed: int = 0,
) -> Evidence:
    """A table of members of these kinds; ``kind`` is "classes" or "values".

    ``scale`` is the standard deviation of the values. ``early_constant`` makes all members constant in the first two
    thirds of the rows. A panel has three rows per time step.
    """
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, n_classes, n)
    if target != "random":
        codes[:] = 0
        codes[n // 2] = 1 if target == "all but one" else 0
    if kind == "classes":
        outputs = np.stack([_proba(name, codes, n_classes, rng) for name in members])
        outputs[[name == "first" for name in members]] = outputs[0]
        outputs[[name == "reversed first" for name in members]] = outputs[0][:, ::-1]
        if early_constant:
            outputs[:, : 2 * n // 3] = 1.0 / n_classes
        truth, outputs = codes, outputs.astype(np.float32).astype(np.float64)
    else:
        truth = {
            "random": rng.standard_normal(n) * scale,
            "one class": np.full(n, scale),
            "all but one": np.where(np.arange(n) == n // 2, 2.0, 1.0) * scale,
        }[target]
        outputs = np.stack([_values(name, truth, scale, rng) for name in members])
        outputs[[name == "first" for name in members]] = outputs[0]
        outputs[[name == "reversed first" for name in members]] = -outputs[0]
        if early_constant:
            outputs[:, : 2 * n // 3] = outputs[:, :1]
    time = np.arange(n) // (3 if panel else 1)
    weight = rng.random(n) * (rng.random(n) < 0.7) if weights_of_zero else np.ones(n)
    weight = np.ones(n) if weight.sum() == 0.0 else weight / weight.mean()
    return Evidence(
        tuple(f"m{i}" for i in range(len(members))),
        outputs,
        truth,
        np.arange(n),
        np.arange(n) * min(n_folds, n) // n,
        time,
        time + 1 + seed % 3,
        weight,
        np.full(n_classes, float(30 * (seed % 2))) if kind == "classes" else np.zeros(0),
        _regimes(regimes, n, rng),
    )


def _proba(name: str, codes: np.ndarray, n_classes: int, rng: np.random.Generator) -> np.ndarray:
    n, right = len(codes), np.eye(n_classes)[codes]
    drawn = {
        "constant": np.full((n, n_classes), 1.0 / n_classes),
        "residue": 1.0 / n_classes + 1e-9 * rng.standard_normal((n, 1)) * np.linspace(-1.0, 1.0, n_classes),
        "sure": np.eye(n_classes)[rng.integers(0, n_classes, n)],
        "right": right,
        "wrong": np.roll(right, 1, axis=1),
        "far": rng.dirichlet(np.full(n_classes, 0.05), n),
        "tiny": rng.dirichlet(np.full(n_classes, 1e6), n),
        "weak": 0.9 * rng.dirichlet(np.full(n_classes, 5.0), n) + 0.1 * right,
    }
    found = drawn.get(name, rng.dirichlet(np.ones(n_classes), n))
    return np.clip(found, 0.0, 1.0)


def _values(name: str, truth: np.ndarray, scale: float, rng: np.random.Generator) -> np.ndarray:
    noise = rng.standard_normal(len(truth))
    large, small = min(scale * 1e200, 1e300) if scale < 1e100 else 1e300, max(scale * 1e-9, 1e-310)
    drawn = {
        "constant": np.full(len(truth), scale),
        "residue": scale + scale * 1e-15 * noise,
        "sure": np.where(noise > 0.0, scale, -scale),
        "right": truth.copy(),
        "wrong": -truth,
        "far": large * noise,
        "tiny": small * noise,
        "weak": 0.1 * truth + scale * noise,
    }
    return drawn.get(name, scale * noise)


def _regimes(name: str, n: int, rng: np.random.Generator) -> np.ndarray:
    if name == "none":
        return np.ones((n, 1))
    found = rng.dirichlet(np.full(3, 0.3), n)
    if name == "only the first":
        found = np.tile([1.0, 0.0, 0.0], (n, 1))
    if name == "one never visited":
        found[:, 2] = 0.0
        found += 1e-3 * np.array([1.0, 1.0, 0.0])
        found /= found.sum(axis=1, keepdims=True)
    return found.astype(np.float32).astype(np.float64)


def tables(kind: str, max_members: int = 40) -> st.SearchStrategy[Evidence]:
    """Hypothesis strategy of degenerate tables; few members more often than many."""
    few = st.lists(st.sampled_from(MEMBERS), min_size=1, max_size=6)
    many = st.lists(st.sampled_from(MEMBERS), min_size=1, max_size=max_members)
    return st.builds(
        build,
        st.just(kind),
        few if max_members <= 6 else few | few | many,
        n=st.sampled_from(SIZES),
        n_classes=st.sampled_from([2, 2, 3, 4]),
        n_folds=st.integers(1, 5),
        target=st.sampled_from(TARGETS),
        regimes=st.sampled_from(REGIMES),
        scale=st.sampled_from(SCALES),
        early_constant=st.booleans(),
        weights_of_zero=st.booleans(),
        panel=st.booleans(),
        seed=st.integers(0, 2**20),
    )
