"""What long work tells whoever is watching."""

from typing import Protocol


class Progress(Protocol):
    """A watcher of long work; the command line shows a bar with the time left, a script usually nothing."""

    def begin(self, n_steps: int, text: str) -> None:
        """A stage of so many steps starts."""

    def step(self, text: str) -> None:
        """One step is done; ``text`` says which."""

    def say(self, text: str) -> None:
        """One sentence that stays on the screen."""


class Silent:
    """Watches and says nothing."""

    def begin(self, n_steps: int, text: str) -> None:
        pass

    def step(self, text: str) -> None:
        pass

    def say(self, text: str) -> None:
        pass
