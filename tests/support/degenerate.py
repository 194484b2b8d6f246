"""Degenerate inputs: what is unusual in the numbers, not in the types. Every contract suite goes through this table.

``CASES`` maps a name to a function of a random generator that returns a ``Case``. All arrays are finite. A suite asks
for one of two outcomes: a finite and sensible answer, or one ``InvalidInput`` that names the argument.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

LARGEST = 1e300
SUBNORMAL = 5e-310


@dataclass(frozen=True)
class Case:
    """One degenerate data set.

    Attributes
    ----------
    X : (n, d) float64 features. y : (n,) int64 classes 0 and 1. values : (n,) float64 regression target.
    times : (n,) datetime64[ns], ascending.
    """

    X: np.ndarray
    y: np.ndarray
    values: np.ndarray
    times: np.ndarray

    @property
    def n_rows(self) -> int:
        return len(self.X)


def ordinary(rng: np.random.Generator, n: int = 120, d: int = 4) -> Case:
    """Nothing unusual: independent normal features, balanced classes, daily times."""
    X = rng.standard_normal((n, d))
    y = (X[:, 0] + rng.standard_normal(n) > 0.0).astype(np.int64)
    y[:2] = [0, 1]
    times = np.datetime64("2015-01-01", "ns") + np.arange(n) * np.timedelta64(1, "D")
    return Case(X, y, X[:, 0] + rng.standard_normal(n), times)


def _with_columns(change: Callable[[np.ndarray], np.ndarray], n: int = 120) -> Callable[[np.random.Generator], Case]:
    def make(rng: np.random.Generator) -> Case:
        case = ordinary(rng, n)
        return replace(case, X=change(case.X.copy()))

    return make


def _set(column: int, value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(X: np.ndarray) -> np.ndarray:
        X[:, column] = value
        return X

    return change


def _duplicate(X: np.ndarray) -> np.ndarray:
    X[:, 1] = X[:, 0]
    return X


def _mirror(X: np.ndarray) -> np.ndarray:
    X[:, 1] = -X[:, 0]
    return X


def _constant_until(row: int) -> Callable[[np.ndarray], np.ndarray]:
    def change(X: np.ndarray) -> np.ndarray:
        X[:row, 0] = 0.5
        return X

    return change


def _outlier(X: np.ndarray) -> np.ndarray:
    X[len(X) // 2, 0] = 1e12
    return X


def _scaled(scale: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda X: X * scale


def _mixed_scales(X: np.ndarray) -> np.ndarray:
    return X * np.resize([SUBNORMAL, 1.0, LARGEST, 1e-150], X.shape[1])


def _labels(make: Callable[[int], np.ndarray]) -> Callable[[np.random.Generator], Case]:
    def case(rng: np.random.Generator) -> Case:
        found = ordinary(rng)
        return replace(found, y=make(found.n_rows))

    return case


def _one_positive(n: int) -> np.ndarray:
    return (np.arange(n) == n // 3).astype(np.int64)


def _target(make: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.random.Generator], Case]:
    def case(rng: np.random.Generator) -> Case:
        found = ordinary(rng)
        return replace(found, values=make(found.values.copy()))

    return case


def _constant_but_one(values: np.ndarray) -> np.ndarray:
    out = np.full_like(values, 1.5)
    out[len(out) // 2] = 2.5
    return out


def _identical_rows(rng: np.random.Generator) -> Case:
    found = ordinary(rng)
    return replace(found, X=np.tile(found.X[:1], (found.n_rows, 1)))


def _few_distinct_rows(rng: np.random.Generator) -> Case:
    found = ordinary(rng)
    return replace(found, X=found.X[rng.integers(0, 2, found.n_rows)])


def _gaps_of_years(rng: np.random.Generator) -> Case:
    found = ordinary(rng)
    later = (np.arange(found.n_rows) // 40) * np.timedelta64(1500, "D")
    return replace(found, times=found.times + later)


def _rows(n: int) -> Callable[[np.random.Generator], Case]:
    return lambda rng: ordinary(rng, n)


CASES: dict[str, Callable[[np.random.Generator], Case]] = {
    "constant feature": _with_columns(_set(0, 3.0)),
    "all features constant": _with_columns(lambda X: np.full_like(X, 3.0)),
    "feature of zeros": _with_columns(_set(0, 0.0)),
    "duplicated feature": _with_columns(_duplicate),
    "mirrored feature": _with_columns(_mirror),
    "feature constant until row 300": _with_columns(_constant_until(300), n=400),
    "one huge outlier": _with_columns(_outlier),
    "subnormal features": _with_columns(_scaled(SUBNORMAL)),
    "huge features": _with_columns(_scaled(LARGEST)),
    "features of mixed scales": _with_columns(_mixed_scales),
    "integer-like features": _with_columns(np.round),
    "all labels equal but one": _labels(_one_positive),
    "all labels equal": _labels(lambda n: np.zeros(n, np.int64)),
    "constant target": _target(lambda values: np.full_like(values, 1.5)),
    "target constant but for one row": _target(_constant_but_one),
    "subnormal target": _target(lambda values: values * SUBNORMAL),
    "huge target": _target(lambda values: values * LARGEST),
    "identical rows": _identical_rows,
    "two distinct rows": _few_distinct_rows,
    "gaps of years": _gaps_of_years,
    **{f"{n} rows": _rows(n) for n in (2, 3, 5, 10, 20, 60)},
}


def case(name: str, seed: int = 0) -> Case:
    """The case of a name, drawn from a seed.

    >>> case("2 rows").X.shape
    (2, 4)
    """
    return CASES[name](np.random.default_rng(seed))


def _returns(rng: np.random.Generator, n: int = 120) -> np.ndarray:
    return 0.01 * rng.standard_normal(n)


def _with_one(value: float) -> Callable[[np.random.Generator], np.ndarray]:
    def make(rng: np.random.Generator) -> np.ndarray:
        found = _returns(rng)
        found[60] = value
        return found

    return make


SERIES: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "zeros": lambda rng: np.zeros(120),
    "constant": lambda rng: np.full(120, 0.001),
    "constant, large": lambda rng: np.full(120, 1e300),
    "constant but for one": lambda rng: np.where(np.arange(120) == 40, 0.02, 0.001),
    "zero but for one": lambda rng: np.where(np.arange(120) == 40, 0.02, 0.0),
    "one huge outlier": _with_one(1e12),
    "one loss of everything": _with_one(-1.0),
    "one loss of more than everything": _with_one(-3.0),
    "two values": lambda rng: rng.choice([-0.01, 0.01], 120),
    "alternating": lambda rng: np.resize([0.01, -0.01], 120),
    "trend": lambda rng: np.linspace(0.0, 1.0, 120),
    "subnormal": lambda rng: _returns(rng) * SUBNORMAL,
    "huge": lambda rng: _returns(rng) * LARGEST,
    "rounding residue": lambda rng: 1.0 + 1e-16 * rng.standard_normal(120),
    **{f"{n} values": (lambda rng, n=n: _returns(rng, n)) for n in (1, 2, 3, 5, 8, 20, 60)},
}
"""Series of returns or losses."""


def series(name: str, seed: int = 0) -> np.ndarray:
    """The series of a name, drawn from a seed.

    >>> series("3 values").shape
    (3,)
    """
    return SERIES[name](np.random.default_rng(seed))
