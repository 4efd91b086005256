"""SMART Backend Services against a real server: who is let in, with which key, and for how long."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from sekmet.auth import server as auth_server

from fhirbridge import settings
from fhirbridge.errors import FatalHospitalError
from fhirbridge.hospital import Hospital, Retries, put_entry
from fhirbridge.hospital.access import access
from tests.hospital.secured import Secured, jwk, jwks, pem, private, registered, secured_hospital

KINDS = ["Patient", "Observation"]
PATIENT = {"resourceType": "Patient", "id": "p1"}

Connect = Callable[..., Hospital]


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP384R1())


@pytest.fixture(scope="module")
def another_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def server(tmp_path: Path, rsa_key: rsa.RSAPrivateKey) -> Iterator[Secured]:
    with secured_hospital(tmp_path, registered(rsa_key)) as running:
        yield running


@pytest.fixture
def connect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """Connect as a settings file would have it; pauses are not slept."""
    monkeypatch.chdir(tmp_path)
    opened: list[Hospital] = []

    def open_hospital(base_url: str, clock: Callable[[], float] | None = None, **given: object) -> Hospital:
        chosen = settings.read(
            **{"hospital": base_url, "hospital_auth": "smart", "hospital_client_id": "trial", **given}
        )
        granted = access(chosen, KINDS, **({"clock": clock} if clock else {}))
        opened.append(Hospital(base_url, auth=granted.auth, retries=Retries(attempts=2), sleep=lambda _seconds: None))
        return opened[-1]

    yield open_hospital
    for one in opened:
        one.close()


def _statements() -> set[str]:
    """Return the ids of the signed statements that servers in this process have accepted."""
    return set(auth_server._jti_seen)


def test_a_registered_key_is_let_in_and_the_server_is_closed_to_others(
    server: Secured, connect: Connect, tmp_path: Path, rsa_key: rsa.RSAPrivateKey
) -> None:
    key = private(tmp_path / "key.json", json.dumps(jwk(rsa_key, kid="k1", alg="RS384")))
    client = connect(server.base_url, hospital_private_key=key)
    assert client.send([put_entry(PATIENT, base_url=client.base_url)], "transaction")[0].status == 201
    assert client.read("Patient", "p1")["id"] == "p1"
    with Hospital(server.base_url) as stranger, pytest.raises(FatalHospitalError, match="hospital_auth") as caught:
        stranger.read("Patient", "p1")
    assert caught.value.status == 401


def test_an_elliptic_key_signs_with_es384_and_a_pem_file_will_do(
    connect: Connect, tmp_path: Path, ec_key: ec.EllipticCurvePrivateKey
) -> None:
    key = private(tmp_path / "key.pem", pem(ec_key))
    with secured_hospital(tmp_path, registered(ec_key)) as server:
        client = connect(server.base_url, hospital_private_key=key)
        assert list(client.search("Patient")) == []


def test_the_key_of_a_set_is_chosen_by_its_id(
    server: Secured, connect: Connect, tmp_path: Path, rsa_key: rsa.RSAPrivateKey, ec_key: ec.EllipticCurvePrivateKey
) -> None:
    keys = jwks(jwk(ec_key, kid="old"), jwk(rsa_key, kid="new"))
    client = connect(server.base_url, hospital_private_key=private(tmp_path / "keys", keys), hospital_key_id="new")
    assert list(client.search("Patient")) == []


def test_without_scopes_set_those_that_the_server_knows_are_asked_for(
    server: Secured, connect: Connect, tmp_path: Path, rsa_key: rsa.RSAPrivateKey
) -> None:
    server.context.settings.server_auth.smart_clients[0].scopes = "system/*.cruds"
    client = connect(server.base_url, hospital_private_key=private(tmp_path / "key", pem(rsa_key)))
    assert list(client.search("Observation")) == []
    assert client.send([put_entry(PATIENT, base_url=client.base_url)], "single")[0].ok


def test_many_threads_ask_for_one_token(
    server: Secured, connect: Connect, tmp_path: Path, rsa_key: rsa.RSAPrivateKey
) -> None:
    client = connect(server.base_url, hospital_private_key=private(tmp_path / "key", pem(rsa_key)))
    before = _statements()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _number: list(client.search("Patient")), range(24)))
    assert answers == [[]] * 24
    assert len(_statements() - before) == 1


def test_a_token_that_the_server_forgot_is_renewed_once_and_nobody_notices(
    server: Secured, connect: Connect, tmp_path: Path, rsa_key: rsa.RSAPrivateKey
) -> None:
    client = connect(server.base_url, hospital_private_key=private(tmp_path / "key", pem(rsa_key)))
    assert list(client.search("Patient")) == []
    server.forget_tokens()
    assert list(client.search("Patient")) == []
    assert client.traffic.report().statuses == {"200": 2, "401": 1}


def test_a_door_that_stays_shut_is_tried_twice_and_not_more(
    server: Secured, connect: Connect, tmp_path: Path, rsa_key: rsa.RSAPrivateKey
) -> None:
    client = connect(server.base_url, hospital_private_key=private(tmp_path / "key", pem(rsa_key)))
    server.context.settings.server_auth.types = ["basic"]  # tokens are given, but no longer taken
    with pytest.raises(FatalHospitalError) as caught:
        list(client.search("Patient"))
    assert caught.value.status == 401
    assert client.traffic.report().statuses == {"401": 2}


def test_a_token_is_renewed_before_it_ends(
    server: Secured, connect: Connect, tmp_path: Path, rsa_key: rsa.RSAPrivateKey
) -> None:
    ahead = [0.0]
    key = private(tmp_path / "key", pem(rsa_key))
    client = connect(server.base_url, hospital_private_key=key, clock=lambda: time.time() + ahead[0])
    server.context.settings.server_auth.token_lifetime = 120
    before = _statements()
    for ahead[0] in (0.0, 30.0, 59.0):
        list(client.search("Patient"))
    assert len(_statements() - before) == 1
    ahead[0] = 59.9
    server.context.settings.server_auth.token_lifetime = 3600
    for ahead[0] in (59.9, 60.1):
        list(client.search("Patient"))
    assert len(_statements() - before) == 2
    assert client.traffic.report().statuses == {"200": 5}


def test_another_key_than_the_registered_one_is_told_with_what_to_check(
    server: Secured, connect: Connect, tmp_path: Path, another_key: rsa.RSAPrivateKey
) -> None:
    key = private(tmp_path / "key", pem(another_key))
    client = connect(server.base_url, hospital_private_key=key, hospital_key_id="mine")
    with pytest.raises(FatalHospitalError) as caught:
        client.capabilities()
    said = str(caught.value)
    assert "invalid_client" in said
    assert "registered there under the key id mine for RS384" in said
    assert caught.value.status == 401


def test_an_unknown_client_is_told(
    server: Secured, connect: Connect, tmp_path: Path, rsa_key: rsa.RSAPrivateKey
) -> None:
    key = private(tmp_path / "key", pem(rsa_key))
    client = connect(server.base_url, hospital_private_key=key, hospital_client_id="stranger")
    with pytest.raises(FatalHospitalError, match=r"invalid_client.*hospital_client_id \(stranger\)"):
        client.capabilities()


def test_scopes_that_are_not_granted_are_told(
    server: Secured, connect: Connect, tmp_path: Path, rsa_key: rsa.RSAPrivateKey
) -> None:
    server.context.settings.server_auth.smart_clients[0].scopes = "system/Patient.rs"
    key = private(tmp_path / "key", pem(rsa_key))
    client = connect(server.base_url, hospital_private_key=key, hospital_scopes="system/Observation.cruds")
    with pytest.raises(FatalHospitalError, match=r"invalid_scope.*hospital_scopes.*system/Observation\.cruds"):
        client.capabilities()


def test_a_clock_that_is_wrong_is_named_first(
    server: Secured, connect: Connect, tmp_path: Path, rsa_key: rsa.RSAPrivateKey
) -> None:
    key = private(tmp_path / "key", pem(rsa_key))
    for wrong, word in ((-900.0, "behind"), (900.0, "ahead of")):
        client = connect(server.base_url, hospital_private_key=key, clock=lambda wrong=wrong: time.time() + wrong)
        with pytest.raises(FatalHospitalError, match=rf"This machine's clock is (89\d|90\d) seconds {word} that"):
            client.capabilities()


def test_in_single_requests_a_token_that_is_not_given_is_told_as_it_is(
    server: Secured, connect: Connect, tmp_path: Path, another_key: rsa.RSAPrivateKey
) -> None:
    client = connect(server.base_url, hospital_private_key=private(tmp_path / "key", pem(another_key)))
    with pytest.raises(FatalHospitalError, match="hospital_private_key"):
        client.send([put_entry(PATIENT, base_url=client.base_url)], "single")
