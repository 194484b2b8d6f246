"""What can go wrong in a registry; every error is one line that says what to do next."""

from consilience.base import ConsilienceError, InvalidInput, InvalidState


class RegistryError(ConsilienceError):
    """The registry cannot do what was asked; nothing was changed."""


class VersionNotFound(RegistryError, LookupError):
    """No such name, version or pointer."""


class Refused(RegistryError):
    """A rule of the registry forbids it: a failed gate, a transition, a number too low, a missing signature."""


class Conflict(RegistryError):
    """Somebody else moved the pointer first; look again and decide again."""


class StorageFailed(RegistryError, OSError):
    """The disk, the database or the object store refused: full, read-only, unreachable."""


class DamagedArtifact(RegistryError, InvalidState):
    """Stored files do not match their manifest, or a manifest its digest; nothing of them was used."""


class InvalidName(RegistryError, InvalidInput):
    """A name or reference that could be mistaken for something else: a path, another name, a device."""
