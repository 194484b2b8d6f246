"""Errors that say what was required, what came, and what to do."""

import difflib
from collections.abc import Iterable


class ConsilienceError(Exception):
    """Every error that consilience raises on purpose; its text is one line that a user can act on."""


class InvalidInput(ConsilienceError, ValueError):
    """An argument, a data set or a configuration value that cannot be used."""


class InvalidState(ConsilienceError, ValueError):
    """A stored model that is damaged, hostile, or made by a release that this one does not understand."""


class MissingDependency(ConsilienceError, ImportError):
    """An optional package is not installed; the text names the extra that brings it."""


def invalid(parameter: str, owner: str, required: str, got: object, remedy: str = "") -> InvalidInput:
    """Build the one form of error message used everywhere.

    >>> raise invalid("n_neighbors", "Index", "an integer >= 1", 0)
    Traceback (most recent call last):
    ...
    consilience.base.errors.InvalidInput: The 'n_neighbors' parameter of Index must be an integer >= 1. Got 0 instead.
    """
    shown = repr(got)
    if len(shown) > 120:
        shown = shown[:117] + "..."
    text = f"The {parameter!r} parameter of {owner} must be {required}. Got {shown} instead."
    return InvalidInput(f"{text} {remedy}" if remedy else text)


def nearest(name: str, choices: Iterable[str]) -> str:
    """``" Did you mean 'x'?"`` for the choice nearest to a misspelt name, or an empty string.

    >>> nearest("n_estimater", ["n_estimators", "max_depth"])
    " Did you mean 'n_estimators'?"
    """
    found = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.5)
    return f" Did you mean {found[0]!r}?" if found else ""
