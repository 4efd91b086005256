"""Who asks for a token: the signed statement of a client (private_key_jwt), taken apart and held to every rule.

Source: http://hl7.org/fhir/smart-app-launch/client-confidential-asymmetric.html, RFC 7523 (3), RFC 8725. What can be
told from the outside (form, algorithm) is told plainly; whether a client is known, and what its keys are, is not.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import math
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import jwt
from jwt.exceptions import PyJWTError

from fhirbridge import fhirjson
from fhirbridge.api.client_keys import ALGORITHMS, Keys
from fhirbridge.api.fetching import FetchError
from fhirbridge.errors import InputError
from fhirbridge.store.clients import Client, Clients

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LONGEST = 8_192
"""Characters of a statement; one with a 4096-bit signature has some 1,200."""
AHEAD = 300.0
"""Seconds from now by which a statement must have expired."""
SKEW = 30.0
"""Seconds by which a client's clock may be ahead of ours; one that is behind has five minutes anyway."""

_CLIENT_ID = re.compile(r"[A-Za-z0-9._~-]{1,100}", re.ASCII)
_UNKNOWN = "no client that is registered here signed this with a key of its own."


class AssertionRefused(Exception):
    """A statement that proves nothing; the text says which rule it breaks. ``client`` is whom it claims to be of."""

    def __init__(self, message: str, client: str = "") -> None:
        super().__init__(message)
        self.client = client


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement taken apart, nothing of it believed yet."""

    text: str
    algorithm: str
    key_id: str
    client: str
    claims: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Doorkeeper:
    """Lets clients in by their statements. ``audiences`` are the token endpoint's exact addresses."""

    clients: Callable[[], Clients]
    keys: Keys
    audiences: Collection[str]
    now: Callable[[], dt.datetime]

    def let_in(self, statement: Statement) -> Client:
        """Return the client that made a statement, which from now on is used up. Raises AssertionRefused."""
        registered = self.clients()
        client = registered.get(statement.client)
        if client is None or client.revoked is not None or not self._signed(client, statement):
            raise AssertionRefused(_UNKNOWN, statement.client)
        expires = self._expires(statement)
        jti = statement.claims.get("jti")
        if not isinstance(jti, str) or not 0 < len(jti) <= 255 or not jti.isprintable():
            raise AssertionRefused("jti must be a text of 1 to 255 characters.", client.id)
        if not registered.use(client.id, jti, expires=expires):
            raise AssertionRefused("this statement was used before: each needs a jti of its own.", client.id)
        return client

    def _signed(self, client: Client, statement: Statement) -> bool:
        try:
            keys = self.keys.of(client, statement.key_id, statement.algorithm)
        except FetchError as error:
            raise AssertionRefused(f"the keys of this client cannot be fetched: {error}", client.id) from None
        return any(_verified(statement, key) for key in keys)

    def _expires(self, statement: Statement) -> dt.datetime:
        """Hold audience and times to the rules; return when the statement expires, its seconds rounded up."""
        claims, now, who = statement.claims, self.now().timestamp(), statement.client
        audience = claims.get("aud")
        if isinstance(audience, list) and len(audience) == 1:
            (audience,) = audience
        if not isinstance(audience, str) or audience not in self.audiences:
            raise AssertionRefused(f"aud must be {' or '.join(sorted(self.audiences))}, exactly and alone.", who)
        ends = _seconds(claims, "exp", who)
        if ends is None:
            raise AssertionRefused("exp is missing: seconds since 1970, at most five minutes from now.", who)
        if ends <= now:
            raise AssertionRefused("the statement has expired (exp).", who)
        if ends > now + AHEAD + SKEW:
            raise AssertionRefused("exp is more than five minutes from now.", who)
        for name in ("nbf", "iat"):
            begins = _seconds(claims, name, who)
            if begins is not None and begins > now + SKEW:
                raise AssertionRefused(f"the statement is from the future ({name}). Set your clock right.", who)
        return dt.datetime.fromtimestamp(math.ceil(ends), dt.UTC)


def taken_apart(text: str, claimed: str | None) -> Statement:
    """Return a statement's parts; ``claimed`` is the form's client_id, if it has one. Raises AssertionRefused.

    Of the header ``alg`` and ``kid`` are used; ``jku``, ``x5u``, ``jwk`` and whatever else stands there is not.
    """
    if len(text) > LONGEST:
        raise AssertionRefused(f"client_assertion is longer than {LONGEST} characters.")
    parts = text.split(".")
    if len(parts) != 3:
        raise AssertionRefused("client_assertion is not a signed JWT: three parts with two dots between them.")
    header, claims = _object(parts[0], "header"), _object(parts[1], "payload")
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        named = f"alg {algorithm[:20]!r}" if isinstance(algorithm, str) and algorithm.isalnum() else "this alg"
        raise AssertionRefused(f"{named} is not taken: sign with {' or '.join(ALGORITHMS)}.")
    if "crit" in header or "b64" in header:
        raise AssertionRefused("crit and b64 are not supported in a statement's header.")
    if not isinstance(key_id, str) or not key_id:
        raise AssertionRefused("the header lacks kid, the id of the key that signed.")
    client = claims.get("iss")
    if not isinstance(client, str) or not _CLIENT_ID.fullmatch(client) or claims.get("sub") != client:
        raise AssertionRefused("iss and sub must both be the client's id.")
    if claimed is not None and claimed != client:
        raise AssertionRefused("client_id is another one than the statement's.", client)
    return Statement(text, algorithm, key_id, client, claims)


def _object(part: str, name: str) -> dict[str, Any]:
    try:
        decoded = base64.b64decode(part.encode("ascii") + b"=" * (-len(part) % 4), b"-_", validate=True)
        found = fhirjson.loads(decoded)
    except (UnicodeEncodeError, binascii.Error, InputError):
        found = None
    if not isinstance(found, dict) or fhirjson.repeats_keys(decoded, found):
        raise AssertionRefused(f"the {name} of client_assertion is not a JSON object in base64url.")
    return found


def _seconds(claims: dict[str, Any], name: str, who: str) -> float | None:
    if (said := claims.get(name)) is None:
        return None
    if isinstance(said, bool) or not isinstance(said, int | float | Decimal) or not 0 <= said <= 1e11:
        raise AssertionRefused(f"{name} must be seconds since 1970, as a number.", who)
    return float(said)


def _verified(statement: Statement, key: Any) -> bool:
    try:
        jwt.api_jws.decode(statement.text, key, algorithms=[statement.algorithm])
    except (PyJWTError, ValueError):
        return False
    return True
