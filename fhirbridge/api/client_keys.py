"""Clients' public keys: checked when they are registered, and found by their ids when a signature is to be checked.

Source: http://hl7.org/fhir/smart-app-launch/client-confidential-asymmetric.html and RFC 7517. Keys come from what was
registered and from nowhere else: an address or a key in a statement's own header is not even looked at.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

from fhirbridge import fhirjson
from fhirbridge.api.fetching import Fetcher, FetchError
from fhirbridge.errors import InputError
from fhirbridge.store.clients import Client

ALGORITHMS: Mapping[str, tuple[str, str | None]] = {"RS384": ("RSA", None), "ES384": ("EC", "P-384")}
"""The algorithms that SMART asks of every server, each with its keys' type and curve; there are no others."""

LEAST_RSA_BITS = 2048
MOST_RSA_BITS = 8192
"""A longer key would let a stranger have us calculate for long."""
MOST_KEYS = 50
FRESH_SECONDS = 300.0
"""How long fetched keys are used, so that one taken out of a file counts no longer than that."""
REST_SECONDS = 30.0
"""How long after a fetch there is no other, although keys failed or one was not among them."""

PublicKey = RSAPublicKey | EllipticCurvePublicKey


class KeysError(ValueError):
    """A JWKS that cannot be used; the text says what is wrong with it."""


class Keys(Protocol):
    """Where the public keys of a client are to be had."""

    def of(self, client: Client, kid: str, algorithm: str) -> list[PublicKey]:
        """Return its keys with this id for this algorithm. Raises FetchError if they cannot be had."""


@dataclass(slots=True)
class _Fetched:
    """What an address gave last: keys, or why not; ``at`` is in the seconds of the clock."""

    lock: threading.Lock
    at: float | None = None
    keys: list[dict[str, Any]] | None = None
    failure: str = ""


class ClientKeys:
    """Keys as registered, or fetched from the registered address and kept for a while. ``clock`` gives seconds."""

    def __init__(self, fetcher: Fetcher, clock: Callable[[], float]) -> None:
        self._fetcher = fetcher
        self._clock = clock
        self._fetched: dict[tuple[str, str], _Fetched] = {}
        self._lock = threading.Lock()

    def of(self, client: Client, kid: str, algorithm: str) -> list[PublicKey]:
        """Return a client's keys with this id for this algorithm, none where it has none.

        An id that is not known may be of a new key: the address is asked anew, though not more than twice a minute.
        Raises FetchError.
        """
        if client.jwks is not None:
            return _usable(read(client.jwks), kid, algorithm)
        uri = str(client.jwks_uri)
        with self._lock:
            known = self._fetched.setdefault((client.id, uri), _Fetched(threading.Lock()))
        with known.lock:  # one asks, the others wait for what it gets
            age = self._clock() - known.at if known.at is not None else None
            if age is None or age >= FRESH_SECONDS or (known.keys is None and age >= REST_SECONDS):
                self._fetch(known, uri)
                age = 0.0
            found = _usable(known.keys or [], kid, algorithm)
            if not found and known.keys is not None and age >= REST_SECONDS:
                self._fetch(known, uri)
                found = _usable(known.keys or [], kid, algorithm)
            if known.keys is None:
                raise FetchError(known.failure)
            return found

    def _fetch(self, known: _Fetched, uri: str) -> None:
        try:
            known.keys, known.failure = read(self._fetcher.fetch(uri)), ""
        except (FetchError, KeysError) as error:
            known.keys, known.failure = None, str(error)
        known.at = self._clock()


def read(text: str | bytes) -> list[dict[str, Any]]:
    """Return the keys of a JWKS. Raises KeysError for what is none, or holds something that should be secret."""
    try:
        held = fhirjson.loads(text)
    except InputError:
        raise KeysError("the JWKS is not JSON.") from None
    keys = held.get("keys") if isinstance(held, dict) else None
    if not isinstance(keys, list) or not all(isinstance(one, dict) for one in keys) or len(keys) > MOST_KEYS:
        raise KeysError(f'the JWKS is not an object with "keys", a list of at most {MOST_KEYS} keys.')
    if any("d" in one or one.get("kty") == "oct" for one in keys):
        raise KeysError("the JWKS holds a private or shared key. Register public keys; take that one for lost.")
    return keys


def checked(text: str | bytes) -> list[str]:
    """Return the ids of the keys of a JWKS that can be used. Raises KeysError if none can, saying what is missing."""
    keys = read(text)
    found = [
        str(one["kid"])
        for one in keys
        if isinstance(one.get("kid"), str) and any(_usable([one], one["kid"], algorithm) for algorithm in ALGORITHMS)
    ]
    if not found:
        raise KeysError(
            'no key of the JWKS can be used. One needs a "kid", is RSA of 2048 bits or more (RS384) or on the '
            'curve P-384 (ES384), and is for signatures ("use" absent or "sig").'
        )
    return found


def _usable(keys: list[dict[str, Any]], kid: str, algorithm: str) -> list[PublicKey]:
    found = [_public(one, algorithm) for one in keys if one.get("kid") == kid and _fits(one, algorithm)]
    return [key for key in found if key is not None][:4]


def _fits(jwk: dict[str, Any], algorithm: str) -> bool:
    kind, curve = ALGORITHMS[algorithm]
    operations = jwk.get("key_ops", ["verify"])
    return (
        jwk.get("kty") == kind
        and jwk.get("crv") == curve
        and jwk.get("alg", algorithm) == algorithm
        and jwk.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
    )


def _public(jwk: dict[str, Any], algorithm: str) -> PublicKey | None:
    try:
        key = RSAAlgorithm.from_jwk(jwk) if algorithm == "RS384" else ECAlgorithm.from_jwk(jwk)
    except (PyJWTError, ValueError, TypeError, KeyError):
        return None
    if isinstance(key, RSAPublicKey):
        return key if LEAST_RSA_BITS <= key.key_size <= MOST_RSA_BITS else None
    return key if isinstance(key, EllipticCurvePublicKey) else None
