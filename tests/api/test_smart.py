"""Getting a token: who gets one, for what, and what a registry's client finds out about where to ask."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jwt
import pytest

from fhirbridge.api import create_app
from fhirbridge.api.assertions import ASSERTION_TYPE
from fhirbridge.api.smart import smart
from fhirbridge.api.throttling import neighbourhood
from fhirbridge.audit.event import SignIn
from fhirbridge.errors import StoreError
from tests.api.registering import BASE, EC_KEY, RSA_KEY, START, TOKEN_URL, TYPES, Clock, Service, refusal


@pytest.mark.parametrize("path", ["/fhir/.well-known/smart-configuration", "/.well-known/smart-configuration"])
def test_where_tokens_are_to_be_had_is_said_at_the_base_and_at_the_root(service: Service, path: str) -> None:
    answer = service.http.get(path)
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    assert answer.json is not None
    assert answer.json["token_endpoint"] == TOKEN_URL
    assert answer.json["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]
    assert answer.json["token_endpoint_auth_signing_alg_values_supported"] == ["RS384", "ES384"]
    assert answer.json["grant_types_supported"] == ["client_credentials"]
    assert {"client-confidential-asymmetric", "permission-v1", "permission-v2"} <= set(answer.json["capabilities"])
    assert {"system/*.rs", "system/Observation.read"} <= set(answer.json["scopes_supported"])
    assert "system/Observation.cruds" not in answer.json["scopes_supported"]


def test_the_token_endpoint_named_does_not_follow_the_host_that_a_request_names(service: Service) -> None:
    answer = service.http.get(
        "/.well-known/smart-configuration", headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
    )
    assert answer.json is not None
    assert answer.json["token_endpoint"] == TOKEN_URL


@pytest.mark.parametrize(("key", "alg"), [(RSA_KEY, "RS384"), (EC_KEY, "ES384")], ids=["RS384", "ES384"])
def test_a_client_that_proves_who_it_is_gets_a_short_token(service: Service, key: Any, alg: str) -> None:
    answer = service.ask(service.statement(key=key, alg=alg), scope="system/Observation.rs")
    assert answer.status_code == 200
    assert (answer.headers["Cache-Control"], answer.headers["Pragma"]) == ("no-store", "no-cache")
    assert answer.json is not None
    assert answer.json["token_type"] == "bearer"
    assert answer.json["expires_in"] == 300
    assert answer.json["scope"] == "system/Observation.rs"
    said = jwt.decode(answer.json["access_token"], options={"verify_signature": False})
    assert (said["sub"], said["agreement"], said["iss"], said["aud"]) == ("c1", "A1", BASE, BASE)
    assert service.use(answer.json["access_token"]).status_code == 200
    assert [(one.client, one.token, one.error) for one in service.heard] == [("c1", said["jti"], None)]


def test_how_long_a_token_lives_is_a_setting(service: Service) -> None:
    short = Service(service.store, service.folder, service.clock, {"api_token_seconds": 20})
    assert (short.ask(short.statement()).json or {})["expires_in"] == 20
    token = short.token()
    short.clock.turn(19)
    assert short.use(token).status_code == 200
    short.clock.turn(1)
    assert short.use(token).status_code == 401


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        ("system/Observation.read", "system/Observation.read"),
        ("system/Observation.rs", "system/Observation.rs"),
        ("system/Observation.r system/Patient.s", "system/Observation.r system/Patient.s"),
        ("system/*.read", "system/Observation.read system/Patient.read system/ResearchSubject.read"),
        ("system/*.s", "system/Observation.s system/Patient.s system/ResearchSubject.s"),
        ("system/Observation.*", "system/Observation.read"),
        ("system/Observation.cruds", "system/Observation.rs"),
        ("system/Observation.read system/Observation.write", "system/Observation.read"),
        ("system/Observation.rs system/Medication.rs", "system/Observation.rs"),
        ("launch system/Patient.read offline_access openid fhirUser user/*.rs", "system/Patient.read"),
        ("  system/Patient.rs   system/Patient.rs ", "system/Patient.rs"),
    ],
)
def test_what_is_granted_is_what_was_asked_for_and_is_allowed(service: Service, asked: str, granted: str) -> None:
    answer = service.ask(scope=asked)
    assert answer.json is not None
    assert answer.json.get("scope") == granted


def test_a_registration_narrows_what_the_agreement_allows(service: Service) -> None:
    service.register("c2", scopes="system/Observation.r system/Medication.rs")
    answer = service.ask(service.statement("c2"), scope="system/*.read system/Medication.read")
    assert (answer.json or {})["scope"] == "system/Observation.r"


@pytest.mark.parametrize(
    "scope",
    [
        None,
        "",
        " ",
        "launch",
        "launch/patient",
        "offline_access",
        "openid fhirUser",
        "user/Observation.read",
        "patient/Observation.rs",
        "system/Observation.write",
        "system/*.write",
        "system/Observation.c",
        "system/Observation.cud",
        "system/Observation.sr",
        "system/Observation.",
        "system/Observation.READ",
        "system/observation.read",
        "system/Medication.read",
        "system/Observation/read",
        "SYSTEM/Observation.read",
        "system/*",
        "*",
        "system/Observation.rs?category=laboratory",
        "system/Patient.rs system/Observation.rs?code=1",
        "system/Patient.rs " + "x" * 5000,
        "system/Obsérvation.rs",
        'é\x00\n"\\',
    ],
)
def test_scopes_of_which_nothing_can_be_granted_are_refused(service: Service, scope: str | None) -> None:
    assert refusal(service.ask(scope=scope)) == (400, "invalid_scope")


def test_a_scope_narrowed_by_a_search_is_refused_saying_so(service: Service) -> None:
    answer = service.ask(scope="system/Observation.rs?category=laboratory")
    assert "not supported" in (answer.json or {})["error_description"]


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("grant_type", None, "invalid_request"),
        ("grant_type", "authorization_code", "unsupported_grant_type"),
        ("grant_type", ["client_credentials", "client_credentials"], "invalid_request"),
        ("scope", ["system/Patient.rs", "system/*.cruds"], "invalid_request"),
        ("client_assertion", ["a.b.c", "a.b.c"], "invalid_request"),
        ("client_assertion", None, "invalid_request"),
        ("client_assertion_type", None, "invalid_request"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer", "invalid_request"),
        ('anything"\\é', ["1", "2"], "invalid_request"),
    ],
)
def test_a_form_that_is_not_whole_or_says_things_twice_is_refused(
    service: Service, field: str, value: Any, error: str
) -> None:
    answer = service.ask(**{field: value})
    assert refusal(answer) == (400, error)
    assert service.ask().status_code == 200


def test_parameters_in_the_url_are_refused_since_logs_would_keep_them(service: Service) -> None:
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": service.statement(),
        "scope": "system/*.rs",
    }
    twice = service.http.post("/fhir/auth/token", query_string={"scope": "system/*.rs"}, data=form)
    assert refusal(twice) == (400, "invalid_request")
    assert refusal(service.http.post("/fhir/auth/token", query_string=form)) == (400, "invalid_request")
    assert service.http.post("/fhir/auth/token", data=form).status_code == 200


def test_a_body_that_is_no_form_or_too_large_is_refused(service: Service) -> None:
    sent = {"grant_type": "client_credentials", "client_assertion": service.statement()}
    assert refusal(service.http.post("/fhir/auth/token", json=sent)) == (400, "invalid_request")
    large = service.http.post("/fhir/auth/token", data={"client_assertion": "x" * 20_000})
    assert refusal(large) == (413, "invalid_request")
    assert service.ask(service.statement(padding="x" * 9_000)).status_code == 400


def test_a_secret_instead_of_a_signature_is_refused(service: Service) -> None:
    answer = service.ask(client_assertion=None, client_assertion_type=None, client_id="c1", client_secret="s")
    assert refusal(answer) == (400, "invalid_client")


def test_the_endpoint_takes_nothing_but_post_and_no_other_address(service: Service) -> None:
    assert service.http.get("/fhir/auth/token").status_code == 405
    assert service.http.post("/fhir/auth/token/").status_code == 404
    assert service.http.post("/auth/token").status_code == 404


def test_without_an_agreement_in_force_there_is_no_token(service: Service) -> None:
    service.register("c3", agreement="never-signed")
    assert refusal(service.ask(service.statement("c3"))) == (400, "unauthorized_client")
    service.contracts["A1"].ended = True
    assert refusal(service.ask()) == (400, "unauthorized_client")


def test_who_fails_often_has_to_wait_and_others_do_not(service: Service, clock: Clock) -> None:
    service.register("c2")
    for _ in range(10):
        assert refusal(service.ask(service.statement(aud="elsewhere"))) == (400, "invalid_client")
    limited = service.ask()
    assert refusal(limited) == (429, "temporarily_unavailable")
    assert 0 < int(limited.headers["Retry-After"]) <= 60
    assert service.ask(service.statement("c2")).status_code == 200
    clock.turn(int(limited.headers["Retry-After"]))
    assert service.ask().status_code == 200


def test_an_address_that_tries_many_clients_has_to_wait(service: Service, clock: Clock) -> None:
    for number in range(60):
        service.ask(service.statement(f"guess-{number}"))
    assert refusal(service.ask())[0] == 429
    other = service.http.post("/fhir/auth/token", data={}, environ_overrides={"REMOTE_ADDR": "192.0.2.7"})
    assert other.status_code == 400
    clock.turn(60)
    assert service.ask().status_code == 200


def test_a_header_does_not_make_one_who_fails_another_one(service: Service) -> None:
    for number in range(60):
        forwarded = {"X-Forwarded-For": f"192.0.2.{number}", "Forwarded": f"for=192.0.2.{number}"}
        service.http.post("/fhir/auth/token", data={"grant_type": "x"}, headers=forwarded)
    assert refusal(service.ask())[0] == 429


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.7", "192.0.2.7", True),
        ("192.0.2.7", "192.0.2.8", False),
    ],
)
def test_who_fails_is_told_apart_by_line_and_not_by_address(one: str, other: str, same: bool) -> None:
    assert (neighbourhood(one) == neighbourhood(other)) is same


def test_what_is_refused_is_told_to_who_keeps_records_without_the_statement(service: Service) -> None:
    statement = service.statement(aud="elsewhere")
    service.ask(statement)
    [kept] = service.heard
    assert (kept.client, kept.token, kept.error) == ("c1", None, "invalid_client")
    assert statement not in str(kept)


def test_who_has_to_wait_is_not_noted_again_and_again(service: Service) -> None:
    for _ in range(30):
        service.ask(service.statement(aud="elsewhere"))
    assert len(service.heard) == 10


def test_a_token_that_cannot_be_noted_is_not_given(service: Service) -> None:
    def full(_asked: SignIn) -> None:
        raise StoreError("the disk is full.")

    service.http = create_app(lambda: service.store, also=(smart(service.door.endpoint, TYPES, full),)).test_client()
    answer = service.ask()
    assert refusal(answer) == (503, "temporarily_unavailable")
    assert "access_token" not in answer.text


def test_a_store_that_cannot_be_read_is_a_refusal_that_may_pass(service: Service, tmp_path: Path) -> None:
    statement = service.statement()
    service.store.close()
    database = tmp_path / "registry.db"
    database.write_bytes(b"no database" * 1000)
    for rest in tmp_path.glob("registry.db-*"):
        rest.unlink()
    assert refusal(service.ask(statement)) == (503, "temporarily_unavailable")


def test_error_descriptions_have_no_character_that_oauth_forbids(service: Service) -> None:
    answer = service.ask(scope='system/"é\\\n')
    said = json.loads(answer.data)["error_description"]
    assert all(0x20 <= ord(char) < 0x7F and char not in '"\\' for char in said)


def test_the_clock_of_the_tests_is_the_one_of_the_service(service: Service) -> None:
    said = jwt.decode(service.token(), options={"verify_signature": False})
    assert said["iat"] == int(START.timestamp())


def test_the_scopes_of_the_agreement_bound_those_of_the_registration(service: Service) -> None:
    service.contracts["A1"].scopes = ("system/Patient.rs", "system/Observation.s")
    answer = service.ask(scope="system/*.rs")
    assert (answer.json or {})["scope"] == "system/Observation.s system/Patient.rs"
    assert refusal(service.ask(scope="system/ResearchSubject.read")) == (400, "invalid_scope")
