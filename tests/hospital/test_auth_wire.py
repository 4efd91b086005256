"""What goes over the wire to a token endpoint and comes back: statements, secrets, errors, and nothing else."""

from __future__ import annotations

import base64
import json
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import jwt
import pytest
import requests
import responses
from cryptography.hazmat.primitives.asymmetric import rsa

from fhirbridge import settings
from fhirbridge.errors import FatalHospitalError, HospitalError, TemporaryHospitalError
from fhirbridge.hospital import Hospital, Retries
from fhirbridge.hospital.access import access
from fhirbridge.hospital.discovery import OAUTH_URIS
from fhirbridge.hospital.tokens import Token, Tokens
from tests.hospital.secured import SECRET, pem, private

BASE = "https://hospital.test/fhir"
CONFIGURATION = f"{BASE}/.well-known/smart-configuration"
TOKEN_URL = "https://login.test/realms/x/token"
TOKEN = "the-token-that-nobody-may-see"
GIVEN = {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 300}
PATIENT = {"resourceType": "Patient", "id": "p1"}
NOW = 1_800_000_000.0


class Wire:
    """A mocked network, a clock that the test turns, and clients on both."""

    def __init__(self, folder: Path, network: responses.RequestsMock, key: rsa.RSAPrivateKey) -> None:
        self.folder = folder
        self.network = network
        self.key = key
        self.now = NOW
        self.pauses: list[float] = []

    def connect(self, way: str = "smart", **given: object) -> Hospital:
        own: dict[str, Any] = {"hospital_client_id": "trial"}
        if way == "smart":
            own["hospital_private_key"] = private(self.folder / "key.pem", pem(self.key))
        if way == "client-credentials":
            own["hospital_client_secret"] = SECRET
        chosen = settings.read(**{"hospital": BASE, "hospital_auth": way, **own, **given})
        granted = access(chosen, ["Patient", "Observation"], clock=lambda: self.now)
        retries = Retries(attempts=3, jitter=0.0)
        return Hospital(BASE, auth=granted.auth, retries=retries, sleep=self.pauses.append)

    def configured(self, **said: object) -> None:
        self.network.get(CONFIGURATION, json={"token_endpoint": TOKEN_URL, **said})

    def forms(self) -> list[dict[str, str]]:
        """Return the forms that the token endpoint got."""
        sent = [call.request for call in self.network.calls if call.request.url == TOKEN_URL]
        return [{name: values[0] for name, values in parse_qs(str(request.body)).items()} for request in sent]


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def wire(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: rsa.RSAPrivateKey, caplog: pytest.LogCaptureFixture
) -> Iterator[Wire]:
    """The wire, and at the end the proof that no log line held a secret."""
    monkeypatch.chdir(tmp_path)
    caplog.set_level("DEBUG")
    with responses.RequestsMock(assert_all_requests_are_fired=False) as network:
        network.get(f"{BASE}/Patient/p1", json=PATIENT)
        yield Wire(tmp_path, network, key)
    assert SECRET not in caplog.text
    assert TOKEN not in caplog.text


def _told(error: pytest.ExceptionInfo[HospitalError]) -> str:
    return "".join(traceback.format_exception(error.value)) + repr(error.value) + repr(error.value.outcome)


def test_a_statement_is_for_one_server_short_lived_and_never_the_same(wire: Wire) -> None:
    wire.configured(capabilities=["permission-v2"])
    wire.network.post(TOKEN_URL, json=GIVEN)
    with wire.connect(hospital_key_id="k7") as client:
        client.read("Patient", "p1")
        wire.now += 300
        client.read("Patient", "p1")
    first, second = wire.forms()
    assert first["grant_type"] == "client_credentials"
    assert first["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assert first["scope"] == "system/Observation.cruds system/Patient.cruds"
    assert jwt.get_unverified_header(first["client_assertion"]) == {"alg": "RS384", "kid": "k7", "typ": "JWT"}
    claims = [_claims(form, wire.key) for form in (first, second)]
    assert claims[0] | {"jti": ""} == {"iss": "trial", "sub": "trial", "aud": TOKEN_URL, "exp": NOW + 240, "jti": ""}
    assert claims[0]["jti"] != claims[1]["jti"]


def _claims(form: dict[str, str], key: rsa.RSAPrivateKey) -> dict[str, Any]:
    checked = {"verify_exp": False}
    return jwt.decode(form["client_assertion"], key.public_key(), ["RS384"], checked, audience=TOKEN_URL)


def test_the_token_goes_to_the_hospital_and_the_statement_to_the_token_endpoint_alone(wire: Wire) -> None:
    wire.configured()
    wire.network.post(TOKEN_URL, json=GIVEN)
    with wire.connect() as client:
        client.read("Patient", "p1")
    found, given, read = (call.request for call in wire.network.calls)
    assert "Authorization" not in found.headers
    assert "Authorization" not in given.headers
    assert read.headers["Authorization"] == f"Bearer {TOKEN}"
    assert "client_assertion" not in str(read.body)


@pytest.mark.parametrize(
    ("said", "scopes"),
    [
        ({}, "system/Observation.read system/Observation.write system/Patient.read system/Patient.write"),
        ({"capabilities": ["permission-v2"], "scopes_supported": ["system/*.rs", "openid"]}, "system/*.cruds"),
        ({"scopes_supported": ["system/Patient.read", "system/*.read"], "capabilities": ["permission-v2"]},
         "system/Observation.cruds system/Patient.cruds"),
    ],
)  # fmt: skip
def test_scopes_are_asked_for_in_the_words_that_the_server_knows(wire: Wire, said: Any, scopes: str) -> None:
    wire.configured(**said)
    wire.network.post(TOKEN_URL, json=GIVEN)
    with wire.connect() as client:
        client.read("Patient", "p1")
    assert wire.forms()[0]["scope"] == scopes


@pytest.mark.parametrize("missing", [{"status": 404}, {"body": "<html>", "content_type": "text/html"}, {"json": {}}])
def test_without_a_smart_configuration_the_capability_statement_is_asked(wire: Wire, missing: dict[str, Any]) -> None:
    wire.network.get(CONFIGURATION, **missing)
    uris = {"url": OAUTH_URIS, "extension": [{"url": "token", "valueUri": TOKEN_URL}]}
    rest = {"mode": "server", "security": {"extension": [uris]}}
    wire.network.get(f"{BASE}/metadata", json={"resourceType": "CapabilityStatement", "rest": [rest]})
    wire.network.post(TOKEN_URL, json=GIVEN)
    with wire.connect() as client:
        assert client.read("Patient", "p1") == PATIENT


def test_a_server_that_names_no_token_endpoint_is_told(wire: Wire) -> None:
    wire.network.get(CONFIGURATION, status=404)
    wire.network.get(f"{BASE}/metadata", json={"resourceType": "CapabilityStatement"})
    with wire.connect() as client, pytest.raises(FatalHospitalError, match="hospital_token_url"):
        client.read("Patient", "p1")


def test_a_configuration_that_is_out_for_a_moment_is_asked_again_and_not_done_without(wire: Wire) -> None:
    wire.network.get(CONFIGURATION, status=503)
    wire.configured()
    wire.network.post(TOKEN_URL, json=GIVEN)
    with wire.connect() as client:
        client.read("Patient", "p1")
    assert wire.pauses == [0.5]


@pytest.mark.parametrize("url", ["http://login.test/token", "ftp://login.test/token", "/token"])
def test_nothing_secret_is_sent_to_a_token_endpoint_that_is_not_https(wire: Wire, url: str) -> None:
    wire.network.get(CONFIGURATION, json={"token_endpoint": url})
    with wire.connect() as client, pytest.raises(FatalHospitalError, match="hospital_token_url"):
        client.read("Patient", "p1")
    assert len(wire.network.calls) == 1


def test_a_server_that_takes_other_signatures_is_told_before_one_is_made(wire: Wire) -> None:
    wire.configured(token_endpoint_auth_signing_alg_values_supported=["ES384"])
    with wire.connect() as client, pytest.raises(FatalHospitalError, match=r"takes ES384, but .* signs with RS384"):
        client.read("Patient", "p1")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_token_endpoint_in_trouble_is_asked_again(wire: Wire, status: int) -> None:
    wire.configured()
    wire.network.post(TOKEN_URL, status=status, headers={"Retry-After": "7"})
    wire.network.post(TOKEN_URL, json=GIVEN)
    with wire.connect() as client:
        client.read("Patient", "p1")
    assert wire.pauses == [7.0]


def test_a_token_endpoint_that_stays_in_trouble_is_a_temporary_failure(wire: Wire) -> None:
    wire.configured()
    wire.network.post(TOKEN_URL, status=503)
    with wire.connect() as client, pytest.raises(TemporaryHospitalError, match=r"login\.test.*503"):
        client.read("Patient", "p1")
    assert len(wire.forms()) == 3


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 302, "headers": {"Location": "https://evil.test/"}},
        {"status": 400, "json": {"error": "invalid_request"}},
        {"status": 403, "body": "<html>no</html>", "content_type": "text/html"},
        {"body": "<html>please log in</html>", "content_type": "text/html"},
        {"json": {"token_type": "bearer"}},
        {"json": {"access_token": "", "token_type": "bearer"}},
        {"json": {"access_token": "x\r\nX-Evil: 1", "token_type": "bearer"}},
        {"json": {**GIVEN, "token_type": "mac"}},
    ],
)
def test_an_answer_that_is_no_token_is_fatal_and_counts_as_not_let_in(wire: Wire, answer: dict[str, Any]) -> None:
    wire.configured()
    wire.network.post(TOKEN_URL, **answer)
    with wire.connect() as client, pytest.raises(FatalHospitalError, match=r"token from https://login\.test") as caught:
        client.read("Patient", "p1")
    assert caught.value.status == 401
    assert len(wire.forms()) == 1


@pytest.mark.parametrize("lifetime", ["300", None, "soon"])
def test_a_lifetime_may_be_text_or_missing(wire: Wire, lifetime: str | None) -> None:
    wire.configured()
    wire.network.post(TOKEN_URL, json={**GIVEN, "expires_in": lifetime})
    with wire.connect() as client:
        for wire.now in (NOW, NOW + 239, NOW + 241):
            client.read("Patient", "p1")
    assert len(wire.forms()) == 2


def test_a_401_is_answered_with_one_fresh_token(wire: Wire) -> None:
    wire.configured()
    wire.network.post(TOKEN_URL, json={**GIVEN, "access_token": "old"})
    wire.network.post(TOKEN_URL, json=GIVEN)
    wire.network.replace(responses.GET, f"{BASE}/Patient/p1", status=401)
    wire.network.get(f"{BASE}/Patient/p1", json=PATIENT)
    with wire.connect() as client:
        assert client.read("Patient", "p1") == PATIENT
    sent = [call.request.headers["Authorization"] for call in wire.network.calls if "Patient" in str(call.request.url)]
    assert sent == ["Bearer old", f"Bearer {TOKEN}"]


def test_a_post_that_may_not_be_repeated_is_repeated_after_401_since_nothing_was_done(wire: Wire) -> None:
    wire.configured()
    wire.network.post(TOKEN_URL, json=GIVEN)
    wire.network.post(BASE, status=401)
    done = {"response": {"status": "201 Created"}}
    wire.network.post(BASE, json={"resourceType": "Bundle", "type": "transaction-response", "entry": [done]})
    entry = {"resource": {"resourceType": "Patient"}, "request": {"method": "POST", "url": "Patient"}}
    with wire.connect() as client:
        assert client.send([entry], "transaction")[0].status == 201


@pytest.mark.parametrize(("listed", "method"), [([], None), (["client_secret_post"], "basic")])
def test_a_secret_goes_into_the_header_unless_only_the_form_is_listed(
    wire: Wire, listed: list[str], method: str | None
) -> None:
    wire.configured(token_endpoint_auth_methods_supported=listed)
    wire.network.post(TOKEN_URL, json=GIVEN)
    secret = "a:b c%"
    with wire.connect(
        "client-credentials", hospital_client_secret=secret, hospital_client_secret_method=method
    ) as client:
        client.read("Patient", "p1")
    sent = wire.network.calls[1].request.headers["Authorization"].removeprefix("Basic ")
    assert base64.b64decode(sent) == b"trial:a%3Ab+c%25"
    assert "client_secret" not in wire.forms()[0]


@pytest.mark.parametrize(("listed", "method"), [(["client_secret_post"], None), ([], "post")])
def test_a_secret_goes_into_the_form_where_that_is_listed_or_set(
    wire: Wire, listed: list[str], method: str | None
) -> None:
    wire.configured(token_endpoint_auth_methods_supported=listed)
    wire.network.post(TOKEN_URL, json=GIVEN)
    with wire.connect("client-credentials", hospital_client_secret_method=method) as client:
        client.read("Patient", "p1")
    assert wire.forms()[0] | {"scope": ""} == {
        "grant_type": "client_credentials", "client_id": "trial", "client_secret": SECRET, "scope": "",
    }  # fmt: skip
    assert "Authorization" not in wire.network.calls[1].request.headers


def test_a_token_url_that_is_set_needs_no_discovery(wire: Wire) -> None:
    wire.network.post(TOKEN_URL, json=GIVEN)
    with wire.connect("client-credentials", hospital_token_url=TOKEN_URL) as client:
        client.read("Patient", "p1")
    assert "scope" not in wire.forms()[0]
    assert len(wire.network.calls) == 2


@pytest.mark.parametrize("way", ["smart", "client-credentials"])
@pytest.mark.parametrize("code", ["invalid_client", "invalid_scope", "unauthorized_client", "something_else"])
def test_no_message_holds_what_a_token_endpoint_quotes_back(wire: Wire, way: str, code: str) -> None:
    def quote(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        header = request.headers.get("Authorization", "")
        form = {name: values[0] for name, values in parse_qs(str(request.body)).items()}
        said = f"got {form.get('client_assertion')} {form.get('client_secret')} {header} for trial"
        error = f"{code} {said}" if code == "something_else" else code
        return 400, {}, json.dumps({"error": error, "error_description": said})

    wire.configured()
    wire.network.add_callback(responses.POST, TOKEN_URL, quote)
    method = "post" if way == "client-credentials" else None
    with wire.connect(way, hospital_client_secret_method=method) as client, pytest.raises(FatalHospitalError) as caught:
        client.read("Patient", "p1")
    told = _told(caught)
    assert code in told
    assert SECRET not in told
    assert "eyJ" not in told


def test_no_message_holds_the_token_that_a_hospital_quotes_back(wire: Wire) -> None:
    wire.configured()
    wire.network.post(TOKEN_URL, json=GIVEN)
    issue = {"severity": "error", "code": "login", "diagnostics": f"bad token {TOKEN}"}
    outcome = {"resourceType": "OperationOutcome", "issue": [issue]}
    wire.network.replace(responses.GET, f"{BASE}/Patient/p1", status=403, json=outcome)
    with wire.connect() as client, pytest.raises(FatalHospitalError, match=r"bad token \(hidden\)") as caught:
        client.read("Patient", "p1")
    assert TOKEN not in _told(caught)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.test/Patient",
        "https://hospital.test@evil.test/fhir/Patient",
        "http://hospital.test/fhir/Patient",
        "https://hospital.test:444/fhir/Patient",
    ],
)
def test_no_request_ever_goes_to_another_server_than_the_hospitals(wire: Wire, url: str) -> None:
    wire.configured()
    wire.network.post(TOKEN_URL, json=GIVEN)
    with wire.connect() as client, pytest.raises(FatalHospitalError, match="is another server than"):
        client._exchange("GET", url, "GET Patient")
    assert len(wire.network.calls) == 0


def test_threads_that_wait_for_a_token_share_its_failure() -> None:
    asked: list[int] = []

    def obtain() -> Token:
        asked.append(1)
        under_way = tokens._under_way
        while len(asked) == 1 and under_way is not None and len(under_way._condition._waiters) < 3:  # type: ignore[attr-defined]
            time.sleep(0.001)
        raise TemporaryHospitalError("the token endpoint is down")

    tokens = Tokens(obtain, lambda: NOW)
    with ThreadPoolExecutor(4) as pool:
        errors = [one.exception(60) for one in [pool.submit(tokens.current) for _ in range(4)]]
    assert all(isinstance(error, TemporaryHospitalError) for error in errors)
    assert len(asked) == 1
    with pytest.raises(TemporaryHospitalError):
        tokens.current()
    assert len(asked) == 2


def test_a_token_refused_late_does_not_throw_away_its_successor() -> None:
    given = iter(["first", "second", "third"])
    tokens = Tokens(lambda: Token(next(given), NOW, NOW + 300), lambda: NOW)
    assert tokens.current() == "first"
    assert tokens.refused("first")
    assert tokens.current() == "second"
    assert tokens.refused("first")
    assert tokens.current() == "second"


def test_a_token_does_not_show_itself() -> None:
    assert TOKEN not in repr(Token(TOKEN, NOW, NOW + 1))
