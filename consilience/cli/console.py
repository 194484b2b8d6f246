"""What the commands print with: a console, and a progress display with the time left."""

import sys
import time
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


def console() -> Console:
    """Standard output; 110 columns where it is not a terminal, so that a log's tables stay whole."""
    return Console(width=None if sys.stdout.isatty() else 110, highlight=False)


class TerminalProgress:
    """A bar on a terminal; one line per stage and about every five seconds elsewhere (logs, CI)."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._done = self._total = 0
        self._began = self._printed = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def begin(self, n_steps: int, text: str) -> None:
        self._close()
        self._done, self._total = 0, n_steps
        self._began = self._printed = time.monotonic()
        if not self._out.is_terminal:
            self._out.print(text)
            return
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._out,
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task(text, total=n_steps)

    def step(self, text: str) -> None:
        self._done += 1
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, advance=1, description=text)
            return
        now = time.monotonic()
        if now - self._printed >= 5 or self._done == self._total:
            self._printed = now
            left = (now - self._began) / self._done * (self._total - self._done)
            self._out.print(f"  {self._done}/{self._total}  {text}  (about {left:.0f} s left)")

    def say(self, text: str) -> None:
        self._out.print(text)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = self._task = None
