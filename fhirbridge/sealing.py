"""Sealing what must not lie in the database readably: hospital numbers and messages, under keys kept outside it.

Fernet (https://github.com/fernet/spec: AES-128-CBC with HMAC-SHA-256) seals; the first key seals and all of them open,
so that a key is rotated by writing a new one above the old. What a seal is about is bound inside it: bytes moved to
another row do not open there.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fhirbridge.errors import ConfigurationError, StoreError

_KEY_BYTES = 32
_ENDS_ABOUT = b"\0"


class Seal:
    """Seals and opens under these keys (32 bytes each), the newest first."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) < _KEY_BYTES for key in keys):
            raise ConfigurationError(f"a linking key has fewer than {_KEY_BYTES} bytes. {_MAKE_ONE}")
        self._fernets = [Fernet(base64.urlsafe_b64encode(_derived(key, b"seal"))) for key in keys]
        self._all = MultiFernet(self._fernets)
        self._digest_keys = [_derived(key, b"lookup") for key in keys]

    def seal(self, content: bytes, about: str) -> bytes:
        """Return the content sealed; ``about`` (no U+0000 in it) says what it belongs to."""
        return self._all.encrypt(about.encode() + _ENDS_ABOUT + content)

    def open(self, sealed: bytes, about: str) -> bytes:
        """Return what was sealed. Raises ConfigurationError without the key, StoreError where it is about another."""
        try:
            bound, _, content = self._all.decrypt(sealed).partition(_ENDS_ABOUT)
        except InvalidToken:
            raise ConfigurationError(
                "what is sealed in the store does not open with the linking key. Use the key file that it was sealed "
                "with, or put that key's line below the new one."
            ) from None
        if not hmac.compare_digest(bound, about.encode()):
            raise StoreError(
                "sealed bytes in the store lie in a row that they were not made for: the database was tampered with or "
                "restored in parts. Restore it whole, or import the enrolment log again."
            )
        return content

    def is_newest(self, sealed: bytes) -> bool:
        """Say whether it was sealed with the newest key, so that older ones are not needed for it."""
        try:
            self._fernets[0].decrypt(sealed)
        except InvalidToken:
            return False
        return True

    def lookup(self, text: str) -> str:
        """Return the digest under which a text is found without being readable, by the newest key."""
        return self.lookups(text)[0]

    def lookups(self, text: str) -> tuple[str, ...]:
        """Return the digests of a text by every key, the newest first: what rows of any age may be found under."""
        return tuple(hmac.new(key, text.encode(), hashlib.sha256).hexdigest() for key in self._digest_keys)


def new_key(path: Path) -> None:
    """Write a fresh random key to ``path``, readable by its owner alone. Never overwrites an existing file."""
    try:
        with open(path, "x", encoding="ascii", opener=_private) as file:
            file.write(secrets.token_hex(_KEY_BYTES) + "\n")
    except FileExistsError:
        raise ConfigurationError(
            f"{path} exists already, and nothing sealed with the key in it would open without it. Choose another file; "
            "to rotate, put the new file's line above the old one."
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written ({error.strerror}).") from None


def read_keys(held: bytes, path: Path) -> tuple[bytes, ...]:
    """Return the keys of a key file's content, one in each line. Raises ConfigurationError without showing them."""
    try:
        keys = tuple(bytes.fromhex(line.strip()) for line in held.decode("ascii").splitlines() if line.strip())
    except ValueError:
        keys = ()
    if not keys:
        raise ConfigurationError(f"linking_key: {path} does not hold lines of hexadecimal digits. {_MAKE_ONE}")
    return keys


_MAKE_ONE = "Make one with `fhirbridge linking key FILE`."


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _derived(key: bytes, purpose: bytes) -> bytes:
    """Return a key for one purpose, from which neither the others nor the first one follow (RFC 5869)."""
    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=b"fhirbridge linking " + purpose).derive(key)
