"""Names, version numbers and references: ``name``, ``name==1.0.0``, ``name@production``."""

import re
from dataclasses import dataclass

from consilience.registry.errors import InvalidName

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?")
_NUMBER = re.compile(r"(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FILE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,119}")

# Names that Windows gives to devices: a registry that was made on Linux must be movable.
_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{d}{i}" for d in ("com", "lpt") for i in range(10))})


@dataclass(frozen=True, order=True)
class Number:
    """A semantic version number.

    >>> Number.parse("1.2.3").bumped("minor")
    Number(major=1, minor=3, patch=0)
    """

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> "Number":
        found = _NUMBER.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise InvalidName(
                f"A version number has the form 1.0.0 (three numbers, no leading zeros); got {text!r:.80}."
            )
        return cls(*(int(part) for part in found.groups()))

    def bumped(self, level: str) -> "Number":
        if level == "major":
            return Number(self.major + 1, 0, 0)
        if level == "minor":
            return Number(self.major, self.minor + 1, 0)
        return Number(self.major, self.minor, self.patch + 1)

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


@dataclass(frozen=True)
class Ref:
    """A parsed reference; at most one of number and pointer is set, none means the newest version."""

    name: str
    number: Number | None = None
    pointer: str | None = None


def check_name(name: str, what: str = "name") -> str:
    """The name itself if it is safe as a folder, in a URL and on every file system; ASCII lower case only."""
    if not isinstance(name, str) or _NAME.fullmatch(name) is None or name in _DEVICES:
        raise InvalidName(
            f"A registry {what} must be 1 to 64 of a-z, 0-9, '-' and '_', begin and end with a letter or digit, and be "
            f"no device name; got {name!r:.80}."
        )
    return name


def check_digest(digest: object) -> str:
    """A SHA-256 in lower-case hexadecimal; anything else never becomes part of a path."""
    if not isinstance(digest, str) or _DIGEST.fullmatch(digest) is None:
        raise InvalidName(f"A digest is 64 hexadecimal digits; got {digest!r:.80}.")
    return digest


def check_file_name(name: object) -> str:
    """The name of a file that is kept beside a model; never a path, hidden, or a device."""
    if not isinstance(name, str) or _FILE.fullmatch(name) is None or name.split(".")[0].lower() in _DEVICES:
        raise InvalidName(
            "The name of a native file must be 1 to 120 of A-Z, a-z, 0-9, '.', '-' and '_', not begin with a dot, and "
            f"be no device name; got {name!r:.80}."
        )
    return name


def parse_ref(ref: str) -> Ref:
    """Read a reference.

    >>> parse_ref("spx-direction@production")
    Ref(name='spx-direction', number=None, pointer='production')
    """
    if not isinstance(ref, str):
        raise InvalidName(f"A reference is text such as 'name==1.0.0' or 'name@production'; got {ref!r:.80}.")
    if "==" in ref:
        name, number = ref.split("==", 1)
        return Ref(check_name(name), number=Number.parse(number))
    if "@" in ref:
        name, pointer = ref.split("@", 1)
        return Ref(check_name(name), pointer=check_name(pointer, "pointer"))
    return Ref(check_name(ref))
