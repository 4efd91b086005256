"""A registry's own names for things: ids, identifiers and each person's shift of days, by a key that it never sees.

Every name is HMAC-SHA-256 under a key that follows from the release key and the registry, so two registries that lay
their data side by side have no name in common, and none leads back to the store's.
"""

from __future__ import annotations

import base64
import hmac
from pathlib import Path

from fhirbridge.errors import ConfigurationError

_SEPARATOR = "\x1f"
_KEY_BYTES = 32


class Pseudonyms:
    """The pseudonyms of one registry: 32 characters of ``[a-z2-7]``, which fits FHIR's id."""

    def __init__(self, key: bytes, registry: str) -> None:
        if len(key) < _KEY_BYTES:
            raise ConfigurationError(f"the release key has fewer than {_KEY_BYTES} bytes. {_MAKE_ONE}")
        self._key = hmac.digest(key, f"fhirbridge release{_SEPARATOR}{registry}".encode(), "sha256")

    def _digest(self, *parts: str) -> bytes:
        return hmac.digest(self._key, _SEPARATOR.join(parts).encode("utf-8", "surrogatepass"), "sha256")

    def id(self, resource_type: str, id: str) -> str:
        """Return what the registry knows the resource of this id by."""
        return _written(self._digest("id", resource_type, id))

    def identifier(self, system: str, value: str) -> str:
        """Return the value that the registry sees of an identifier."""
        return _written(self._digest("identifier", system, value))

    def days(self, patient: str, bound: int) -> int:
        """Return the shift of the person with this Patient id: from 1 to ``bound`` days forth or back, never 0."""
        if bound <= 0:
            return 0
        drawn = int.from_bytes(self._digest("shift", patient)) % (2 * bound)
        return drawn - bound if drawn < bound else drawn - bound + 1


def read_key(held: bytes, path: Path, setting: str = "release_key") -> bytes:
    """Return the key of a key file's content (hexadecimal digits). Raises ConfigurationError without showing it."""
    try:
        key = bytes.fromhex(held.decode("ascii").strip())
    except ValueError:
        key = b""
    if len(key) < _KEY_BYTES:
        raise ConfigurationError(f"{setting}: {path} holds no line of {2 * _KEY_BYTES} hexadecimal digits. {_MAKE_ONE}")
    return key


def _written(digest: bytes) -> str:
    return base64.b32encode(digest[:20]).decode().lower()


_MAKE_ONE = "Make one with `fhirbridge key new FILE`, for nothing else."
