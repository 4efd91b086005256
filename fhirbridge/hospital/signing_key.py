"""The private key that proves who we are to a token endpoint: read from a PEM, JWK or JWKS file."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

from fhirbridge.errors import ConfigurationError
from fhirbridge.hospital import secret_files

SETTING = "hospital_private_key"
LEAST_RSA_BITS = 2048


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key, the algorithm that goes with its type, and the id under which the server knows its public half."""

    key: RSAPrivateKey | EllipticCurvePrivateKey = field(repr=False)
    algorithm: str
    key_id: str


def read_signing_key(path: Path, key_id: str | None = None) -> SigningKey:
    """Read a key for RS384 or ES384, the two that every SMART server takes.

    The id is ``key_id``, else the JWK's ``kid``, else the key's thumbprint (RFC 7638). Of several keys in a JWKS the
    one called ``key_id`` is taken. Raises ConfigurationError, which never quotes the file.
    """
    held = secret_files.read_bytes(path, SETTING)
    if held.lstrip().startswith(b"{"):
        return _from_json(held, path, key_id)
    return _signing_key(_from_pem(held, path), path, key_id)


def _from_pem(held: bytes, path: Path) -> Any:
    try:
        return serialization.load_pem_private_key(held, password=None)
    except TypeError:
        raise ConfigurationError(f"{SETTING}: the key in {path} is encrypted. Give it without password.") from None
    except ValueError:
        only_public = b"PUBLIC KEY" in held or b"BEGIN CERTIFICATE" in held
        held_there = "only what is public of a key" if only_public else "no private key in PEM or JWK form"
        raise ConfigurationError(f"{SETTING}: {path} holds {held_there}.") from None


def _from_json(held: bytes, path: Path, key_id: str | None) -> SigningKey:
    try:
        parsed = json.loads(held)
    except ValueError:
        raise ConfigurationError(f"{SETTING}: {path} is neither PEM nor JSON.") from None
    jwk = _chosen(parsed["keys"], path, key_id) if isinstance(parsed.get("keys"), list) else parsed
    if "d" not in jwk:
        raise ConfigurationError(f"{SETTING}: the JWK in {path} holds only what is public of a key.")
    if jwk.get("kty") not in ("RSA", "EC"):
        raise ConfigurationError(f"{SETTING}: the JWK in {path} is neither of type RSA nor EC.")
    try:
        key = RSAAlgorithm.from_jwk(jwk) if jwk["kty"] == "RSA" else ECAlgorithm.from_jwk(jwk)
    except (PyJWTError, ValueError, KeyError, TypeError):
        raise ConfigurationError(f"{SETTING}: the JWK in {path} is not a whole key.") from None
    found = _signing_key(key, path, key_id or jwk.get("kid"))
    if jwk.get("alg", found.algorithm) != found.algorithm:
        raise ConfigurationError(
            f"{SETTING}: the JWK in {path} is meant for {jwk['alg']}; SMART Backend Services sign with RS384 or ES384."
        )
    return found


def _chosen(keys: list[Any], path: Path, key_id: str | None) -> dict[str, Any]:
    private = [key for key in keys if isinstance(key, dict) and "d" in key]
    if key_id is not None:
        private = [key for key in private if key.get("kid") == key_id]
    if len(private) != 1:
        named = f" called {key_id!r}" if key_id is not None else ""
        advice = "" if key_id is not None or not private else " Name one in hospital_key_id."
        raise ConfigurationError(f"{SETTING}: {path} holds {len(private)} private keys{named}, not one.{advice}")
    return private[0]


def _signing_key(key: Any, path: Path, key_id: str | None) -> SigningKey:
    if isinstance(key, RSAPrivateKey):
        if key.key_size < LEAST_RSA_BITS:
            raise ConfigurationError(f"{SETTING}: the RSA key in {path} has {key.key_size} bits; 2048 are needed.")
        public = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        return SigningKey(key, "RS384", key_id or _thumbprint(public, "e", "kty", "n"))
    if isinstance(key, EllipticCurvePrivateKey) and key.curve.name == "secp384r1":
        public = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        return SigningKey(key, "ES384", key_id or _thumbprint(public, "crv", "kty", "x", "y"))
    raise ConfigurationError(f"{SETTING}: the key in {path} is neither RSA (RS384) nor on the curve P-384 (ES384).")


def _thumbprint(public: dict[str, Any], *members: str) -> str:
    canonical = json.dumps({name: public[name] for name in members}, separators=(",", ":"), sort_keys=True)
    return base64.urlsafe_b64encode(hashlib.sha256(canonical.encode()).digest()).rstrip(b"=").decode()
