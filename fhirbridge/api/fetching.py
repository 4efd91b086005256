"""Fetching a small public file from an address that somebody else controls, without being led anywhere else.

The name is resolved once, every address it resolves to must be a public one (or in a network that the settings
allow), and the connection is made to just that: a name that resolves otherwise a moment later changes nothing.
Redirections are not followed, no proxy is asked, and one clock bounds all of it.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from fhirbridge import __version__

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LARGEST = 65_536
"""Bytes of a file; a key takes some hundreds."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class FetchError(Exception):
    """What was asked for cannot be had; the text names no more than the address's host."""


def _resolved(host: str, port: int) -> list[str]:
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetcher:
    """Fetches by HTTPS; by HTTP from this machine alone. ``networks`` are those allowed beside the public one."""

    networks: Sequence[Network] = ()
    seconds: float = 5.0
    largest: int = LARGEST
    tls: Callable[[], ssl.SSLContext] = ssl.create_default_context
    resolve: Callable[[str, int], list[str]] = field(default=_resolved)

    def fetch(self, url: str) -> bytes:
        """Return what is at ``url``. Raises FetchError for all that goes wrong, and for an address that is not allowed.

        ``seconds`` bound connecting, and once more the handshake, the headers and the body together.
        """
        parts = checked(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        address = self._address(parts, port)
        try:
            with self._connected(parts, address, port) as connection:
                return self._read(connection, parts)
        except ssl.SSLCertVerificationError:
            raise FetchError(f"{parts.hostname} shows a certificate that is not trusted.") from None
        except (OSError, http.client.HTTPException, ValueError):
            raise FetchError(f"{parts.hostname} gave no answer within {self.seconds:g} seconds.") from None

    def _address(self, parts: SplitResult, port: int) -> str:
        host = str(parts.hostname)
        try:
            found = [ipaddress.ip_address(text.partition("%")[0]) for text in self.resolve(host, port)]
        except (OSError, ValueError):
            found = []
        if not found:
            raise FetchError(f"{host} has no address.")
        if any(not self._allowed(one) for one in found):
            raise FetchError(f"{host} is not a public address, and no network of api_jwks_networks holds it.")
        if parts.scheme != "https" and not all(one.is_loopback for one in found):
            raise FetchError(f"{host} is not this machine, so it must be https.")
        return str(found[0])

    def _allowed(self, address: Address) -> bool:
        inner = _inner(address)
        return _public(inner) or any(inner in network for network in self.networks if network.version == inner.version)

    @contextmanager
    def _connected(self, parts: SplitResult, address: str, port: int) -> Iterator[http.client.HTTPConnection]:
        held = [socket.create_connection((address, port), self.seconds)]
        cut = threading.Timer(self.seconds, _cut, (held,))
        cut.daemon = True
        cut.start()
        try:
            if parts.scheme == "https":
                wrapped = self.tls().wrap_socket(held[0], server_hostname=parts.hostname, do_handshake_on_connect=False)
                held[0] = wrapped
                wrapped.do_handshake()
            connection = http.client.HTTPConnection(str(parts.hostname), port)
            connection.sock = held[0]
            connection.auto_open = 0
            yield connection
        finally:
            cut.cancel()
            held[0].close()

    def _read(self, connection: http.client.HTTPConnection, parts: SplitResult) -> bytes:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        accepted = "application/jwk-set+json, application/json"
        default = {"https": 443, "http": 80}[parts.scheme]
        host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else str(parts.hostname)
        named = host if parts.port in (None, default) else f"{host}:{parts.port}"
        agent = f"fhirbridge/{__version__}"
        connection.request("GET", target, headers={"Host": named, "Accept": accepted, "User-Agent": agent})
        with connection.getresponse() as answer:
            if answer.status != 200:
                raise FetchError(f"{parts.hostname} answered {answer.status} instead of 200; nothing else is followed.")
            body = answer.read(self.largest + 1)
            if len(body) > self.largest:
                raise FetchError(f"{parts.hostname} sent more than {self.largest} bytes.")
            if answer.length:
                raise FetchError(f"{parts.hostname} gave no whole answer within {self.seconds:g} seconds.")
            return body


def checked(url: str) -> SplitResult:
    """Return the parts of an address of public keys. Raises FetchError for one that can never be used."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise FetchError("not a web address.") from None
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.username is not None or parts.fragment:
        raise FetchError("not an address like https://registry.example.org/jwks.json.")
    if not url.isascii() or not url.isprintable() or " " in url or len(url) > 2_000:
        raise FetchError("an address has no white space, nothing beyond ASCII, and at most 2000 characters.")
    return parts


def _public(address: Address) -> bool:
    return address.is_global and not address.is_multicast and not address.is_reserved


def _inner(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one stands for: by that the packets go."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _cut(held: list[socket.socket]) -> None:
    with suppress(OSError):
        socket.socket.shutdown(held[0], socket.SHUT_RDWR)  # an SSLSocket's own would say goodbye, and wait for it
