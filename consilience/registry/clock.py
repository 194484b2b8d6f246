"""Times as the registry keeps them: UTC, to the microsecond, as text that sorts in time order."""

import getpass
from datetime import UTC, datetime, timedelta

from consilience.registry.errors import RegistryError


def now(ahead_seconds: float = 0.0) -> str:
    """The current time, or one that many seconds away."""
    return stamp(datetime.now(UTC) + timedelta(seconds=ahead_seconds))


def stamp(time: datetime) -> str:
    """A time as text; one without a time zone is taken as UTC."""
    time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def read_time(value: str | datetime) -> str:
    """A user's time (datetime, or ISO text such as 2026-01-31) as text of the registry.

    >>> read_time("2026-01-31")
    '2026-01-31T00:00:00.000000Z'
    """
    if isinstance(value, datetime):
        return stamp(value)
    try:
        return stamp(datetime.fromisoformat(value))
    except (TypeError, ValueError) as error:
        raise RegistryError(f"A time is a datetime or text such as 2026-01-31T12:00; got {value!r:.60}.") from error


def user() -> str:
    """Who is doing this, for the record."""
    try:
        return getpass.getuser()[:128]
    except (OSError, KeyError):
        return "unknown"
