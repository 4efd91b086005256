"""Clients' keys at an address of theirs: fetched with care, kept for a while, and never from anywhere inside."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from fhirbridge.api import client_keys
from fhirbridge.api.client_keys import ClientKeys, KeysError
from fhirbridge.api.fetching import Fetcher, FetchError, checked
from tests.api.registering import EC_KEY, RSA_KEY, STRANGE_KEY, Clock, Service, jwks, public_jwk, refusal
from tests.hospital.secured import Authority, jwk

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


class Site:
    """A web server of a registry: ``answer`` writes what it sends, ``asked`` counts."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.hosts: list[str] = []
        self.body = jwks(public_jwk(EC_KEY, "ec")).encode()
        self.answer: Callable[[BaseHTTPRequestHandler], None] = self.whole

    def whole(self, request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(self.body)))
        request.end_headers()
        request.wfile.write(self.body)

    @contextmanager
    def running(self, context: ssl.SSLContext | None = None) -> Iterator[int]:
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self.path)
                site.hosts.append(self.headers["Host"])
                with suppress(OSError):
                    site.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            server.server_close()
            thread.join(10)


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    with made.running() as port:
        made.url = f"http://127.0.0.1:{port}/jwks.json?a=b"  # type: ignore[attr-defined]
        yield made


def url(site: Site) -> str:
    return str(site.url)  # type: ignore[attr-defined]


def local(**changed: Any) -> Fetcher:
    return Fetcher(**{"networks": LOOPBACK, "seconds": 5.0, **changed})


def test_keys_are_fetched_from_the_address_registered(site: Site) -> None:
    assert local().fetch(url(site)) == site.body
    assert site.asked == ["/jwks.json?a=b"]
    assert site.hosts[0].startswith("127.0.0.1:")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.8",
        "172.16.3.4",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fd00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.8",
        "64:ff9b::a00:8",
        "2002:a00:8::1",
    ],
)
def test_a_name_that_leads_inside_is_refused_whatever_else_it_resolves_to(address: str) -> None:
    for found in ([address], ["8.8.8.8", address], [address, "2001:4860:4860::8888"]):
        fetcher = Fetcher(resolve=lambda _host, _port, found=found: found)  # type: ignore[misc]
        with pytest.raises(FetchError, match="not a public address"):
            fetcher.fetch("https://registry.example/jwks.json")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1", "127.1"])
def test_this_machine_is_no_address_of_keys_unless_a_setting_says_so(site: Site, host: str) -> None:
    there = url(site).replace("127.0.0.1", host)
    with pytest.raises(FetchError):
        Fetcher(seconds=2).fetch(there)
    assert site.asked == []


def test_a_network_that_is_allowed_is_allowed_and_no_other() -> None:
    inside = ipaddress.ip_network("10.20.0.0/16")
    asked = [("10.20.1.1", True), ("10.21.1.1", False), ("::ffff:10.20.1.1", True), ("::1", False), ("8.8.8.8", True)]
    for address, allowed in asked:
        assert Fetcher(networks=[inside])._allowed(ipaddress.ip_address(address)) is allowed


def test_the_address_that_was_checked_is_the_one_connected_to(site: Site) -> None:
    answers = [["127.0.0.1"], ["10.0.0.8"]]
    fetcher = local(resolve=lambda _host, _port: answers.pop(0))
    assert fetcher.fetch(url(site).replace("127.0.0.1", "registry.example")) == site.body
    assert len(answers) == 1  # a second look would have been led elsewhere
    assert site.hosts[0].startswith("registry.example:")


@pytest.mark.parametrize(
    "address",
    [
        "ftp://registry.example/jwks",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "//registry.example/jwks",
        "https://",
        "https:///jwks",
        "https://user:secret@registry.example/jwks",
        "https://@registry.example/jwks",
        "https://registry.example/jwks#keys",
        "https://registry.example:99999/jwks",
        "https://registry.example/a b",
        "https://registry.example/\r\nHost: evil.example",
        "https://régistry.example/jwks",
        "https://[::1/jwks",
        "https://registry.example/" + "a" * 2000,
        "jwks.json",
        "",
    ],
)
def test_what_is_no_address_of_keys_is_refused_before_anything_is_asked(address: str) -> None:
    with pytest.raises(FetchError) as caught:
        checked(address)
    assert "secret" not in str(caught.value)


def test_http_is_for_this_machine_alone() -> None:
    fetcher = Fetcher(networks=[ipaddress.ip_network("10.0.0.0/8")], resolve=lambda _host, _port: ["10.0.0.8"])
    with pytest.raises(FetchError, match="must be https"):
        fetcher.fetch("http://registry.example/jwks.json")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirections_are_not_followed(site: Site, status: int) -> None:
    def elsewhere(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Location", f"{url(site)}&inside")
        request.send_header("Content-Length", "0")
        request.end_headers()

    site.answer = elsewhere
    with pytest.raises(FetchError, match="instead of 200"):
        local().fetch(url(site))
    assert len(site.asked) == 1


@pytest.mark.parametrize("announced", [True, False])
def test_a_huge_file_is_not_read_to_its_end(site: Site, announced: bool) -> None:
    def huge(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        if announced:
            request.send_header("Content-Length", str(10**12))
        request.end_headers()
        while True:
            request.wfile.write(b" " * 65_536)

    site.answer = huge
    with pytest.raises(FetchError, match="more than 65536 bytes"):
        local().fetch(url(site))


@pytest.mark.parametrize("where", ["before", "headers", "body"])
def test_a_site_that_dawdles_is_left(site: Site, where: str) -> None:
    left = threading.Event()

    def slow(request: BaseHTTPRequestHandler) -> None:
        try:
            if where == "body":
                request.send_response(200)
                request.end_headers()
            elif where == "headers":
                request.wfile.write(b"HTTP/1.1 200 OK\r\n")
            while where == "before":
                time.sleep(0.05)
                request.connection.setblocking(False)
                with suppress(BlockingIOError):
                    if not request.connection.recv(1):
                        return
            for _ in range(2_000):
                request.wfile.write(b"X: y\r\n" if where == "headers" else b" ")
                time.sleep(0.05)
        finally:
            left.set()

    site.answer = slow
    with pytest.raises((FetchError, KeysError)):
        client_keys.read(local(seconds=0.5).fetch(url(site)))
    assert left.wait(30)


def test_an_answer_that_is_cut_short_is_none(site: Site) -> None:
    def cut(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(site.body) + 10))
        request.end_headers()
        request.wfile.write(site.body)
        request.connection.shutdown(socket.SHUT_RDWR)

    site.answer = cut
    with pytest.raises(FetchError):
        local().fetch(url(site))


def test_a_certificate_is_held_against_the_name_that_was_registered(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca")
    certificate = authority.certificate("server")
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(*certificate)
    made = Site()
    with made.running(serving) as port:
        trusting = local(
            tls=lambda: ssl.create_default_context(cafile=str(authority.file)),
            resolve=lambda _host, _port: ["127.0.0.1"],
        )
        assert trusting.fetch(f"https://hospital.test:{port}/jwks.json") == made.body
        with pytest.raises(FetchError, match="certificate"):
            trusting.fetch(f"https://other.example:{port}/jwks.json")
        with pytest.raises(FetchError, match="certificate"):
            local(resolve=lambda _host, _port: ["127.0.0.1"]).fetch(f"https://hospital.test:{port}/jwks.json")
    assert len(made.asked) == 1


@pytest.fixture
def fetched(service: Service, site: Site) -> Service:
    """The service, which may fetch keys of client c2 from the site on this machine."""
    made = Service(service.store, service.folder, service.clock, {"api_jwks_networks": ("127.0.0.0/8",)})
    made.register("c2", jwks_uri=url(site))
    return made


def test_a_client_may_keep_its_keys_at_an_address(fetched: Service, site: Site) -> None:
    assert fetched.ask(fetched.statement("c2")).status_code == 200
    assert fetched.ask(fetched.statement("c2")).status_code == 200
    assert len(site.asked) == 1


def test_a_new_key_is_found_and_one_taken_out_counts_no_more_after_five_minutes(
    fetched: Service, site: Site, clock: Clock
) -> None:
    assert fetched.ask(fetched.statement("c2")).status_code == 200
    site.body = jwks(public_jwk(STRANGE_KEY, "new")).encode()
    clock.turn(30)
    assert fetched.ask(fetched.statement("c2", key=STRANGE_KEY, header={"kid": "new"})).status_code == 200
    assert refusal(fetched.ask(fetched.statement("c2"))) == (400, "invalid_client")
    site.body = jwks(public_jwk(EC_KEY, "ec")).encode()
    clock.turn(299)
    assert fetched.ask(fetched.statement("c2", key=STRANGE_KEY, header={"kid": "new"})).status_code == 200
    clock.turn(1)
    assert fetched.ask(fetched.statement("c2", key=STRANGE_KEY, header={"kid": "new"})).status_code == 400
    assert fetched.ask(fetched.statement("c2")).status_code == 200


def test_guessing_key_ids_does_not_make_us_ask_again_and_again(fetched: Service, site: Site) -> None:
    for number in range(8):
        fetched.ask(fetched.statement("c2", key=STRANGE_KEY, header={"kid": f"guess-{number}"}))
    assert len(site.asked) == 1


def test_a_site_that_fails_is_left_alone_for_a_while_and_nobody_gets_in_by_it(
    fetched: Service, site: Site, clock: Clock
) -> None:
    site.body = b"<html>busy</html>"
    first = fetched.ask(fetched.statement("c2"))
    assert refusal(first) == (400, "invalid_client")
    assert "cannot be fetched" in first.json["error_description"]  # type: ignore[index]
    site.body = jwks(public_jwk(EC_KEY, "ec")).encode()
    assert fetched.ask(fetched.statement("c2")).status_code == 400
    assert len(site.asked) == 1
    clock.turn(30)
    assert fetched.ask(fetched.statement("c2")).status_code == 200


def test_keys_inside_the_hospital_are_not_fetched_unless_a_setting_allows_it(service: Service, site: Site) -> None:
    service.register("c2", jwks_uri=url(site))
    answer = service.ask(service.statement("c2"))
    assert refusal(answer) == (400, "invalid_client")
    assert site.asked == []


@pytest.mark.parametrize("name", ["jku", "x5u"])
def test_an_address_in_a_statements_header_is_never_asked(fetched: Service, site: Site, name: str) -> None:
    site.body = jwks(public_jwk(STRANGE_KEY, "ec")).encode()
    forged = fetched.statement("c1", key=STRANGE_KEY, header={name: url(site)})
    assert refusal(fetched.ask(forged)) == (400, "invalid_client")
    assert fetched.ask(fetched.statement("c1", header={name: url(site)})).status_code == 200
    assert site.asked == []


def test_many_who_ask_at_once_make_one_request(site: Site, service: Service) -> None:
    client = service.store.clients.add(
        "c2", "c2", agreement="A1", scopes="system/*.rs", by="ann", jwks=None, jwks_uri=url(site)
    )
    keys = ClientKeys(local(), service.clock.seconds)
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(len(keys.of(client, "ec", "ES384")))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == [1] * 8
    assert len(site.asked) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not JSON"),
        ("[]", "keys"),
        ('{"keys": {}}', "keys"),
        ('{"keys": [1]}', "keys"),
        ('{"keys": []}', "no key"),
        (jwks(*[public_jwk(EC_KEY, "ec")] * 51), "at most 50"),
        (jwks({"kty": "oct", "k": "c2VjcmV0", "kid": "a"}), "private or shared"),
        (jwks(jwk(EC_KEY, kid="ec")), "private or shared"),
        (jwks({name: value for name, value in public_jwk(RSA_KEY, "rsa").items() if name != "kid"}), "kid"),
        (jwks(public_jwk(RSA_KEY, "rsa", alg="RS256")), "RS384"),
        (jwks(public_jwk(ec.generate_private_key(ec.SECP256R1()), "ec")), "P-384"),
        (jwks(public_jwk(EC_KEY, "ec", use="enc")), "signatures"),
        (jwks({"kty": "EC", "crv": "P-384", "kid": "ec", "x": "AA", "y": "AA"}), "no key"),
        (jwks({"kty": "RSA", "kid": "r", "n": 5, "e": "AQAB"}), "no key"),
    ],
)
def test_a_set_of_keys_that_cannot_be_used_is_refused_at_registration(text: str, said: str) -> None:
    with pytest.raises(KeysError, match=said) as caught:
        client_keys.checked(text)
    assert "c2VjcmV0" not in str(caught.value)


def test_the_ids_of_keys_that_can_be_used_are_told() -> None:
    given = jwks(public_jwk(RSA_KEY, "a"), public_jwk(EC_KEY, "b"), public_jwk(EC_KEY, "c", use="enc"))
    assert client_keys.checked(given) == ["a", "b"]
