"""Ed25519 signatures on versions: who vouches for this model under this name and number.

What is signed is a statement of the version's name, number and content digest and of a hash of its record (contract,
metrics, verdicts, lineage), so that neither the model nor what is claimed of it can be exchanged. A registry that
trusts certain keys loads nothing without a valid signature by one of them.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from consilience.base import MissingDependency
from consilience.base.state import canonical_json
from consilience.registry.errors import Refused, RegistryError
from consilience.registry.metadata import RECORD
from consilience.registry.version import Version

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def statement(version: Version) -> bytes:
    """The bytes that a signature of this version signs."""
    record = canonical_json({name: getattr(version, name) for name in RECORD} | {"changelog": list(version.changelog)})
    content = {
        "consilience": "version",
        "name": version.name,
        "number": version.number,
        "digest": version.digest,
        "record": hashlib.sha256(record.encode()).hexdigest(),
    }
    return canonical_json(content).encode()


def new_key(path: Path) -> str:
    """Write a new private key to a file that only its owner can read; gives the public key, 64 hexadecimal digits."""
    key = _library().generate()
    data = key.private_bytes_raw().hex().encode() + b"\n"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    return str(key.public_key().public_bytes_raw().hex())


def read_key(path: str | Path) -> "Ed25519PrivateKey":
    """A private key from a file of ``new_key``."""
    try:
        return _library().from_private_bytes(bytes.fromhex(Path(path).read_text().strip()))
    except (OSError, ValueError) as error:
        raise RegistryError(
            f"{path} holds no private key; make one with `consilience sign --new-key {path}`."
        ) from error


def sign(version: Version, key: "Ed25519PrivateKey") -> tuple[str, str]:
    """(public key, signature), both hexadecimal."""
    return key.public_key().public_bytes_raw().hex(), key.sign(statement(version)).hex()


def is_valid(version: Version, public: str, signature: str) -> bool:
    """Whether this key signed this version as it now is."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(bytes.fromhex(signature), statement(version))
    except (InvalidSignature, ValueError):
        return False
    return True


def check_trusted(version: Version, signatures: dict[str, str], trusted: list[str]) -> None:
    """Refuse a version that no trusted key has signed as it is."""
    if not trusted:
        return
    _library()
    if not any(key in signatures and is_valid(version, key, signatures[key]) for key in trusted):
        state = "its signatures are invalid or by others" if signatures else "it has no signature"
        raise Refused(
            f"This registry requires a trusted signature, and {version.ref} has none: {state}. Sign it with "
            f"`consilience sign {version.ref} --key FILE`."
        )


def check_public(keys: list[str]) -> list[str]:
    """Public keys as 64 hexadecimal digits."""
    for key in keys:
        if len(key) != 64 or any(c not in "0123456789abcdef" for c in key):
            raise RegistryError(f"A public key is 64 hexadecimal digits; got {key!r:.80}.")
    return keys


def read_trusted(setting: str | None) -> list[str]:
    """The trusted keys from the registry's setting."""
    return check_public([str(key) for key in json.loads(setting)]) if setting else []


def _library() -> "type[Ed25519PrivateKey]":
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError as error:
        raise MissingDependency("Signatures need the 'sign' extra: pip install 'consilience[sign]'.") from error
    return Ed25519PrivateKey
