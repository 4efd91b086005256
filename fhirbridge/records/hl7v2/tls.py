"""The listener's TLS: its certificate, and whose senders' certificates it asks for."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NoReturn

from fhirbridge.errors import ConfigurationError


def server_context(certificate: Path, key: Path | None = None, senders: Path | None = None) -> ssl.SSLContext:
    """Return TLS 1.2 or later with a certificate chain in PEM, whose file may hold the key too.

    ``senders`` holds the authorities, in PEM, whose certificates senders must show; without it none is asked for.
    Raises ConfigurationError naming the file at fault.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, password=_encrypted)
    except (OSError, ValueError) as error:
        raise _unusable(key or certificate, "holds no certificate with its key in PEM form", error) from None
    if senders is not None:
        try:
            context.load_verify_locations(cafile=senders)
        except (OSError, ValueError) as error:
            raise _unusable(senders, "holds no certificates in PEM form", error) from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _unusable(path: Path, what: str, error: Exception) -> ConfigurationError:
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
        what = f"cannot be read ({error.strerror})"
    return ConfigurationError(f"{path} {what}. Check the listener's certificate, key and authorities.")


def _encrypted() -> NoReturn:
    raise ValueError("the key is encrypted")
