"""Who asks, and what they may: from the access token of a request to the client, its agreement and its scopes.

A token that was checked once is known again by its digest until it expires; what is looked up is only which clients and
tokens were revoked, once a second. Source: RFC 6750.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Forbidden, NotFound, Unauthorized
from werkzeug.wrappers import Request

from fhirbridge.api.access_tokens import Token
from fhirbridge.api.scopes import Scope, reach, rights
from fhirbridge.store.clients import Clients, InForce

REALM = "fhirbridge"
REVOCATION_SECONDS = 1.0
"""How long what was read of revocations is believed."""
MOST_TOKENS = 4_096

Interaction = Literal[
    "read", "vread", "history_instance", "history_type", "search_type", "everything", "export", "validate"
]

NEEDS: Mapping[Interaction, str] = {
    "read": "r",
    "vread": "r",
    "history_instance": "r",
    "history_type": "s",
    "search_type": "s",
    "everything": "rs",
    "export": "rs",
    "validate": "",
}
"""What each interaction takes, by the table of SMART 2; the last one takes a token alone."""


class Agreement(Protocol):
    """What is needed here of a data-use agreement."""

    @property
    def id(self) -> str:
        """Its id."""

    @property
    def types(self) -> Collection[str]:
        """The resource types that it lets out."""

    @property
    def scopes(self) -> tuple[str, ...]:
        """The most that a client may be granted under it."""

    def holds(self, now: dt.datetime) -> bool:
        """Say whether it is in force at this moment."""


Known = tuple[Token, Mapping[str, frozenset[str]]]
"""A token, and what its scopes allow by type."""

Agreements = Callable[[str], Agreement | None]
"""Returns the agreement with an id, as it is now, None if there is none; asked at every request."""


class InsufficientScope(Forbidden):
    """A token that does not reach as far as the request (RFC 6750, 3.1)."""

    def get_headers(self, *args: object, **named: object) -> list[tuple[str, str]]:
        """Return the headers of the answer, with what is missing."""
        said = WWWAuthenticate("bearer", {"realm": REALM, "error": "insufficient_scope"})
        return [*super().get_headers(*args, **named), ("WWW-Authenticate", said.to_header())]  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Access:
    """What the bearer of one token may: a client under an agreement, with scopes; ``token`` is the token's id.

    ``held`` is what the scopes allow by type, reckoned once for each token.
    """

    client: str
    agreement: Agreement
    scopes: tuple[Scope, ...]
    token: str
    expires: float
    held: Mapping[str, frozenset[str]] = field(repr=False)

    def may(self, interaction: Interaction, type: str) -> bool:
        """Say whether scopes and agreement allow an interaction with a type."""
        return type in self.agreement.types and reach(self.held, type).issuperset(NEEDS[interaction])

    def types(self, interaction: Interaction) -> list[str]:
        """Return the types with which an interaction is allowed, in alphabetical order."""
        return [type for type in sorted(self.agreement.types) if self.may(interaction, type)]

    def require(self, interaction: Interaction, type: str) -> None:
        """Raise InsufficientScope (403) unless an interaction with a type is allowed."""
        if not self.may(interaction, type):
            raise InsufficientScope(f"This token does not allow {interaction} of {type}. Ask for a scope that does.")

    def require_own(self, agreement: str) -> None:
        """Raise NotFound for what was made under another agreement: that it is there is nobody else's business."""
        if agreement != self.agreement.id:
            raise NotFound("There is no such thing here.")


class Authoriser:
    """Tells who asks. ``read`` checks a token whole, slowly; ``now`` is the time of day, ``clock`` gives seconds."""

    def __init__(
        self,
        read: Callable[[str], Token | None],
        clients: Callable[[], Clients],
        agreements: Agreements,
        *,
        now: Callable[[], dt.datetime],
        clock: Callable[[], float],
    ) -> None:
        self._read = read
        self._clients = clients
        self._agreements = agreements
        self._now = now
        self._clock = clock
        self._known: dict[bytes, Known] = {}
        self._lock = threading.Lock()
        self._in_force: tuple[float, InForce] | None = None

    def authorise(self, request: Request) -> Access:
        """Return what the bearer of a request's token may. Raises Unauthorized (401), which says what is wrong with it.

        A token in the URL or in a form is no token: it would end up in logs.
        """
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not text.strip():
            raise _unauthorised("An access token of this server's token endpoint is needed.", error=None)
        known = self._token(text.strip())
        now = self._now()
        if known is None:
            raise _unauthorised("The access token is not one of this server's, or its key was replaced.")
        token, held = known
        if token.expires <= now.timestamp():
            raise _unauthorised("The access token has expired. Ask for a new one.")
        standing = self._standing()
        if token.client not in standing.clients or token.id in standing.revoked_tokens:
            raise _unauthorised("The access token was revoked.")
        agreement = self._agreements(token.agreement)
        if agreement is None or not agreement.holds(now):
            raise _unauthorised("The data-use agreement behind the access token is not in force any more.")
        return Access(token.client, agreement, token.scopes, token.id, token.expires, held)

    def _token(self, text: str) -> Known | None:
        digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
        if (known := self._known.get(digest)) is not None:
            return known
        token = self._read(text)
        if token is None:
            return None  # and not kept: what strangers make up must not fill the memory
        with self._lock:
            if len(self._known) >= MOST_TOKENS:
                self._forget()
            known = self._known[digest] = (token, rights(token.scopes))
        return known

    def _forget(self) -> None:
        """Forget what has expired and, if that is not enough, what is known longest."""
        now = self._now().timestamp()
        kept = {digest: known for digest, known in self._known.items() if known[0].expires > now}
        for digest in list(kept)[: max(0, len(kept) - MOST_TOKENS // 2)]:
            del kept[digest]
        self._known = kept

    def _standing(self) -> InForce:
        clock, held = self._clock(), self._in_force
        if held is None or clock - held[0] >= REVOCATION_SECONDS:
            held = self._in_force = (clock, self._clients().in_force())
        return held[1]


def _unauthorised(text: str, error: str | None = "invalid_token") -> Unauthorized:
    said: dict[str, str | None] = {"realm": REALM}
    if error:
        said |= {"error": error, "error_description": text}
    return Unauthorized(text, www_authenticate=WWWAuthenticate("bearer", said))
