"""Access tokens: short statements of ours about a client, signed with a key that only this service has.

A token says all that a request needs (RFC 9068), so that none has to be looked up. Signed with ES384; the algorithm is
ours to choose, so what a token's header says of it is compared, not followed.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.exceptions import PyJWTError

from fhirbridge.api import scopes
from fhirbridge.api.scopes import Scope
from fhirbridge.errors import ConfigurationError
from fhirbridge.hospital import secret_files

SETTING = "api_signing_key"
ALGORITHM = "ES384"
TYPE = "at+jwt"
LONGEST_SECONDS = 3_600
"""A longer life than an hour is not to be had by any setting (SMART: five minutes or less is well)."""
LONGEST = 8_192
"""Characters of a token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What an access token says: for which client, under which agreement, what, and until when."""

    id: str
    client: str
    agreement: str
    scopes: tuple[Scope, ...]
    expires: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenMaker:
    """Makes and reads the tokens of one service, known by the base URL of its API (``issuer``)."""

    key: ec.EllipticCurvePrivateKey = field(repr=False)
    issuer: str
    now: Callable[[], dt.datetime]
    new_id: Callable[[], str] = lambda: secrets.token_urlsafe(16)

    @property
    def key_id(self) -> str:
        """The id of the key: a digest of its public half."""
        public = self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return hashlib.sha256(public).hexdigest()[:16]

    def make(self, client: str, agreement: str, granted: tuple[Scope, ...], seconds: float) -> tuple[str, Token]:
        """Return a fresh token as it is sent, and what it says."""
        begins = int(self.now().timestamp())
        ends = begins + int(min(seconds, LONGEST_SECONDS))
        token = Token(id=self.new_id(), client=client, agreement=agreement, scopes=granted, expires=float(ends))
        said = {
            "iss": self.issuer,
            "aud": self.issuer,
            "sub": client,
            "client_id": client,
            "agreement": agreement,
            "scope": scopes.written(granted),
            "jti": token.id,
            "iat": begins,
            "exp": ends,
        }
        return jwt.encode(said, self.key, ALGORITHM, {"typ": TYPE, "kid": self.key_id}), token

    def reader(self) -> Callable[[str], Token | None]:
        """Return what reads tokens: None for all that is not a token of this service, whole and not expired."""
        key, key_id = self.key.public_key(), self.key_id

        def read(text: str) -> Token | None:
            try:
                header = jwt.get_unverified_header(text) if len(text) <= LONGEST else {}
                if (header.get("typ"), header.get("kid"), header.get("alg")) != (TYPE, key_id, ALGORITHM):
                    return None
                said = jwt.decode(
                    text,
                    key,
                    algorithms=[ALGORITHM],
                    audience=self.issuer,
                    issuer=self.issuer,
                    options={"verify_exp": False, "verify_iat": False, "require": ["exp", "jti", "sub", "agreement"]},
                )
            except (PyJWTError, ValueError):
                return None
            return Token(
                id=said["jti"],
                client=said["sub"],
                agreement=said["agreement"],
                scopes=scopes.read_back(said["scope"]),
                expires=float(said["exp"]),
            )

        return read


def new_key(path: Path) -> None:
    """Write a fresh key to ``path``, readable by its owner alone. Never overwrites an existing file."""
    pem = ec.generate_private_key(ec.SECP384R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        with open(path, "xb", opener=_private) as file:
            file.write(pem)
    except FileExistsError:
        raise ConfigurationError(
            f"{path} exists already. Choose another file; to replace a key, move the old one away: tokens that it "
            "signed then count no more."
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written ({error.strerror}).") from None


def read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Read a key that ``new_key`` wrote. Raises ConfigurationError, which never quotes the file."""
    held = secret_files.read_bytes(path, SETTING)
    try:
        key = serialization.load_pem_private_key(held, password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp384r1":
        raise ConfigurationError(
            f"{SETTING}: {path} holds no key on the curve P-384 in PEM form, without a password. Make one with "
            "`fhirbridge registry key FILE`."
        )
    return key


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
