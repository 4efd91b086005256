"""The SMART Backend Services client: it proves who it is with a short-lived signed statement (private_key_jwt).

Source: http://hl7.org/fhir/smart-app-launch/client-confidential-asymmetric.html
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

import jwt

from fhirbridge.hospital import failures
from fhirbridge.hospital.discovery import TokenServer
from fhirbridge.hospital.oauth import Proof
from fhirbridge.hospital.signing_key import SigningKey

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
VALID_SECONDS = 240
"""Five minutes are allowed; one is left for clocks that differ."""


class SmartClient:
    """A client that signs with a private key. ``clock`` gives seconds since the epoch, ``new_id`` fresh ids."""

    def __init__(
        self,
        client_id: str,
        key: SigningKey,
        *,
        clock: Callable[[], float] = time.time,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        self._client_id = client_id
        self._key = key
        self._clock = clock
        self._new_id = new_id

    @property
    def remedy(self) -> str:
        """What to check when the server does not know this client."""
        return (
            f"Check hospital_client_id ({self._client_id}), and that the public half of hospital_private_key is "
            f"registered there under the key id {self._key.key_id} for {self._key.algorithm}."
        )

    def proof(self, server: TokenServer) -> Proof:
        """Return a statement signed for this server alone, with an id of its own, valid for four minutes.

        It says no time of issue: a clock some seconds ahead would make it one from the future.
        """
        if server.algorithms and self._key.algorithm not in server.algorithms:
            raise failures.no_access(
                f"The token endpoint takes {', '.join(server.algorithms)}, but hospital_private_key signs with "
                f"{self._key.algorithm}. Use a key of another type."
            )
        claims = {
            "iss": self._client_id,
            "sub": self._client_id,
            "aud": server.url,
            "exp": int(self._clock()) + VALID_SECONDS,
            "jti": self._new_id(),
        }
        signed = jwt.encode(claims, self._key.key, self._key.algorithm, {"kid": self._key.key_id})
        return Proof({"client_assertion_type": ASSERTION_TYPE, "client_assertion": signed})
