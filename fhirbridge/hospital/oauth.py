"""Asking an OAuth 2 token endpoint for an access token, as one of two kinds of client.

Source: RFC 6749 (4.4 client credentials), http://hl7.org/fhir/smart-app-launch/backend-services.html.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import quote_plus

from fhirbridge.hospital import discovery, token_answers
from fhirbridge.hospital.discovery import TokenServer
from fhirbridge.hospital.network import Network
from fhirbridge.hospital.tokens import Token

LIFETIME = 300.0
"""Seconds that a token is taken to live whose answer does not say: what SMART recommends as the longest."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What one request shows to the token endpoint; all of it is secret."""

    form: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class Client(Protocol):
    """One who can prove to a token endpoint who he is."""

    @property
    def remedy(self) -> str:
        """What to check when the server does not know this client."""

    def proof(self, server: TokenServer) -> Proof:
        """Return what to show to this server."""


class SecretClient:
    """A client with a secret, sent in the header (client_secret_basic) or in the form (client_secret_post).

    ``method`` None means the form where the server lists only that, else the header (RFC 6749, 2.3.1).
    """

    remedy = "Check hospital_client_id and hospital_client_secret."

    def __init__(self, client_id: str, secret: str, method: str | None = None) -> None:
        self._client_id = client_id
        self._secret = secret
        self._method = method

    def proof(self, server: TokenServer) -> Proof:
        """Return id and secret."""
        only_post = "client_secret_post" in server.methods and "client_secret_basic" not in server.methods
        if self._method == "post" or (self._method is None and only_post):
            return Proof({"client_id": self._client_id, "client_secret": self._secret})
        pair = f"{quote_plus(self._client_id)}:{quote_plus(self._secret)}"
        return Proof({}, {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"})


class TokenEndpoint:
    """The token endpoint of one FHIR server, found when it is first needed.

    ``token_url`` None means the one that the server names, ``scopes`` None those that ``kinds`` need, an empty text
    none at all. ``clock`` gives seconds since the epoch.
    """

    def __init__(
        self,
        client: Client,
        network: Network,
        *,
        base_url: str,
        token_url: str | None = None,
        scopes: str | None = None,
        kinds: Sequence[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._network = network
        self._base_url = base_url
        self._set = None if token_url is None else TokenServer(url=token_url)
        self._scopes = scopes
        self._kinds = kinds
        self._clock = clock

    def obtain(self) -> Token:
        """Ask for a token. Raises TemporaryHospitalError or FatalHospitalError; the latter says what to change."""
        server = self._set or discovery.discover(self._base_url, self._network)
        scopes = server.scopes_for(self._kinds) if self._scopes is None else self._scopes
        proof = self._client.proof(server)
        form = {"grant_type": "client_credentials", **({"scope": scopes} if scopes else {}), **proof.form}
        what = f"token from {server.url.split('?')[0]}"
        asked = self._clock()
        answer = self._network.ask(server.url, what, form=form, headers=proof.headers)
        secrets = [*proof.form.values(), *(value.split()[-1] for value in proof.headers.values())]
        said = token_answers.read_token(answer, what, asked, secrets=secrets, remedy=self._client.remedy, scopes=scopes)
        return Token(said["access_token"], asked, asked + _lifetime(said.get("expires_in")))


def _lifetime(said: object) -> float:
    """Return the seconds a token lives; some servers write the number as text."""
    try:
        return max(0.0, float(str(said)))
    except ValueError:
        return LIFETIME
