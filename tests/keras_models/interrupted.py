"""Trainers that die or run out of memory, and that count what they run, put in the place of the real ones."""

from consilience.keras_models import programs

PARTS = ("start", "weights", "dump", "load", "release")


class Killed(BaseException):
    pass


def before_each_chunk(monkeypatch, act):
    """Call ``act(recipe)`` before every chunk of every training from now on."""
    build = programs.trainer

    def trainer(recipe):
        real = build(recipe)

        class Watched:
            def run(self, state, chunk):
                act(recipe)
                return real.run(state, chunk)

        for name in PARTS:
            setattr(Watched, name, staticmethod(getattr(real, name)))
        return Watched()

    monkeypatch.setattr(programs, "trainer", trainer)


def killed_at(chunks, monkeypatch):
    """Make the training of the next fit die before its chunk number ``chunks``, counted from 0."""
    left = [chunks]

    def act(recipe):
        left[0] -= 1
        if left[0] < 0:
            raise Killed

    before_each_chunk(monkeypatch, act)


def counted(monkeypatch):
    """The recipes of the chunks that run from now on, in a list that grows."""
    seen = []
    before_each_chunk(monkeypatch, seen.append)
    return seen
