"""Access to the hospital's server as the settings describe it: checked whole, before anything is sent."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr
from requests.auth import AuthBase

from fhirbridge.errors import ConfigurationError
from fhirbridge.hospital import auth, secret_files
from fhirbridge.hospital.addresses import keeps_secrets, normalised, shown
from fhirbridge.hospital.network import Network
from fhirbridge.hospital.oauth import Client, SecretClient, TokenEndpoint
from fhirbridge.hospital.signing_key import read_signing_key
from fhirbridge.hospital.smart import SmartClient
from fhirbridge.hospital.tls import Tls
from fhirbridge.hospital.tokens import Tokens
from fhirbridge.settings import Settings

_OAUTH = ("hospital_client_id", "hospital_token_url", "hospital_scopes")
_USED = {
    "none": (),
    "basic": ("hospital_username", "hospital_password", "hospital_password_file"),
    "bearer": ("hospital_token_file",),
    "client-credentials": (
        *_OAUTH,
        "hospital_client_secret",
        "hospital_client_secret_file",
        "hospital_client_secret_method",
    ),
    "smart": (*_OAUTH, "hospital_private_key", "hospital_key_id"),
}
"""The settings that each way of authentication reads; any of them without its way is a mistake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What ``Hospital`` needs besides an address."""

    auth: AuthBase | None = field(repr=False)
    tls: Tls
    proxy: str | None = field(repr=False)


def access(settings: Settings, kinds: Sequence[str] = (), *, clock: Callable[[], float] = time.time) -> Access:
    """Read the files that the settings name and return what they amount to.

    ``kinds`` are the resource types that scopes are asked for where none are set. Raises ConfigurationError for what
    is missing, contradicts itself or cannot be used.
    """
    base_url = normalised(str(settings.hospital))
    tls = Tls(
        ca=settings.hospital_ca,
        certificate=settings.hospital_certificate,
        certificate_key=settings.hospital_certificate_key,
    )
    if tls.certificate is not None and urlsplit(base_url).scheme != "https":
        raise ConfigurationError(
            "hospital_certificate is set, but only an https address of the hospital can ask for it."
        )
    proxy = _proxy(settings)
    _check_unused(settings)
    if settings.hospital_auth != "none" and not keeps_secrets(base_url):
        raise ConfigurationError(
            f"hospital_auth is {settings.hospital_auth!r}, but {shown(base_url)} is not https: anyone on the way could "
            "read the credentials. Use https, or hospital_auth = 'none'."
        )
    network = Network(tls=tls, proxy=proxy, timeout=(10.0, settings.hospital_timeout))
    return Access(auth=_auth(settings, base_url, network, kinds, clock), tls=tls, proxy=proxy)


def _auth(
    settings: Settings, base_url: str, network: Network, kinds: Sequence[str], clock: Callable[[], float]
) -> AuthBase | None:
    match settings.hospital_auth:
        case "none":
            return None
        case "basic":
            return auth.basic(_needed(settings, "hospital_username"), _secret(settings, "hospital_password"))
        case "bearer":
            return auth.Bearer(auth.TokenFile(Path(_needed(settings, "hospital_token_file"))))
        case "client-credentials":
            secret = _secret(settings, "hospital_client_secret")
            client: Client = SecretClient(
                _needed(settings, "hospital_client_id"), secret, settings.hospital_client_secret_method
            )
        case "smart":
            client_id = _needed(settings, "hospital_client_id")
            key = read_signing_key(Path(_needed(settings, "hospital_private_key")), settings.hospital_key_id)
            client = SmartClient(client_id, key, clock=clock)
    scopes, token_url = settings.hospital_scopes, _token_url(settings)
    if token_url is not None and scopes is None:
        if settings.hospital_auth == "smart":
            raise ConfigurationError(
                "hospital_token_url is set, so what scopes the server knows is not looked up: set hospital_scopes, for "
                "example to 'system/*.cruds'."
            )
        scopes = ""
    endpoint = TokenEndpoint(
        client, network, base_url=base_url, token_url=token_url, scopes=scopes, kinds=kinds, clock=clock
    )
    return auth.Bearer(Tokens(endpoint.obtain, clock))


def _needed(settings: Settings, name: str) -> str:
    if not (value := getattr(settings, name)):
        raise ConfigurationError(f"hospital_auth is {settings.hospital_auth!r}, which needs {name}.")
    return str(value)


def _secret(settings: Settings, name: str) -> str:
    """Return a secret from its setting or from the file of the setting of that name with ``_file``."""
    given: SecretStr | None = getattr(settings, name)
    file: Path | None = getattr(settings, f"{name}_file")
    if given is not None and file is not None:
        raise ConfigurationError(f"{name} and {name}_file are both set. Keep one of them.")
    if file is not None:
        return secret_files.read_line(file, f"{name}_file")
    if given is None or not given.get_secret_value():
        raise ConfigurationError(f"hospital_auth is {settings.hospital_auth!r}, which needs {name}_file or {name}.")
    return given.get_secret_value()


def _check_unused(settings: Settings) -> None:
    used = _USED[settings.hospital_auth]
    for name in sorted({name for names in _USED.values() for name in names}):
        if name not in used and getattr(settings, name) is not None:
            raise ConfigurationError(
                f"{name} is set, but hospital_auth is {settings.hospital_auth!r}, which does not use it. "
                "Set hospital_auth, or take it out."
            )


def _token_url(settings: Settings) -> str | None:
    url = settings.hospital_token_url
    if url is None:
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.fragment:
        raise ConfigurationError("hospital_token_url must be like https://login.example.org/token.")
    if not keeps_secrets(url):
        raise ConfigurationError("hospital_token_url must be https: anyone on the way could read the credentials.")
    return url


def _proxy(settings: Settings) -> str | None:
    if settings.hospital_proxy is None:
        return None
    url = settings.hospital_proxy.get_secret_value()
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError("hospital_proxy must be like http://proxy.example.org:3128.")
    return url
