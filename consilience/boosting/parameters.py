"""Constructor parameters: unknown names are refused with the nearest right one, values by what they must be."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar, Self

from consilience.base import InvalidInput, invalid, nearest


@dataclass(frozen=True)
class Rule:
    """What a parameter must be, in words, and the test of it."""

    required: str
    holds: Callable[[Any], bool]


def integer(low: int, *, none: bool = False) -> Rule:
    """An integer that is at least ``low``."""
    words = f"an integer >= {low}" + (" or None" if none else "")
    return Rule(words, lambda v: (none and v is None) or (_is_integer(v) and v >= low))


def number(low: float, high: float = math.inf, *, above: bool = False, none: bool = False) -> Rule:
    """A finite number from ``low`` (left out where ``above``) to ``high``."""
    words = f"a number in {'(' if above else '['}{low:g}, {high:g}]" + (" or None" if none else "")

    def holds(value: Any) -> bool:
        if value is None:
            return none
        if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
            return False
        value = float(value)
        return (low < value if above else low <= value) and value <= high

    return Rule(words, holds)


def choice(*options: Any) -> Rule:
    """One of the options."""
    return Rule(
        f"one of {', '.join(map(repr, options))}",
        lambda v: any(v is o or (type(v) is type(o) and v == o) for o in options),
    )


def either(*rules: Rule) -> Rule:
    """What any one of the rules allows."""
    return Rule(" or ".join(rule.required for rule in rules), lambda v: any(rule.holds(v) for rule in rules))


SEED = Rule("an integer from 0 to 2**31 - 1", lambda v: _is_integer(v) and 0 <= v < 2**31)
THREADS = Rule(
    "a positive number of threads, -1 for all, or None", lambda v: v is None or (_is_integer(v) and (v == -1 or v >= 1))
)
CONSTRAINTS = Rule(
    "None, a dictionary from feature name to -1, 0 or 1, or a sequence of those",
    lambda v: v is None or isinstance(v, dict | list | tuple),
)
CLASS_WEIGHT = Rule(
    "None, 'balanced' or a dictionary from class to weight",
    lambda v: v is None or v == "balanced" or isinstance(v, dict),
)


def _is_integer(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


class CheckedParameters:
    """Mixin: parameters are checked when ``fit`` starts, against the rules of the class."""

    _rules: ClassVar[dict[str, Rule]]

    def __new__(cls, *args: Any, **parameters: Any) -> Self:
        known = cls._get_param_names()  # type: ignore[attr-defined]
        for name in parameters:
            if name not in known:
                raise TypeError(f"{cls.__name__} has no parameter {name!r}.{nearest(name, known)}")
        return super().__new__(cls)

    def set_params(self, **parameters: Any) -> Self:
        """Set parameters by name; an unknown one is refused with the nearest right one."""
        known = self._get_param_names()  # type: ignore[attr-defined]
        for name in parameters:
            if name not in known:
                raise InvalidInput(f"{type(self).__name__} has no parameter {name!r}.{nearest(name, known)}")
        return super().set_params(**parameters)  # type: ignore[misc]

    def _check_parameters(self) -> None:
        for name, rule in self._rules.items():
            value = getattr(self, name)
            if not rule.holds(value):
                raise invalid(name, type(self).__name__, rule.required, value)
