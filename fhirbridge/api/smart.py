"""SMART Backend Services, the server's side: where tokens are to be had, and the endpoint that gives them.

Source: http://hl7.org/fhir/smart-app-launch/backend-services.html, .../conformance.html, RFC 6749 (4.4, 5.1, 5.2).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from math import ceil
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Response, request
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import HTTPException

from fhirbridge import fhirjson
from fhirbridge.api import scopes
from fhirbridge.api.access_tokens import TokenMaker
from fhirbridge.api.assertions import ASSERTION_TYPE, AssertionRefused, Doorkeeper, taken_apart
from fhirbridge.api.authorising import Agreements
from fhirbridge.api.client_keys import ALGORITHMS
from fhirbridge.api.scopes import ScopeError
from fhirbridge.api.throttling import Throttle, neighbourhood
from fhirbridge.audit.event import SignIn
from fhirbridge.errors import StoreError

TOKEN_PATH = "/auth/token"  # noqa: S105  # an address
WELL_KNOWN = "/.well-known/smart-configuration"
LARGEST_FORM = 16_384
"""Bytes of a request for a token."""
_FORM = "application/x-www-form-urlencoded"
_UNSTORED = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class TokenRefused(Exception):
    """A request for a token that is not granted, in the words of RFC 6749 (5.2)."""

    def __init__(self, error: str, text: str, *, client: str = "", status: int = 400, wait: float = 0.0) -> None:
        super().__init__(text)
        self.error, self.client, self.status, self.wait = error, client, status, wait


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenEndpoint:
    """Gives tokens to clients that prove who they are; failures are bounded by address, and by client there."""

    doorkeeper: Doorkeeper
    maker: TokenMaker
    agreements: Agreements
    seconds: float
    now: Callable[[], dt.datetime]
    by_client: Throttle
    by_address: Throttle

    def grant(self, form: MultiDict[str, str], address: str) -> tuple[dict[str, Any], SignIn]:
        """Return the answer to a form (RFC 6749, 5.1), and what is to be kept of it. Raises TokenRefused."""
        where, client = neighbourhood(address), ""
        self._check_patience(self.by_address, where)
        try:
            fields = _fields(form)
            statement = taken_apart(fields["client_assertion"], fields.get("client_id"))
            client = statement.client
            self._check_patience(self.by_client, (where, client), client)
            found = self.doorkeeper.let_in(statement)
        except (AssertionRefused, TokenRefused) as refused:
            if getattr(refused, "status", 400) != HTTPStatus.TOO_MANY_REQUESTS:
                self.by_address.failed(where)
                self.by_client.failed((where, client))
            if isinstance(refused, AssertionRefused):
                raise TokenRefused("invalid_client", str(refused), client=refused.client) from None
            raise
        return self._granted(found.id, found.agreement, found.scopes, fields.get("scope", ""), address)

    def _granted(
        self, client: str, agreement_id: str, registered: str, asked: str, address: str
    ) -> tuple[dict[str, Any], SignIn]:
        agreement = self.agreements(agreement_id)
        if agreement is None or not agreement.holds(self.now()):
            raise TokenRefused(
                "unauthorized_client", "the data-use agreement of this client is not in force.", client=client
            )
        try:
            granted = scopes.granted(asked, registered, agreement)
        except ScopeError as refused:
            raise TokenRefused("invalid_scope", str(refused), client=client) from None
        text, token = self.maker.make(client, agreement.id, granted, self.seconds)
        said = scopes.written(granted)
        lasts = int(token.expires - self.now().timestamp())
        answer = {"access_token": text, "token_type": "bearer", "expires_in": max(1, lasts), "scope": said}
        return answer, SignIn(
            address=address,
            client=client,
            agreement=agreement.id,
            token=token.id,
            scopes=said,
        )

    def _check_patience(self, throttle: Throttle, key: Hashable, client: str = "") -> None:
        if wait := throttle.wait(key):
            raise TokenRefused(
                "temporarily_unavailable",
                f"too many failures from this address. Try again in {ceil(wait)} seconds.",
                client=client,
                status=429,
                wait=wait,
            )


def smart(
    endpoint: TokenEndpoint, served: Collection[str], heard: Callable[[SignIn], None] = lambda _request: None
) -> Blueprint:
    """Return the routes of a service whose base URL is the issuer of ``endpoint``'s tokens.

    ``served`` are the resource types there are. ``heard`` is told who asked for a token before it is given or refused,
    but not of those who have to wait, so that nobody fills a disk by asking; a token that it cannot note
    (StoreError) is not given.
    """
    base = endpoint.maker.issuer
    path = urlsplit(base).path.rstrip("/")
    configuration = fhirjson.dumps(configured(base, served))
    routes = Blueprint("smart", __name__)

    def described() -> Response:
        return Response(configuration, content_type="application/json")

    for number, place in enumerate(dict.fromkeys([path, ""])):
        routes.add_url_rule(f"{place}{WELL_KNOWN}", f"configuration-{number}", described)

    @routes.post(f"{path}{TOKEN_PATH}")
    def token() -> Response:
        address = request.remote_addr or ""
        try:
            try:
                answer, kept = endpoint.grant(_form(), address)
            except TokenRefused as refused:
                if refused.status != HTTPStatus.TOO_MANY_REQUESTS:
                    heard(SignIn(address=address, client=refused.client, error=refused.error, reason=str(refused)))
                raise
            heard(kept)
        except TokenRefused as refused:
            return _refusal(refused)
        except StoreError:
            return _refusal(_unavailable())
        return Response(fhirjson.dumps(answer), content_type="application/json", headers=_UNSTORED)

    return routes


def configured(base: str, served: Collection[str]) -> dict[str, Any]:
    """Return the smart-configuration of a service at ``base``."""
    return {
        "issuer": base,
        "token_endpoint": base + TOKEN_PATH,
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "grant_types_supported": ["client_credentials"],
        "scopes_supported": [f"system/{type}.{right}" for type in ("*", *sorted(served)) for right in ("rs", "read")],
        "code_challenge_methods_supported": ["S256"],  # the specification wants it said, though nobody logs in here
        "capabilities": ["client-confidential-asymmetric", "permission-v1", "permission-v2"],
    }


def _form() -> MultiDict[str, str]:
    """Return the fields of the request's form. Raises TokenRefused for what is none, and for parameters in the URL."""
    if request.mimetype != _FORM:
        raise TokenRefused("invalid_request", f"send a form: Content-Type {_FORM}.")
    if request.query_string:
        raise TokenRefused("invalid_request", "the parameters belong in the body, where no log keeps them.")
    request.max_content_length = request.max_form_memory_size = LARGEST_FORM
    try:
        return request.form
    except HTTPException as error:
        text = f"the form cannot be read, or is larger than {LARGEST_FORM} bytes."
        raise TokenRefused("invalid_request", text, status=error.code or 400) from None


def _fields(form: MultiDict[str, str]) -> Mapping[str, str]:
    """Return the form's fields, each once (RFC 6749, 3.2). Raises TokenRefused."""
    for name, values in form.lists():
        if len(values) > 1:
            shown = name if name.isidentifier() and name.isascii() and len(name) < 40 else "a field"
            raise TokenRefused("invalid_request", f"{shown} is given {len(values)} times; give each field once.")
    fields = form.to_dict()
    if fields.get("grant_type") != "client_credentials":
        error = "unsupported_grant_type" if fields.get("grant_type") else "invalid_request"
        raise TokenRefused(error, "grant_type must be client_credentials.")
    if fields.get("client_assertion_type") != ASSERTION_TYPE or not fields.get("client_assertion"):
        error = "invalid_request" if "client_secret" not in fields else "invalid_client"
        raise TokenRefused(error, f"client_assertion_type must be {ASSERTION_TYPE}, with a client_assertion.")
    return fields


def _unavailable() -> TokenRefused:
    return TokenRefused("temporarily_unavailable", "the service cannot read or write its records.", status=503)


def _refusal(refused: TokenRefused) -> Response:
    said = {"error": refused.error, "error_description": _described(str(refused))}
    answer = Response(fhirjson.dumps(said), refused.status, content_type="application/json", headers=_UNSTORED)
    if refused.wait:
        answer.headers["Retry-After"] = str(ceil(refused.wait))
    return answer


def _described(text: str) -> str:
    """Return a text with the characters that error_description may have (RFC 6749, 5.2)."""
    return "".join(char if 0x20 <= ord(char) < 0x7F and char not in '"\\' else "'" for char in text)
