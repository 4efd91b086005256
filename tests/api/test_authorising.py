"""Using a token: what it opens, what it does not, and when it stops to."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from werkzeug.test import TestResponse

from fhirbridge.api import authorising
from fhirbridge.api.access_tokens import new_key, read_key
from fhirbridge.api.authorising import NEEDS
from fhirbridge.errors import ConfigurationError
from tests.api.registering import BASE, EC_KEY, Clock, Service, encoded, hs256, public_pem


def denied(answer: TestResponse) -> tuple[int, str, str]:
    """Return status, issue code and WWW-Authenticate of an answer that is an OperationOutcome."""
    assert answer.content_type == "application/fhir+json"
    assert answer.json is not None
    assert answer.json["resourceType"] == "OperationOutcome"
    [issue] = answer.json["issue"]
    return answer.status_code, issue["code"], answer.headers["WWW-Authenticate"]


def test_without_a_token_nothing_is_served_and_the_scheme_is_named(service: Service) -> None:
    status, code, scheme = denied(service.use(None))
    assert (status, code) == (401, "login")
    assert scheme.startswith("Bearer")
    assert "error" not in scheme


@pytest.mark.parametrize(
    "header", ["Basic YTpi", "Bearer", "Bearer ", "token x", "Bearer a b", "bearer é", "Bearer a, Bearer b"]
)
def test_what_is_no_token_opens_nothing(service: Service, header: str) -> None:
    answer = service.http.get("/asked/Patient/read", headers={"Authorization": header})
    assert denied(answer)[:2] == (401, "login")


def test_a_token_in_the_url_or_in_a_form_is_none(service: Service) -> None:
    token = service.token()
    assert service.http.get(f"/asked/Patient/read?access_token={token}").status_code == 401
    assert service.http.get("/asked/Patient/read", data={"access_token": token}).status_code == 401
    assert service.http.get("/asked/Patient/read", headers={"Cookie": f"access_token={token}"}).status_code == 401


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        ("system/Observation.rs", {"read", "vread", "history_instance", "history_type", "search_type", "export",
                                   "everything", "validate"}),
        ("system/Observation.read", {"read", "vread", "history_instance", "history_type", "search_type", "export",
                                     "everything", "validate"}),
        ("system/Observation.r", {"read", "vread", "history_instance", "validate"}),
        ("system/Observation.s", {"search_type", "history_type", "validate"}),
        ("system/Patient.rs", {"validate"}),
    ],
)  # fmt: skip
def test_what_a_token_opens_is_what_its_scopes_say(service: Service, scope: str, allowed: set[str]) -> None:
    token = service.token(scope=scope)
    for interaction in NEEDS:
        answer = service.use(token, f"/Observation/{interaction}")
        if interaction in allowed:
            assert answer.status_code == 200, interaction
        else:
            status, code, scheme = denied(answer)
            assert (status, code) == (403, "forbidden")
            assert "insufficient_scope" in scheme


def test_types_that_the_agreement_lets_out_no_more_are_closed_at_once(service: Service) -> None:
    token = service.token()
    assert service.use(token).status_code == 200
    assert service.access is not None
    assert service.access.types("export") == ["Observation", "Patient", "ResearchSubject"]
    service.contracts["A1"].types = {"Patient"}
    assert service.use(token).status_code == 403
    assert service.access.types("export") == ["Patient"]
    service.contracts["A1"].ended = True
    assert service.use(token).status_code == 401


def test_a_token_is_worth_nothing_once_it_has_expired_used_before_or_not(service: Service, clock: Clock) -> None:
    used, unused = service.token(), service.token()
    assert service.use(used).status_code == 200
    clock.turn(299)
    assert service.use(used).status_code == 200
    clock.turn(1)
    assert 'error="invalid_token"' in denied(service.use(used))[2].replace(
        "error=invalid_token", 'error="invalid_token"'
    )
    assert service.use(unused).status_code == 401


def test_a_token_of_one_registry_opens_nothing_of_another(service: Service) -> None:
    service.register("c2", agreement="A2")
    own, other = service.token("c1"), service.token("c2")
    assert service.http.get("/asked-of/A1", headers={"Authorization": f"Bearer {own}"}).status_code == 200
    for token, agreement in ((own, "A2"), (other, "A1"), (own, "A3"), (own, "a1"), (own, "A1%20")):
        answer = service.http.get(f"/asked-of/{agreement}", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 404


def test_a_revoked_client_has_no_access_any_more_whatever_tokens_it_holds(service: Service, clock: Clock) -> None:
    service.register("c2", agreement="A2")
    token, other = service.token("c1"), service.token("c2")
    assert service.use(token).status_code == service.use(other).status_code == 200
    assert service.store.clients.revoke("c1", by="ann")
    clock.turn(1)
    assert "revoked" in denied(service.use(token))[2]
    assert service.ask().status_code == 400
    assert service.use(other).status_code == 200
    assert not service.store.clients.revoke("c1", by="ann")


def test_a_revoked_token_opens_nothing_and_the_clients_next_one_does(service: Service, clock: Clock) -> None:
    token = service.token()
    assert service.use(token).status_code == 200
    assert service.access is not None
    service.store.clients.revoke_token(service.access.token, expires=clock.now().replace(hour=13), by="ann")
    clock.turn(1)
    assert service.use(token).status_code == 401
    assert service.use(service.token()).status_code == 200


def test_revocations_are_read_once_a_second_and_not_for_every_request(service: Service, clock: Clock) -> None:
    token = service.token()
    assert service.use(token).status_code == 200
    service.store.clients.revoke("c1", by="ann")
    clock.turn(0.9)
    assert service.use(token).status_code == 200
    clock.turn(0.1)
    assert service.use(token).status_code == 401


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    header, claims, signature = token.split(".")
    return (*(json.loads(base64.urlsafe_b64decode(part + "==")) for part in (header, claims)), signature)  # type: ignore[return-value]


@pytest.mark.parametrize(
    "changed",
    [
        {"scope": "system/Medication.rs"},
        {"agreement": "A2"},
        {"sub": "c2"},
        {"exp": 4_000_000_000},
        {"jti": "another"},
        {"more": "than was signed"},
    ],
    ids=str,
)
def test_a_token_that_was_tampered_with_is_none(service: Service, changed: dict[str, Any]) -> None:
    header, claims, signature = parts(service.token())
    forged = f"{encoded(header)}.{encoded(claims | changed)}.{signature}"
    assert service.use(forged).status_code == 401


@pytest.mark.parametrize("alg", ["none", "HS256", "ES256", "RS384"])
def test_the_algorithm_in_a_tokens_header_is_not_followed(service: Service, alg: str) -> None:
    header, claims, signature = parts(service.token())
    for end in (signature, ""):
        assert service.use(f"{encoded(header | {'alg': alg})}.{encoded(claims)}.{end}").status_code == 401


def test_a_token_that_another_key_signed_is_none(service: Service, tmp_path: Path) -> None:
    header, claims, _ = parts(service.token())
    strange = ec.generate_private_key(ec.SECP384R1())
    assert service.use(jwt.encode(claims, strange, "ES384", header)).status_code == 401
    secret = public_pem(read_key(tmp_path / "api.key"))
    assert service.use(hs256({**header, "alg": "HS256"}, claims, secret)).status_code == 401
    assert service.use(hs256(header, claims, secret)).status_code == 401


@pytest.mark.parametrize(
    ("header", "claims"),
    [
        ({"typ": "JWT"}, {}),
        ({"typ": None}, {}),
        ({"kid": "other"}, {}),
        ({}, {"aud": "https://other.example/fhir"}),
        ({}, {"iss": "https://other.example/fhir"}),
        ({}, {"aud": f"{BASE}/"}),
        ({}, {"agreement": None}),
        ({}, {"exp": None}),
        ({}, {"jti": None}),
    ],
    ids=str,
)
def test_a_statement_of_our_own_key_that_is_no_access_token_of_this_service_is_none(
    service: Service, tmp_path: Path, header: dict[str, Any], claims: dict[str, Any]
) -> None:
    own_header, own_claims, _ = parts(service.token())
    given = {name: value for name, value in (own_claims | claims).items() if value is not None}
    signed = jwt.encode(given, read_key(tmp_path / "api.key"), "ES384", own_header | header)
    assert service.use(signed).status_code == 401
    assert service.use(jwt.encode(own_claims, read_key(tmp_path / "api.key"), "ES384", own_header)).status_code == 200


def test_a_clients_own_statement_is_no_access_token(service: Service) -> None:
    assert service.use(service.statement()).status_code == 401
    assert service.use(service.statement(aud=BASE, key=EC_KEY, header={"typ": "at+jwt"})).status_code == 401


def test_a_token_of_a_service_with_another_key_or_address_is_none(service: Service, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    other_key = Service(service.store, folder, service.clock)
    assert other_key.use(service.token()).status_code == 401
    other_base = Service(service.store, tmp_path, service.clock, base="https://fhir.other.example/fhir")
    assert other_base.use(service.token()).status_code == 401


def test_what_strangers_make_up_is_not_kept_and_neither_is_more_than_so_many(
    service: Service, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert service.use("a" * 20_000).status_code == 401
    authoriser = service.door.authoriser
    for _ in range(3):
        token = service.token()
        assert service.use(token).status_code == 200
    assert len(authoriser._known) == 3
    assert service.use("wrong.token.here").status_code == 401
    assert len(authoriser._known) == 3
    monkeypatch.setattr(authorising, "MOST_TOKENS", 4)
    tokens = [service.token() for _ in range(10)]
    for token in tokens:
        assert service.use(token).status_code == 200
        assert len(authoriser._known) <= 4
    assert service.use(tokens[0]).status_code == 200


def test_a_key_is_never_overwritten_and_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    file = tmp_path / "key"
    new_key(file)
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.read_bytes()
    with pytest.raises(ConfigurationError, match="exists already"):
        new_key(file)
    assert file.read_bytes() == before
    file.chmod(0o644)
    with pytest.raises(ConfigurationError, match="every user of this machine"):
        read_key(file)
    file.write_text("not a key")
    file.chmod(0o600)
    with pytest.raises(ConfigurationError, match="P-384") as caught:
        read_key(file)
    assert "not a key" not in str(caught.value)
