"""Does a feature function or pipeline look ahead? Cut the future off, change it, and see what moves."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from consilience.base import InvalidInput, invalid, time_axis


@dataclass(frozen=True)
class Leak:
    """One column that moved when only its future changed.

    Attributes
    ----------
    column : its name. row, time : the first row whose value moved. cut : data were changed from this time on.
    how : "truncation" or "perturbation". change : the largest absolute difference seen,
        0 where values only became missing.
    """

    column: str
    row: int
    time: str
    cut: str
    how: str
    change: float

    @property
    def effect(self) -> str:
        """What happened to the value, in words."""
        return f"moves by {self.change:.3g}" if self.change > 0 else "becomes missing"


@dataclass(frozen=True)
class Audit:
    """The result of ``audit_pipeline``: the leaks, worst column first, and how much was tried."""

    leaks: tuple[Leak, ...]
    columns: tuple[str, ...]
    cuts: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """No column moved."""
        return not self.leaks

    def __str__(self) -> str:
        if self.passed:
            return f"No look-ahead found: {len(self.columns)} columns, {len(self.cuts)} cuts, truncated and perturbed."
        lines = [
            f"{leak.column!r} looks ahead: row {leak.row} ({leak.time}) {leak.effect} under {leak.how} of the rows "
            f"from {leak.cut} on."
            for leak in self.leaks
        ]
        return "\n".join(lines)


def audit_pipeline(
    fn: Callable[[pd.DataFrame], Any],
    frame: pd.DataFrame,
    *,
    n_cuts: int = 12,
    atol: float = 1e-9,
    rtol: float = 1e-7,
    random_state: int = 0,
) -> Audit:
    """Report each column of ``fn(frame)`` whose earlier rows depend on later rows of ``frame``.

    Parameters
    ----------
    fn : takes the frame and gives one row out per row in, as a DataFrame, Series or array (a feature function, or a
        fitted pipeline's ``predict_proba``). Rows may also be dropped where the result keeps the frame's index.
    frame : (n, d) indexed by time, or by (asset, time), or by row; in a panel all assets are cut at the same time.
    n_cuts : times at which the future is removed, and changed: spread over the data, the very last among them.
    atol, rtol : what counts as unmoved; features are recomputed, so rounding may differ.

    A function that draws random numbers must be given a seed.

    >>> frame = pd.DataFrame({"close": np.random.default_rng(0).random(60)}, pd.bdate_range("2024-01-01", periods=60))
    >>> leaky = lambda f: pd.DataFrame({"ok": f["close"].diff(), "z": f["close"] - f["close"].mean()})
    >>> audit_pipeline(leaky, frame).leaks[0].column
    'z'
    """
    if len(frame) < 4:
        raise InvalidInput(f"An audit needs at least four rows; got {len(frame)}.")
    if n_cuts < 1:
        raise invalid("n_cuts", "audit_pipeline", "an integer >= 1", n_cuts)
    trial = _Trial(fn, frame, time_axis(frame).times, (atol, rtol), random_state)
    whole, steps = trial.whole(), np.unique(trial.times)
    last = len(steps) - 1
    places = np.unique(np.concatenate([np.linspace(max(1, last * 0.1), last, n_cuts), [max(1, last - 1)]]).astype(int))
    found: dict[str, tuple[int, Leak]] = {}
    for place in places.tolist():
        for name, leak in trial.leaks(whole, steps[place]).items():
            found.setdefault(name, (place, leak))
    leaks = [trial.earliest(whole, steps, place, leak) for place, leak in found.values()]
    leaks.sort(key=lambda leak: (-leak.change, leak.row))
    return Audit(tuple(leaks), tuple(map(str, whole.columns)), tuple(_say(cut) for cut in steps[places]))


audit = audit_pipeline


@dataclass(frozen=True)
class _Trial:
    """One function on one frame, ready to be asked about any cut."""

    fn: Callable[[pd.DataFrame], Any]
    frame: pd.DataFrame
    times: np.ndarray
    tolerance: tuple[float, float]
    seed: int

    def whole(self) -> pd.DataFrame:
        """The result on all data; a function that does not repeat itself is refused."""
        first, second = (_as_table(self.fn(self.frame.copy()), self.frame) for _ in range(2))
        moved = _differs(first.to_numpy(), second.to_numpy(), *self.tolerance).any(axis=0)
        if moved.any():
            name = first.columns[int(np.flatnonzero(moved)[0])]
            raise InvalidInput(f"The column {name!r} differs between two calls on the same frame; seed it first.")
        return first

    def leaks(self, whole: pd.DataFrame, cut: Any) -> dict[str, Leak]:
        """The columns whose rows before ``cut`` move when the rows from it on are removed, or changed."""
        past = self.times < cut
        rng = np.random.default_rng(self.seed)
        found: dict[str, Leak] = {}
        for how, other in (
            ("truncation", self.frame[past].copy()),
            ("perturbation", _perturbed(self.frame, past, rng)),
        ):
            part = _as_table(self.fn(other), other)
            after = (part if how == "truncation" else part[past]).reindex(columns=whole.columns).to_numpy()
            before = whole.to_numpy()[past]
            moved = _differs(before, after, *self.tolerance)
            for column in np.flatnonzero(moved.any(axis=0)).tolist():
                places = np.flatnonzero(moved[:, column])
                gap = np.abs(before[places, column] - after[places, column])
                change = float(gap[np.isfinite(gap)].max(initial=0.0))
                row = int(np.flatnonzero(past)[places[0]])
                known = found.get(str(whole.columns[column]))
                if known is not None:
                    change = max(change, known.change)
                if known is None or row <= known.row:
                    known = Leak(str(whole.columns[column]), row, _say(whole.index[row]), _say(cut), how, change)
                found[known.column] = replace(known, change=change)
        return found

    def earliest(self, whole: pd.DataFrame, steps: np.ndarray, place: int, leak: Leak) -> Leak:
        """The same leak at the earliest cut that shows it, found by bisection: that has the first row that leaks."""
        low, high = 0, place
        while high - low > 1:
            middle = (low + high) // 2
            seen = self.leaks(whole, steps[middle]).get(leak.column)
            if seen is None:
                low = middle
            else:
                high, leak = middle, replace(seen, change=max(seen.change, leak.change))
        return leak


def _say(moment: Any) -> str:
    """A time (or an asset and a time, or a row number) as text, without a midnight."""
    if isinstance(moment, tuple):
        return " ".join(_say(part) for part in moment)
    if isinstance(moment, np.datetime64 | pd.Timestamp):
        return str(pd.Timestamp(moment)).removesuffix(" 00:00:00")
    return str(moment)


def _as_table(result: Any, frame: pd.DataFrame) -> pd.DataFrame:
    """The function's result as numbers on the frame's own rows; rows that it dropped become NaN."""
    if isinstance(result, pd.Series):
        result = result.to_frame(result.name if result.name is not None else "output")
    if not isinstance(result, pd.DataFrame):
        values = np.asarray(result)
        values = values.reshape(len(values), -1)
        if len(values) != len(frame):
            raise InvalidInput(
                f"The pipeline gave {len(values)} rows for {len(frame)}; return a DataFrame with an index."
            )
        result = pd.DataFrame(values, index=frame.index, columns=[f"output {i}" for i in range(values.shape[1])])
    if not result.index.equals(frame.index):
        result = result.reindex(frame.index)
    codes = {name: _numbers(column) for name, column in result.items()}
    return pd.DataFrame(codes, index=frame.index)


def _numbers(column: pd.Series) -> np.ndarray:
    if pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    # Text and categories are compared by what they say; a stable number per value is enough for that.
    return pd.util.hash_array(column.astype(str).to_numpy(dtype=object)).astype(np.float64)


def _perturbed(frame: pd.DataFrame, past: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    """The frame with its later numbers replaced: rows shuffled and rescaled, so that order and level change."""
    other = frame.copy()
    numeric = list(frame.select_dtypes("number").columns)
    future = frame[numeric].iloc[rng.permutation(np.flatnonzero(~past))].to_numpy(np.float64)
    changed = frame[numeric].astype(np.float64)
    changed.iloc[np.flatnonzero(~past)] = future * rng.uniform(1.5, 2.5, (len(future), 1))
    other[numeric] = changed
    return other


def _differs(a: np.ndarray, b: np.ndarray, atol: float, rtol: float) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return ~(np.isclose(a, b, rtol=rtol, atol=atol, equal_nan=True))
