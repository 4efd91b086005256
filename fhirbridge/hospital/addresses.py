"""Addresses of servers: normalised, compared by origin, and shown without what may be secret."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit, urlunsplit

from fhirbridge.errors import ConfigurationError


def normalised(base_url: str) -> str:
    """Return the base URL without trailing slash, host in lower case. Raises ConfigurationError if it is none."""
    parts = urlsplit(base_url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError("The hospital's base URL must be like https://fhir.example.org/fhir.")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigurationError("The hospital's base URL must hold no user, password, query or fragment.")
    return urlunsplit((parts.scheme, parts.netloc.lower(), parts.path.rstrip("/"), "", ""))


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Return scheme, host and port, the default port spelt out (RFC 6454, 4)."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def shown(url: str) -> str:
    """Return scheme, host and port for a message: without user, password, path and query."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}" if parts.port is None else f"{parts.scheme}://{host}:{parts.port}"


def is_loopback(url: str) -> bool:
    """Say whether the URL's host is this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def keeps_secrets(url: str) -> bool:
    """Say whether what is sent there can be read by nobody on the way: TLS, or this machine itself."""
    return urlsplit(url).scheme == "https" or is_loopback(url)
