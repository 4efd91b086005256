"""Where a server's tokens are to be had: its smart-configuration, else what its CapabilityStatement says.

Source: http://hl7.org/fhir/smart-app-launch/conformance.html; the extension oauth-uris is of SMART App Launch 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from fhirbridge import fhirjson
from fhirbridge.errors import HospitalError, InputError
from fhirbridge.hospital import failures
from fhirbridge.hospital.addresses import keeps_secrets, shown
from fhirbridge.hospital.network import Network

OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenServer:
    """A token endpoint, and what is said of it: each tuple is empty where nothing is."""

    url: str
    methods: tuple[str, ...] = ()
    algorithms: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()

    def scopes_for(self, kinds: Iterable[str]) -> str:
        """Return the scopes to read and write these types, in the words this server understands.

        Version 2 (``system/Patient.cruds``) where it says ``permission-v2``, else version 1. One scope for all types
        where it lists only such scopes, else one for each type: no more than is needed.
        """
        listed = {scope.removeprefix("system/").split(".")[0] for scope in self.scopes if scope.startswith("system/")}
        wanted = ["*"] if listed == {"*"} else sorted(set(kinds)) or ["*"]
        rights = ("cruds",) if "permission-v2" in self.capabilities else ("read", "write")
        return " ".join(f"system/{kind}.{right}" for kind in wanted for right in rights)


def discover(base_url: str, network: Network) -> TokenServer:
    """Find the token endpoint of a FHIR server. Raises HospitalError where it does not answer or names none."""
    said = _json(f"{base_url}/.well-known/smart-configuration", network)
    if isinstance(said.get("token_endpoint"), str):
        return TokenServer(
            url=checked(said["token_endpoint"]),
            methods=_strings(said.get("token_endpoint_auth_methods_supported")),
            algorithms=_strings(said.get("token_endpoint_auth_signing_alg_values_supported")),
            capabilities=_strings(said.get("capabilities")),
            scopes=_strings(said.get("scopes_supported")),
        )
    if (url := _oauth_uri(_json(f"{base_url}/metadata", network))) is not None:
        return TokenServer(url=checked(url))
    raise failures.no_access(
        f"{base_url} says nowhere where its tokens are to be had: no token_endpoint in .well-known/smart-configuration,"
        " no oauth-uris in its CapabilityStatement. Ask its operator and set hospital_token_url."
    )


def checked(url: str) -> str:
    """Return a token endpoint's URL. Raises FatalHospitalError where a secret sent there could be read on the way."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise failures.no_access("The server names a token endpoint that is no web address. Set hospital_token_url.")
    if not keeps_secrets(url):
        raise failures.no_access(
            f"The token endpoint at {shown(url)} is not https, so nothing secret is sent there. Set hospital_token_url."
        )
    return url


def _json(url: str, network: Network) -> dict[str, Any]:
    """Return the object at ``url``, empty where there is none. Raises HospitalError for a failure that may pass."""
    what = f"GET {url}"
    answer = network.ask(url, what)
    try:
        said = fhirjson.loads(answer.content) if answer.status_code == 200 else None
    except InputError:
        said = None
    failure: HospitalError | None = failures.if_temporary(answer, what)
    if failure is not None:
        raise failure
    return said if isinstance(said, dict) else {}


def _oauth_uri(statement: dict[str, Any]) -> str | None:
    for rest in statement.get("rest") or []:
        for outer in (rest.get("security") or {}).get("extension") or []:
            for inner in outer.get("extension") or [] if outer.get("url") == OAUTH_URIS else []:
                if inner.get("url") == "token" and isinstance(inner.get("valueUri"), str):
                    return str(inner["valueUri"])
    return None


def _strings(said: object) -> tuple[str, ...]:
    return tuple(one for one in said if isinstance(one, str)) if isinstance(said, list) else ()
