"""Servers that want to know who asks: sekmet-fhir with its door closed, a private authority, and a proxy."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import http.client
import ipaddress
import json
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from sekmet.config import ServerAuth, SimulatorSettings, SmartClient, ValidationSettings
from sekmet.config import Settings as SekmetSettings
from sekmet.main import create_app

SECRET = "s3cret-that-nobody-may-see"
NAME = "hospital.test"


def private(path: Path, content: str | bytes, mode: int = 0o600) -> Path:
    """Write a file that only we can read."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return path


def pem(key: Any) -> bytes:
    """Return a private key as PEM, unencrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def jwk(key: Any, **members: str) -> dict[str, Any]:
    """Return a private or public key as JWK with further members."""
    algorithm = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey) else ECAlgorithm
    return {**algorithm.to_jwk(key, as_dict=True), **members}


def registered(key: Any, client_id: str = "trial", key_id: str = "k1", scopes: str = "system/*.cruds") -> ServerAuth:
    """Return the closed door of a server that knows one SMART client by its public key."""
    keys = {"keys": [{key_: value for key_, value in jwk(key.public_key(), kid=key_id).items() if key_ != "key_ops"}]}
    return ServerAuth(types=["smart"], smart_clients=[SmartClient(client_id=client_id, jwks=keys, scopes=scopes)])


@dataclass(slots=True)
class Secured:
    """A running server: its address, and what a test may turn in it."""

    base_url: str
    context: Any

    def forget_tokens(self) -> None:
        """Make every token given so far worthless."""
        self.context.store.kv_set("jwt_secret", f"another-{time.monotonic_ns()}-so-long-that-it-will-do")


@contextlib.contextmanager
def secured_hospital(
    directory: Path, auth: ServerAuth, *, scheme: str = "http", host: str | None = None, **tls: Any
) -> Iterator[Secured]:
    """Run sekmet-fhir in a thread; ``tls`` are uvicorn's settings, ``host`` the name it believes to have."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    base_url = f"{scheme}://{host or f'127.0.0.1:{port}'}/fhir"
    app = create_app(
        SekmetSettings(
            base_url=base_url,
            data_dir=str(directory),
            server_auth=auth,
            validation=ValidationSettings(inbound="off"),
            simulator=SimulatorSettings(enabled=False),
            log_inbound=False,
            own_private_key_path=str(directory / "key.pem"),
        )
    )
    config = uvicorn.Config(app, log_level="critical", access_log=False, ws="none", loop="asyncio", **tls)
    with serving(uvicorn.Server(config), listener):
        yield Secured(base_url if host else f"{scheme}://127.0.0.1:{port}/fhir", app.state.ctx)
    app.state.ctx.store.conn.close()


@contextlib.contextmanager
def serving(server: uvicorn.Server, listener: socket.socket) -> Iterator[None]:
    """Run a server on a socket in a thread, and stop it."""
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        assert server.started
        yield
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()


@dataclass(slots=True)
class Authority:
    """A certificate authority of the test's own, with its files in one directory."""

    directory: Path
    name: str = "ca"
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def file(self) -> Path:
        """The certificate that the others are trusted by."""
        path = self.directory / f"{self.name}.pem"
        if not path.exists():
            usage = x509.BasicConstraints(ca=True, path_length=None)
            path.write_bytes(self._issue(self.name, self.key.public_key(), usage))
        return path

    def certificate(self, name: str) -> tuple[Path, Path]:
        """Issue a certificate for this machine and for ``hospital.test``; return its file and that of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self.directory / f"{name}.pem"
        certificate.write_bytes(self._issue(name, key.public_key(), x509.BasicConstraints(ca=False, path_length=None)))
        return certificate, private(self.directory / f"{name}.key", pem(key))

    def _issue(self, name: str, key: ec.EllipticCurvePublicKey, constraints: x509.BasicConstraints) -> bytes:
        now = dt.datetime.now(dt.UTC)
        names = [x509.DNSName(NAME), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        own = x509.SubjectKeyIdentifier.from_public_key(key)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, self.name)]))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(constraints, critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(own, critical=False)
            .add_extension(issuer, critical=False)
        )
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def tls_files(certificate: tuple[Path, Path]) -> dict[str, Any]:
    """Return uvicorn's settings for a server with this certificate."""
    return {"ssl_certfile": str(certificate[0]), "ssl_keyfile": str(certificate[1])}


class _Strict(ThreadingHTTPServer):
    """A server that lets nobody in without a certificate, and says so by an alert as nginx and Apache do."""

    daemon_threads = True
    context: ssl.SSLContext

    def finish_request(self, request: Any, client_address: Any) -> None:
        secured = self.context.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
        try:
            secured.do_handshake()
        except OSError:
            # Hear the client out, or the reset of the connection would overtake the alert.
            with socket.socket(fileno=secured.detach()) as bare, contextlib.suppress(OSError):
                bare.shutdown(socket.SHUT_WR)
                while bare.recv(65536):
                    pass
            return
        with secured:
            super().finish_request(secured, client_address)


class _Statement(BaseHTTPRequestHandler):
    """Answers everything with a CapabilityStatement."""

    def do_GET(self) -> None:
        """Answer."""
        body = json.dumps({"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/fhir+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def strict_hospital(authority: Authority, version: ssl.TLSVersion) -> Iterator[str]:
    """Run a server that wants a certificate of this authority from its clients; yield its base URL."""
    server = _Strict(("127.0.0.1", 0), _Statement)
    server.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.file)
    server.context.load_cert_chain(*authority.certificate("server"))
    server.context.verify_mode = ssl.CERT_REQUIRED
    server.context.maximum_version = version
    with in_thread(server):
        yield f"https://127.0.0.1:{server.server_address[1]}/fhir"


@contextlib.contextmanager
def in_thread(server: ThreadingHTTPServer) -> Iterator[None]:
    """Serve in a thread, and stop."""
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(30)


class Proxy(ThreadingHTTPServer):
    """An HTTP proxy that knows where ``hospital.test`` is, and writes down what it was asked for."""

    daemon_threads = True

    def __init__(self, target: tuple[str, int], password: str | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _ProxyHandler)
        self.target = target
        self.password = password
        self.asked: list[tuple[str, str]] = []

    @property
    def url(self) -> str:
        """Its address, without user and password."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _ProxyHandler(BaseHTTPRequestHandler):
    server: Proxy

    def do_CONNECT(self) -> None:
        """Open a tunnel, whatever goes through it."""
        if not self._welcome():
            return
        with socket.create_connection(self.server.target) as there:
            self.send_response(200)
            self.end_headers()
            ends = {self.connection: there, there: self.connection}
            while ready := select.select(list(ends), [], [], 30)[0]:
                for end in ready:
                    if not (data := end.recv(65536)):
                        self.close_connection = True
                        return
                    ends[end].sendall(data)

    def do_GET(self) -> None:
        """Pass on a request to http."""
        if not self._welcome():
            return
        connection = http.client.HTTPConnection(*self.server.target)
        connection.request("GET", urlsplit(self.path).path, headers={"Host": NAME, "Accept": "application/fhir+json"})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers["Content-Type"])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _welcome(self) -> bool:
        self.server.asked.append((self.command, self.path))
        given = self.headers.get("Proxy-Authorization", "").removeprefix("Basic ")
        if self.server.password is None or base64.b64decode(given).decode() == f"us:{self.server.password}":
            return True
        self.send_error(407)
        return False

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def running_proxy(target: str, password: str | None = None) -> Iterator[Proxy]:
    """Run a proxy to the server at a URL."""
    parts = urlsplit(target)
    proxy = Proxy((parts.hostname or "", parts.port or 0), password)
    with in_thread(proxy):
        yield proxy


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """Yield a port of this machine where nobody listens, nor will meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def jwks(*keys: dict[str, Any]) -> str:
    """Return a JWKS."""
    return json.dumps({"keys": keys})
