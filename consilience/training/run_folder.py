"""Where one training writes: its report, the cache of finished folds, and the run ledger that all trainings share."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from consilience.base.errors import InvalidInput
from consilience.base.state import canonical_json
from consilience.evaluation.ledger import Ledger
from consilience.training.config import Config
from consilience.training.problem import Problem

LEDGER = "ledger.jsonl"


@dataclass(frozen=True)
class RunFolder:
    """Attributes: ``path`` of this run, ``cache`` of folds (removed when the run is done), the ``ledger``."""

    path: Path
    cache: Path
    ledger: Ledger

    @classmethod
    def begin(cls, config: Config, problem: Problem) -> "RunFolder":
        """Make the folder; runs of one name are told apart by their time.

        Raises
        ------
        InvalidInput : the folder cannot be written.
        """
        runs = config.output.runs
        key = hashlib.sha256((canonical_json(config.dump()) + problem.snapshot).encode()).hexdigest()[:16]
        try:
            path = _fresh(runs, f"{config.name}-{datetime.now():%Y%m%d-%H%M%S}")
            cache = runs / ".unfinished" / key
            cache.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInput(f"Cannot write to output.runs={runs}: {error.strerror}.") from error
        return cls(path, cache, Ledger(runs / LEDGER))


def _fresh(runs: Path, name: str) -> Path:
    for suffix in ("", *(f"-{number}" for number in range(2, 1000))):
        path = runs / f"{name}{suffix}"
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        return path
    raise InvalidInput(f"{runs} already holds a thousand runs of this second.")
