"""A hospital that is set wrongly is one clear message before anything is sent to it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from sekmet.config import ServerAuth

from tests.cli.conftest import Ran, Run
from tests.hospital.secured import SECRET, Authority, closed_port, pem, private, registered, secured_hospital, tls_files


@pytest.fixture
def push(run: Run, loaded: Path) -> Callable[..., Ran]:  # a folder that `run` works in
    """Run ``fhirbridge push`` with something to send, under settings given by name; its words on one line."""

    def command(**given: object) -> Ran:
        environment = {f"FHIRBRIDGE_{name.upper()}": str(value) for name, value in given.items()}
        ran = run("push", **{"FHIRBRIDGE_HOSPITAL_TIMEOUT": "20", **environment})
        assert SECRET not in ran.out + ran.err
        assert "Traceback" not in ran.err
        return Ran(ran.code, ran.out, " ".join(ran.err.split()))

    return command


@contextmanager
def answering(content_type: str, body: bytes) -> Iterator[tuple[str, list[str]]]:
    """Run a server that answers every request alike; yield its base URL and the requests it got."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.command} {self.path}")
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PUT = do_GET  # noqa: N815

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/fhir", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join(30)


def _statement(version: str = "4.0.1", **rest: Any) -> bytes:
    said = {"resourceType": "CapabilityStatement", "fhirVersion": version, "rest": [{"mode": "server", **rest}]}
    return json.dumps(said).encode()


def _listed(*codes: str) -> list[dict[str, Any]]:
    return [
        {"type": kind, "interaction": [{"code": code} for code in codes]}
        for kind in ("Patient", "Observation", "Group")
    ]


@pytest.mark.parametrize(
    ("content_type", "body", "said"),
    [
        ("text/html", b"<html>Welcome</html>", "a web page, not FHIR JSON. Is this the base URL of a FHIR server?"),
        ("application/json", b'{"hello": "world"}', "no FHIR resource"),
        ("application/fhir+json", _statement("5.0.0"), "speaks FHIR 5.0.0; fhirbridge needs R4"),
        ("application/fhir+json", _statement(resource=_listed("read", "search-type")),
         "is read-only: its CapabilityStatement lists no way to write Group, Observation, Patient"),
    ],
    ids=["a web page", "not FHIR", "R5", "read-only"],
)  # fmt: skip
def test_a_server_of_another_kind_is_named_and_gets_nothing(
    push: Callable[..., Ran], content_type: str, body: bytes, said: str
) -> None:
    with answering(content_type, body) as (url, asked):
        ran = push(hospital=url)
    assert ran.code == 3
    assert said in ran.err
    assert asked == ["GET /fhir/metadata"]


def test_an_address_where_nobody_answers_is_named(push: Callable[..., Ran]) -> None:
    with closed_port() as port:
        ran = push(hospital=f"http://127.0.0.1:{port}/fhir")
    assert ran.code == 3
    assert f"http://127.0.0.1:{port} failed (Connection refused)" in ran.err


@pytest.mark.parametrize("url", ["127.0.0.1/fhir", "ftp://hospital.test/fhir", f"https://us:{SECRET}@hospital.test/"])
def test_an_address_that_is_none_is_a_matter_of_settings(push: Callable[..., Ran], url: str) -> None:
    ran = push(hospital=url)
    assert ran.code == 2
    assert "hospital" in ran.err


def test_a_server_whose_authority_is_not_trusted_is_named(push: Callable[..., Ran], tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    authority, other = Authority(tmp_path), Authority(tmp_path / "other")
    files = tls_files(authority.certificate("server"))
    with secured_hospital(tmp_path / "hospital", ServerAuth(), scheme="https", **files) as server:
        for given in ({}, {"hospital_ca": other.file}):
            ran = push(hospital=server.base_url, **given)
            assert ran.code == 3
            assert "no TLS connection to https://127.0.0.1" in ran.err
            assert "hospital_ca" in ran.err
        ran = push(hospital=server.base_url, hospital_ca=tmp_path / "none.pem")
        assert (ran.code, "hospital_ca" in ran.err) == (2, True)
        assert push(hospital=server.base_url, hospital_ca=authority.file).code == 0


def test_a_wrong_key_is_named_and_the_right_one_pushes(push: Callable[..., Ran], tmp_path: Path) -> None:
    key, another = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
    right, wrong = private(tmp_path / "right", pem(key)), private(tmp_path / "wrong", pem(another))
    with secured_hospital(tmp_path / "hospital", registered(key)) as server:
        given = {"hospital": server.base_url, "hospital_auth": "smart", "hospital_client_id": "trial"}
        ran = push(**given, hospital_private_key=wrong)
        assert ran.code == 3
        assert "invalid_client" in ran.err
        assert "hospital_private_key is registered there" in ran.err
        ran = push(**given, hospital_private_key=private(tmp_path / "nonsense", SECRET))
        assert (ran.code, "no private key in PEM or JWK form" in ran.err) == (2, True)
        assert push(**given, hospital_private_key=right).code == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hospital_mode", "bundle"),
        ("hospital_strategies", '{"Patient": "magic"}'),
        ("hospital_strategies", '{"Pateint": "find"}'),
        ("hospital_strategies", "Patient=find"),
        ("hospital_bundle_entries", "many"),
        ("withdrawal", "forget"),
    ],
)
def test_a_way_of_writing_that_there_is_not_is_named_before_anything_is_asked(
    push: Callable[..., Ran], name: str, value: str
) -> None:
    with answering("application/fhir+json", _statement()) as (url, asked):
        ran = push(hospital=url, **{name: value})
    assert (ran.code, name in ran.err.lower()) == (2, True), ran.err
    assert asked == []


def test_settings_that_miss_something_are_named(push: Callable[..., Ran]) -> None:
    with answering("application/fhir+json", _statement()) as (url, asked):
        ran = push(hospital=url, hospital_auth="basic", hospital_password=SECRET)
        assert (ran.code, "hospital_auth is 'basic', which needs hospital_username" in ran.err) == (2, True)
        ran = push(hospital=url, hospital_auth="oauth")
        assert (ran.code, "hospital_auth" in ran.err) == (2, True)
    assert asked == []
