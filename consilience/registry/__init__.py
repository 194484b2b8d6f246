"""Versions of models, kept so that none is lost, none is changed and nothing stored is ever executed.

Three things are kept apart. A *version* (``spx-direction==1.2.0``) is immutable: its model is a set of plain arrays
and JSON in a folder named by the digest of its content. Its *stage* (development, staging, production, deprecated,
archived) says what it is approved for. *Pointers* (``production``, ``candidate``, ``previous``, your own) say what is
in use; they move by compare-and-swap, and their history answers "what was in production then?". A rollback moves one
pointer.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from consilience.registry.errors import (
        Conflict,
        DamagedArtifact,
        InvalidName,
        Refused,
        RegistryError,
        StorageFailed,
        VersionNotFound,
    )
    from consilience.registry.store import Registry
    from consilience.registry.version import Version

_WHERE = {
    "Registry": "store",
    "Version": "version",
    **dict.fromkeys(
        ("Conflict", "DamagedArtifact", "InvalidName", "Refused", "RegistryError", "StorageFailed", "VersionNotFound"),
        "errors",
    ),
}

__all__ = [
    "Conflict",
    "DamagedArtifact",
    "InvalidName",
    "Refused",
    "Registry",
    "RegistryError",
    "StorageFailed",
    "Version",
    "VersionNotFound",
]


def __getattr__(name: str) -> Any:
    """Import SQLAlchemy only when a registry is opened."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
