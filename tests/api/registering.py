"""A registry's side of the token endpoint: keys, statements, and a service that knows one client, on a set clock."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import itertools
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from flask import Response, request
from flask.blueprints import Blueprint
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from werkzeug.test import TestResponse

from fhirbridge.api import create_app
from fhirbridge.api.access_tokens import new_key
from fhirbridge.api.assertions import ASSERTION_TYPE
from fhirbridge.api.authorising import Access, Interaction
from fhirbridge.api.door import Door, door
from fhirbridge.api.smart import smart
from fhirbridge.audit.event import SignIn
from fhirbridge.settings import Settings
from fhirbridge.store import Store

BASE = "https://fhir.trial.example/fhir"
TOKEN_URL = f"{BASE}/auth/token"
TYPES = frozenset({"Patient", "Observation", "ResearchSubject"})
START = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP384R1())
STRANGE_KEY = ec.generate_private_key(ec.SECP384R1())

_numbers = itertools.count()


@dataclass
class Clock:
    """A clock that stands until a test turns it; both what the time is and a count of seconds."""

    at: dt.datetime = START

    def now(self) -> dt.datetime:
        return self.at

    def seconds(self) -> float:
        return (self.at - START).total_seconds()

    def turn(self, seconds: float) -> None:
        self.at += dt.timedelta(seconds=seconds)


@dataclass
class Contract:
    """A data-use agreement, as far as tokens need one."""

    id: str
    types: Collection[str] = TYPES
    scopes: tuple[str, ...] = ("system/*.rs",)
    ended: bool = False

    def holds(self, now: dt.datetime) -> bool:
        return not self.ended


def public_jwk(key: Any, kid: str, **members: Any) -> dict[str, Any]:
    """Return the public half of a key as a JWK."""
    algorithm = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    made = {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, **members}
    return {name: value for name, value in made.items() if name != "key_ops" or name in members}


def jwks(*keys: Mapping[str, Any]) -> str:
    return json.dumps({"keys": list(keys)})


def public_pem(key: Any) -> bytes:
    return bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


@dataclass
class Service:
    """The API with its door, a route that says what a token may, and a client for both."""

    store: Store
    folder: Path
    clock: Clock = field(default_factory=Clock)
    given: dict[str, Any] = field(default_factory=dict)
    base: str = BASE
    access: Access | None = None

    def __post_init__(self) -> None:
        self.contracts = {"A1": Contract("A1"), "A2": Contract("A2")}
        self.heard: list[SignIn] = []
        key = self.folder / "api.key"
        if not key.exists():
            new_key(key)
        settings = Settings(api_url=self.base, api_signing_key=key, **self.given)
        self.door: Door = door(
            settings, lambda: self.store.clients, self.contracts.get, now=self.clock.now, clock=self.clock.seconds
        )
        routes = (smart(self.door.endpoint, TYPES, self.heard.append), self._asking())
        self.http = create_app(lambda: self.store, also=routes).test_client()

    def _asking(self) -> Blueprint:
        routes = Blueprint("asking", __name__)

        @routes.get("/asked/<type>/<interaction>")
        def asked(type: str, interaction: Interaction) -> Response:
            self.access = self.door.authoriser.authorise(request)
            self.access.require(interaction, type)
            return Response("served")

        @routes.get("/asked-of/<agreement>")
        def of(agreement: str) -> Response:
            self.door.authoriser.authorise(request).require_own(agreement)
            return Response("served")

        return routes

    def register(self, id: str = "c1", *, agreement: str = "A1", scopes: str = "system/*.rs", **keys: Any) -> str:
        """Register a client, with both kinds of key if none is given."""
        given = {"jwks": None, "jwks_uri": None, **keys}
        if not keys:
            given["jwks"] = jwks(public_jwk(RSA_KEY, "rsa"), public_jwk(EC_KEY, "ec"))
        self.store.clients.add(id, id, agreement=agreement, scopes=scopes, by="ann", **given)
        return id

    def claims(self, client: str = "c1", **changed: Any) -> dict[str, Any]:
        """Return what a statement says; a member changed to None is left out."""
        said = {
            "iss": client,
            "sub": client,
            "aud": f"{self.base}/auth/token",
            "exp": int(self.clock.now().timestamp()) + 240,
            "jti": f"jti-{next(_numbers)}",
        }
        return {name: value for name, value in (said | changed).items() if value is not None}

    def statement(
        self, client: str = "c1", *, key: Any = EC_KEY, alg: str = "ES384", header: Any = None, **changed: Any
    ) -> str:
        kid = "rsa" if isinstance(key, rsa.RSAPrivateKey) else "ec"
        return jwt.encode(self.claims(client, **changed), key, alg, {"kid": kid, **(header or {})})

    def ask(self, statement: str | None = None, *, scope: str | None = "system/*.read", **changed: Any) -> TestResponse:
        """Ask for a token with a statement; a field changed to None is left out, one that is a list comes often."""
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": statement or self.statement(),
            "scope": scope,
        } | changed
        return self.http.post("/fhir/auth/token", data={name: one for name, one in form.items() if one is not None})

    def token(self, client: str = "c1", scope: str = "system/*.read") -> str:
        answer = self.ask(self.statement(client), scope=scope)
        assert answer.status_code == 200, answer.text
        assert answer.json is not None
        return str(answer.json["access_token"])

    def use(self, token: str | None, path: str = "/Observation/search_type") -> TestResponse:
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        return self.http.get(f"/asked{path}", headers=headers)


def refusal(answer: TestResponse) -> tuple[int, str]:
    """Return status and error of a refused request for a token, whose form is checked."""
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.content_type == "application/json"
    assert answer.json is not None
    assert set(answer.json) == {"error", "error_description"}
    return answer.status_code, answer.json["error"]


def encoded(value: Any) -> str:
    held = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(held).rstrip(b"=").decode()


def hs256(header: dict[str, Any], claims: dict[str, Any], secret: bytes) -> str:
    """Sign as PyJWT refuses to: with a public key taken for a shared secret."""
    signed = f"{encoded(header)}.{encoded(claims)}"
    return f"{signed}.{encoded(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"
