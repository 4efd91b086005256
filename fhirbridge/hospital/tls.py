"""Whom to trust and how to show who we are: the authority's file, our certificate and its key, TLS 1.2 or later."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from requests.adapters import HTTPAdapter

from fhirbridge.errors import ConfigurationError
from fhirbridge.hospital import secret_files


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """The files of a TLS connection, loaded once when made to see that they can be used.

    ``ca`` is trusted instead of the usual authorities. ``certificate`` may hold its key as well, else
    ``certificate_key`` does; the key is not encrypted. Raises ConfigurationError naming the setting at fault.
    """

    ca: Path | None = None
    certificate: Path | None = None
    certificate_key: Path | None = None

    def __post_init__(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.ca is not None:
            _load_authorities(context, self.ca)
        if self.certificate is not None:
            _load_certificate(context, self.certificate, self.certificate_key)
        elif self.certificate_key is not None:
            raise ConfigurationError("hospital_certificate_key is set, but hospital_certificate is not.")


class TlsAdapter(HTTPAdapter):
    """Connections of TLS 1.2 or later, also through a proxy's tunnel."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools of direct connections."""
        super().init_poolmanager(*args, ssl_minimum_version=ssl.TLSVersion.TLSv1_2, **kwargs)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Make the pools of connections through a proxy."""
        return super().proxy_manager_for(proxy, ssl_minimum_version=ssl.TLSVersion.TLSv1_2, **kwargs)


def _load_authorities(context: ssl.SSLContext, path: Path) -> None:
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise ConfigurationError(f"hospital_ca: {path} holds no certificates in PEM form.") from None
    except OSError as error:
        raise ConfigurationError(f"hospital_ca: {path} cannot be read ({error.strerror}).") from None


def _load_certificate(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    setting = "hospital_certificate" if key is None else "hospital_certificate_key"
    secret_files.check_private(key or certificate, setting)

    def encrypted() -> str:
        raise ConfigurationError(f"{setting}: the key in {key or certificate} is encrypted. Give it without password.")

    try:
        context.load_cert_chain(certificate, key, password=encrypted)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            why = f"the key in {key or certificate} is not that of the certificate in {certificate}"
        else:
            why = f"{certificate} and {key or certificate} must hold a certificate and its key in PEM form"
        raise ConfigurationError(f"{setting}: {why}.") from None
    except OSError as error:
        raise ConfigurationError(f"hospital_certificate: {certificate} cannot be read ({error.strerror}).") from None
