"""Latency of a stored version, member by member, against targets; and the kernels against numpy."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from consilience.base import newest_proba, take
from consilience.base.errors import InvalidInput


@dataclass(frozen=True)
class Latency:
    """One model's latency: what was measured and what was aimed at, in milliseconds.

    Attributes
    ----------
    name : the member, or "stack".
    rows : rows predicted in one call (the context rows that a sequence model needs come on top).
    median, p99 : over the repetitions.
    target : from the targets file.
    """

    name: str
    rows: int
    median: float
    p99: float
    target: float

    @property
    def reached(self) -> bool:
        """Whether the median is within the target."""
        return self.median <= self.target


@dataclass(frozen=True)
class KernelRatio:
    """A kernel against numpy doing the same: times in milliseconds, and how many times faster the kernel is."""

    name: str
    kernel: float
    peer: float

    @property
    def ratio(self) -> float:
        return self.peer / self.kernel


def load_targets(path: str | Path | None = None) -> dict[str, Any]:
    """The targets of a YAML file, or the bundled ones.

    Raises
    ------
    InvalidInput : a missing file, or one without ``outer_limit``, ``one_row`` and ``rows_500``.
    """
    if path is None:
        text = files("consilience.configs").joinpath("targets.yaml").read_text(encoding="utf-8")
    else:
        if not Path(path).is_file():
            raise InvalidInput(f"There is no targets file {path}.")
        text = Path(path).read_text(encoding="utf-8")
    try:
        targets = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidInput(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    for key in ("outer_limit", "one_row", "rows_500"):
        if not isinstance(targets, dict) or key not in targets:
            raise InvalidInput(f"{path} has no {key!r}; see configs/targets.yaml.")
    return targets


def version_latencies(
    predictor: Any, X: Any, targets: dict[str, Any], rows: tuple[int, int] = (1, 500)
) -> list[Latency]:
    """Latency of one row and of many, of every member and of the whole.

    Parameters
    ----------
    predictor : a loaded ensemble (or a single model).
    X : feature rows of one asset, at least as many as asked for plus the longest lookback.
    targets : from ``load_targets``.
    rows : the newest rows predicted in one call, few and many.
    """
    models = {**getattr(predictor, "members_", {}), "stack": predictor}
    results = []
    for name, model in models.items():
        for n_rows, key in zip(rows, ("one_row", "rows_500")):
            block = take(X, np.arange(max(0, len(X) - n_rows - model.lookback), len(X)))
            times = measure(lambda b=block, m=model, n=n_rows: newest_proba(m, b, n))  # type: ignore[misc]
            goal = min(float(targets[key].get(name, targets[key]["default"])), float(targets["outer_limit"]))
            results.append(Latency(name, n_rows, statistics.median(times), float(np.quantile(times, 0.99)), goal))
    return results


def kernel_ratios() -> list[KernelRatio]:
    """The compiled kernels against numpy on the same arrays; results are compared before anything is timed."""
    return [_neighbors_ratio(), _filter_ratio(), _forest_ratio()]


def measure(call: Callable[[], Any], seconds: float = 0.5, at_least: int = 5, at_most: int = 1000) -> list[float]:
    """Milliseconds of repeated calls, after two that warm up."""
    call()
    call()
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < at_most and (len(times) < at_least or time.perf_counter() - began < seconds):
        start = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - start))
    return times


def _compare(name: str, kernel: Callable[[], np.ndarray], peer: Callable[[], np.ndarray], rtol: float) -> KernelRatio:
    np.testing.assert_allclose(kernel(), peer(), rtol=rtol, atol=rtol, err_msg=f"{name}: kernel and numpy differ")
    return KernelRatio(name, statistics.median(measure(kernel)), statistics.median(measure(peer)))


def _neighbors_ratio() -> KernelRatio:
    from consilience.kernels import lorentzian_neighbors

    rng = np.random.default_rng(0)
    reference, queries = rng.standard_normal((10_000, 10)), rng.standard_normal((100, 10))

    def with_numpy() -> np.ndarray:
        nearest = np.empty((len(queries), 8))
        for row, query in enumerate(queries):
            distances = np.log1p(np.abs(reference - query)).sum(axis=1)
            nearest[row] = np.sort(np.partition(distances, 8)[:8])
        return nearest

    return _compare(
        "Lorentzian neighbours, 10,000 x 100 x 10, k = 8",
        lambda: lorentzian_neighbors(reference, queries, 8)[0],
        with_numpy,
        1e-10,
    )


def _filter_ratio() -> KernelRatio:
    from consilience.kernels import GaussianHMM

    rng = np.random.default_rng(1)
    X = rng.standard_normal((20_000, 4))
    model = GaussianHMM(n_components=4, covariance_type="diag")
    model.startprob_ = np.full(4, 0.25)
    model.transmat_ = np.full((4, 4), 0.02) + 0.92 * np.eye(4)
    model.means_ = rng.standard_normal((4, 4))
    model.covars_ = 0.5 + rng.random((4, 4))

    def with_numpy() -> np.ndarray:
        difference = X[:, None, :] - model.means_[None]
        log_density = -0.5 * (difference**2 / model.covars_ + np.log(2 * np.pi * model.covars_)).sum(axis=2)
        density = np.exp(log_density - log_density.max(axis=1, keepdims=True))
        filtered = np.empty_like(density)
        belief = model.startprob_
        for t in range(len(X)):
            filtered[t] = (belief if t == 0 else belief @ model.transmat_) * density[t]
            filtered[t] /= filtered[t].sum()
            belief = filtered[t]
        return filtered

    return _compare("HMM filter, T = 20,000, K = 4, D = 4", lambda: model.predict_proba(X), with_numpy, 1e-9)


def _forest_ratio() -> KernelRatio:
    from sklearn.ensemble import RandomForestClassifier as Peer

    from consilience.boosting import RandomForestClassifier

    rng = np.random.default_rng(2)
    X = rng.standard_normal((1000, 20))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    ours = RandomForestClassifier(n_estimators=300, random_state=0).fit(X, y)
    settings = {name: value for name, value in ours.get_params().items() if name in Peer().get_params()}
    peer = Peer(**settings).fit(X, y)
    row = X[:1]
    return _compare(
        "Random forest, 300 trees, one row (peer: scikit-learn)",
        lambda: ours.predict_proba(row),
        lambda: peer.predict_proba(row),
        1e-6,
    )
