"""The run ledger: every configuration ever evaluated on some data, counted by the framework and not by its user."""

import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

from consilience.base import InvalidInput, InvalidState

HOLDOUT = "holdout"


@dataclass(frozen=True)
class Trial:
    """One evaluation.

    Attributes
    ----------
    data_id : what it was evaluated on (``data_identity``). kind : "train", "tune", "holdout", …
    config : what was evaluated, as JSON. scores : metrics by name.
    sharpe : Sharpe ratio per period (not annualised) after costs, or None.
    time : when, ISO 8601, UTC.
    """

    data_id: str
    kind: str
    config: dict[str, Any]
    scores: dict[str, float] = field(default_factory=dict)
    sharpe: float | None = None
    time: str = ""

    @property
    def identity(self) -> str:
        """The same for the same configuration, however its keys are ordered."""
        return json.dumps(self.config, sort_keys=True)


class Ledger:
    """An append-only file of JSON lines; safe with many processes.

    Parameters
    ----------
    path : the file; it is created at the first record.

    Raises
    ------
    InvalidState : a line that is not a trial (an unfinished last line of a killed writer is ignored).

    Examples
    --------
    >>> import tempfile
    >>> ledger = Ledger(tempfile.mkdtemp() + "/ledger.jsonl")
    >>> for depth in (3, 4, 3):
    ...     _ = ledger.record(data_id="spx", kind="tune", config={"depth": depth}, scores={"auc": 0.5})
    >>> len(ledger.trials("spx")), ledger.looks("spx")
    (2, 0)
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)

    def record(
        self,
        *,
        data_id: str,
        kind: str,
        config: Mapping[str, Any],
        scores: Mapping[str, float] | None = None,
        sharpe: float | None = None,
    ) -> Trial:
        """Append one evaluation and give it back as it was written. Scores that are not finite are left out."""
        finite = {str(key): float(value) for key, value in (scores or {}).items() if np.isfinite(value)}
        try:
            plain = json.loads(json.dumps(dict(config), sort_keys=True, allow_nan=False, default=_plain))
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"The config of a trial must be JSON: {error}") from error
        known = None if sharpe is None or not np.isfinite(sharpe) else float(sharpe)
        trial = Trial(data_id, kind, plain, finite, known, datetime.now(UTC).isoformat(timespec="seconds"))
        line = json.dumps(asdict(trial), sort_keys=True).encode() + b"\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._locked("ab+", fcntl.LOCK_EX) as file:
            end = file.seek(0, 2)
            if end and _byte_before(file, end) != b"\n":
                line = b"\n" + line  # a writer was killed in the middle of its line; keep ours whole
            file.write(line)
            file.flush()
        return trial

    def all(self, data_id: str | None = None) -> list[Trial]:
        """Every record in order, of one data set or of all."""
        if not self.path.exists():
            return []
        with self._locked("rb", fcntl.LOCK_SH) as file:
            lines = file.read().split(b"\n")
        found = []
        for number, line in enumerate(lines):
            trial = _read_line(line, number, self.path, is_last=number >= len(lines) - 1)
            if trial is not None and data_id in (None, trial.data_id):
                found.append(trial)
        return found

    def trials(self, data_id: str) -> list[Trial]:
        """The distinct configurations evaluated on that data, the newest record of each; looks at a hold-out apart."""
        distinct = {trial.identity: trial for trial in self.all(data_id) if trial.kind != HOLDOUT}
        return list(distinct.values())

    def look(self, *, data_id: str, config: Mapping[str, Any], scores: Mapping[str, float]) -> int:
        """Record a look at the hold-out of that data; gives which look it is. A repeated one keeps its number."""
        trial = self.record(data_id=data_id, kind=HOLDOUT, config=config, scores=scores)
        return self._looks(data_id).index(trial.identity) + 1

    def looks(self, data_id: str) -> int:
        """How many configurations have been looked at on the hold-out of that data."""
        return len(self._looks(data_id))

    def _looks(self, data_id: str) -> list[str]:
        return list(dict.fromkeys(trial.identity for trial in self.all(data_id) if trial.kind == HOLDOUT))

    @contextmanager
    def _locked(self, mode: str, how: int) -> Iterator[IO[bytes]]:
        with self.path.open(mode) as file:
            fcntl.flock(file, how)
            try:
                yield file
            finally:
                fcntl.flock(file, fcntl.LOCK_UN)


def data_identity(X: Any) -> str:
    """A short digest of a data set's index, column names and values, under which its trials are counted.

    >>> import numpy as np
    >>> data_identity(np.zeros((2, 2))) == data_identity(np.zeros((2, 2)))
    True
    """
    frame = X.to_frame() if isinstance(X, pd.Series) else pd.DataFrame(X)
    content = hashlib.sha256(repr([str(name) for name in frame.columns]).encode())
    content.update(pd.util.hash_pandas_object(frame, index=True).to_numpy().tobytes())
    return content.hexdigest()[:16]


def _byte_before(file: IO[bytes], end: int) -> bytes:
    file.seek(end - 1)
    return file.read(1)


def _read_line(line: bytes, number: int, path: Path, *, is_last: bool) -> Trial | None:
    if not line.strip():
        return None
    try:
        return Trial(**json.loads(line))
    except (ValueError, TypeError) as error:
        if is_last or not line.rstrip().endswith(b"}"):
            return None
        raise InvalidState(
            f"Line {number + 1} of the ledger {path} is damaged ({error}); restore it from a copy."
        ) from error


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray | set | frozenset):
        return sorted(value) if isinstance(value, set | frozenset) else value.tolist()
    return repr(value)
