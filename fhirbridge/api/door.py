"""The door for registries, put together from the settings: the token endpoint, and who reads the tokens it gave."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass

from fhirbridge.api.access_tokens import TokenMaker, read_key
from fhirbridge.api.assertions import Doorkeeper
from fhirbridge.api.authorising import Agreements, Authoriser
from fhirbridge.api.client_keys import ClientKeys
from fhirbridge.api.fetching import Fetcher, Network
from fhirbridge.api.smart import TOKEN_PATH, TokenEndpoint
from fhirbridge.api.throttling import Throttle
from fhirbridge.errors import ConfigurationError
from fhirbridge.hospital.addresses import keeps_secrets
from fhirbridge.settings import Settings
from fhirbridge.store.clients import Clients

FAILURES_SECONDS = 60.0
"""The window in which failures are counted."""
FAILURES_BY_CLIENT = 10
FAILURES_BY_ADDRESS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What gives tokens, and what reads them."""

    endpoint: TokenEndpoint
    authoriser: Authoriser


def door(
    settings: Settings,
    clients: Callable[[], Clients],
    agreements: Agreements,
    *,
    now: Callable[[], dt.datetime],
    clock: Callable[[], float],
) -> Door:
    """Return the door; ``now`` is the time of day, ``clock`` gives seconds. Raises ConfigurationError."""
    maker = token_maker(settings, now)
    doorkeeper = Doorkeeper(
        clients=clients,
        keys=ClientKeys(fetcher(settings), clock),
        audiences=(maker.issuer + TOKEN_PATH, *settings.api_audiences),
        now=now,
    )
    endpoint = TokenEndpoint(
        doorkeeper=doorkeeper,
        maker=maker,
        agreements=agreements,
        seconds=settings.api_token_seconds,
        now=now,
        by_client=Throttle(clock, most=FAILURES_BY_CLIENT, seconds=FAILURES_SECONDS),
        by_address=Throttle(clock, most=FAILURES_BY_ADDRESS, seconds=FAILURES_SECONDS),
    )
    return Door(endpoint=endpoint, authoriser=Authoriser(maker.reader(), clients, agreements, now=now, clock=clock))


def token_maker(settings: Settings, now: Callable[[], dt.datetime]) -> TokenMaker:
    """Return what signs the tokens of the settings' API. Raises ConfigurationError for what is missing or unsafe."""
    if settings.api_signing_key is None:
        raise ConfigurationError(
            "api_signing_key is not set, so no access token can be signed. Make a key with "
            "`fhirbridge registry key FILE` and name it there."
        )
    return TokenMaker(key=read_key(settings.api_signing_key), issuer=base_url(settings), now=now)


def base_url(settings: Settings) -> str:
    """Return the API's base URL without a slash at its end. Raises ConfigurationError if tokens could be overheard."""
    url = settings.api_url
    if url is None:
        raise ConfigurationError("api_url is not set: the base URL of our FHIR API, as registries reach it.")
    if url.username or url.password or url.query or url.fragment:
        raise ConfigurationError("api_url must hold no user, password, query or fragment.")
    base = str(url).rstrip("/")
    if not keeps_secrets(base):
        raise ConfigurationError(
            "api_url is not https: anyone on the way could read access tokens. Serve the API over TLS, behind a proxy "
            "if need be, and give the address that registries use."
        )
    return base


def fetcher(settings: Settings) -> Fetcher:
    """Return what fetches clients' keys. Raises ConfigurationError for a network that is none."""
    networks = list[Network]()
    for text in settings.api_jwks_networks:
        try:
            networks.append(ipaddress.ip_network(text))
        except ValueError:
            raise ConfigurationError(f"api_jwks_networks: {text!r} is not a network like 10.20.0.0/16.") from None
    return Fetcher(networks=networks)
