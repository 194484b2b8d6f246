"""Which versions to keep: small policies, of which any one keeps a version."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from consilience.base import invalid
from consilience.registry import clock
from consilience.registry.comparing import metric
from consilience.registry.version import Version


class Policy(Protocol):
    """Decides for the versions of one name, the highest number first."""

    def keep(self, versions: Sequence[Version]) -> set[str]: ...


@dataclass(frozen=True)
class KeepLatest:
    """The n highest numbers of each name."""

    n: int

    def keep(self, versions: Sequence[Version]) -> set[str]:
        return {version.ref for version in versions[: self.n]}


@dataclass(frozen=True)
class KeepBest:
    """The n best of each name by a metric (dotted name); versions without it do not count."""

    metric: str
    n: int = 1
    lowest: bool = False

    def keep(self, versions: Sequence[Version]) -> set[str]:
        scored = [(value, version.ref) for version in versions if (value := metric(version, self.metric)) is not None]
        scored.sort(key=lambda pair: pair[0], reverse=not self.lowest)
        return {ref for _, ref in scored[: self.n]}


@dataclass(frozen=True)
class KeepStages:
    """Versions of certain stages."""

    stages: tuple[str, ...] = ("staging", "production")

    def keep(self, versions: Sequence[Version]) -> set[str]:
        return {version.ref for version in versions if version.stage in self.stages}


@dataclass(frozen=True)
class KeepNewer:
    """Versions younger than an age (seconds, or text such as ``"30d"``)."""

    age: float | str

    def keep(self, versions: Sequence[Version]) -> set[str]:
        since = clock.now(-seconds(self.age))
        return {version.ref for version in versions if version.created >= since}


_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def seconds(span: float | str) -> float:
    """A span in seconds.

    >>> seconds("2d") == seconds(172800)
    True
    """
    try:
        if isinstance(span, str) and span[-1:].lower() in _UNITS:
            value = float(span[:-1]) * _UNITS[span[-1].lower()]
        else:
            value = float(span)
    except (TypeError, ValueError):
        value = -1.0
    if not 0 <= value < 1e11:
        raise invalid("age", "gc", "seconds >= 0, or text such as 30s, 10m, 12h, 7d, 2w", span)
    return value
