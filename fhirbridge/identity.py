"""Who is who: pseudonyms and logical ids as pure functions of business identifiers and one secret key.

The same record gives the same id on every machine and every run, so a resource is never created twice and a
reference can be written before its target is. Without the key nobody can go from an id back to a subject
number, nor guess one: subject numbers are few, so an unkeyed hash of them would be a lookup table.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from pathlib import Path

from fhirbridge.errors import ConfigurationError

_SEPARATOR = "\x1f"
_KEY_BYTES = 32


class Identity:
    """Pseudonyms and ids for one study under one key.

    ``study`` and every part may hold any text but U+001F. The digests are HMAC-SHA-256 cut to 160 bits and
    written in lower-case base32: 32 characters of ``[a-z2-7]``, which fits FHIR's id
    (http://hl7.org/fhir/R4/datatypes.html#id) with room for a prefix.
    """

    def __init__(self, key: bytes, study: str) -> None:
        if len(key) < _KEY_BYTES:
            raise ConfigurationError(
                f"the pseudonym key has {len(key)} bytes, at least {_KEY_BYTES} are needed. "
                "Make one with `fhirbridge key new FILE`."
            )
        self._key = key
        self.study = study

    def _digest(self, domain: str, *parts: str) -> str:
        message = _SEPARATOR.join((domain, self.study, *parts)).encode()
        mac = hmac.new(self._key, message, hashlib.sha256).digest()[:20]
        return base64.b32encode(mac).decode().lower()

    def pseudonym(self, subject: str) -> str:
        """Return the subject's pseudonym, the value of Patient.identifier (32 characters)."""
        return self._digest("pseudonym", subject)

    def id(self, resource_type: str, *business: str) -> str:
        """Return the logical id of the resource of this type that these business identifiers name."""
        return self._digest(f"id/{resource_type}", *business)

    def fingerprint(self) -> str:
        """Return what a store keeps to notice another key: it tells nothing of the key itself."""
        return self._digest("fingerprint")


def new_key(path: Path) -> None:
    """Write a fresh random key to ``path``, readable by its owner alone. Never overwrites an existing file."""
    try:
        with path.open("x", encoding="ascii") as file:
            path.chmod(0o600)
            file.write(secrets.token_hex(_KEY_BYTES) + "\n")
    except FileExistsError as error:
        raise ConfigurationError(
            f"{path} exists already. A new key gives every patient a new pseudonym: choose another file."
        ) from error


def read_key(path: Path) -> bytes:
    """Read a key that ``new_key`` wrote (hexadecimal digits). Raises ConfigurationError without showing it."""
    try:
        return bytes.fromhex(path.read_text(encoding="ascii").strip())
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"no pseudonym key at {path}. Make one with `fhirbridge key new {path}` and keep a copy in safety."
        ) from error
    except (ValueError, OSError) as error:
        raise ConfigurationError(f"the pseudonym key in {path} is not a line of hexadecimal digits.") from error
