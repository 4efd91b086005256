"""Attacks on the token endpoint: every statement that proves nothing is refused, whoever made it."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from fhirbridge.store import Store
from tests.api.registering import (
    BASE,
    EC_KEY,
    RSA_KEY,
    STRANGE_KEY,
    TOKEN_URL,
    Clock,
    Service,
    encoded,
    hs256,
    jwks,
    public_jwk,
    public_pem,
    refusal,
)
from tests.databases import database_url as database_url
from tests.databases import postgresql_server as postgresql_server

UNKNOWN = "no client that is registered here signed this with a key of its own."


def text(answer: Any) -> str:
    return str(answer.json["error_description"])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"exp": -1}, "expired"),
        ({"exp": 0}, "expired"),
        ({"exp": -86_400}, "expired"),
        ({"exp": 331}, "more than five minutes"),
        ({"exp": 86_400}, "more than five minutes"),
        ({"nbf": 31}, "future (nbf)"),
        ({"iat": 31}, "future (iat)"),
    ],
)
def test_a_statement_outside_its_time_is_refused(service: Service, changed: dict[str, int], said: str) -> None:
    now = int(service.clock.now().timestamp())
    answer = service.ask(service.statement(**{name: now + seconds for name, seconds in changed.items()}))
    assert refusal(answer) == (400, "invalid_client")
    assert said in text(answer)


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", ["soon", True, [1], -5, 1e300, {"a": 1}])
def test_a_time_that_is_no_number_of_seconds_is_refused(service: Service, name: str, value: Any) -> None:
    claims = service.claims(**{name: value})
    signed = jwt.api_jws.encode(json.dumps(claims).encode(), EC_KEY, "ES384", {"kid": "ec"})
    assert refusal(service.ask(signed)) == (400, "invalid_client")


def test_a_clock_half_a_minute_ahead_and_fractions_of_seconds_are_borne(service: Service) -> None:
    now = service.clock.now().timestamp()
    assert service.ask(service.statement(exp=now + 329.5, nbf=now + 29.5, iat=now + 29)).status_code == 200


@pytest.mark.parametrize("name", ["exp", "jti", "aud", "iss", "sub"])
def test_a_statement_that_lacks_a_member_is_refused(service: Service, name: str) -> None:
    assert refusal(service.ask(service.statement(**{name: None}))) == (400, "invalid_client")


@pytest.mark.parametrize("jti", ["", 5, None, ["a"], "x" * 256, "a\nb"])
def test_an_id_that_cannot_be_kept_is_refused(service: Service, jti: Any) -> None:
    signed = jwt.api_jws.encode(json.dumps(service.claims() | {"jti": jti}).encode(), EC_KEY, "ES384", {"kid": "ec"})
    assert refusal(service.ask(signed)) == (400, "invalid_client")


@pytest.mark.parametrize(
    "audience",
    [
        BASE,
        f"{BASE}/",
        f"{TOKEN_URL}/",
        f"{TOKEN_URL}?a=b",
        f"{TOKEN_URL}#",
        TOKEN_URL.replace("https", "http"),
        TOKEN_URL.replace("trial", "other"),
        TOKEN_URL.upper(),
        TOKEN_URL[:-1],
        f"{TOKEN_URL}x",
        f" {TOKEN_URL}",
        "https://fhir.trial.example:443/fhir/auth/token",
        f"{BASE}/auth/../auth/token",
        [TOKEN_URL, "https://other.example/token"],
        [],
        [[TOKEN_URL]],
        5,
        {"a": TOKEN_URL},
    ],
)
def test_a_statement_for_another_address_is_refused(service: Service, audience: Any) -> None:
    signed = jwt.api_jws.encode(
        json.dumps(service.claims() | {"aud": audience}).encode(), EC_KEY, "ES384", {"kid": "ec"}
    )
    answer = service.ask(signed)
    assert refusal(answer) == (400, "invalid_client")
    assert TOKEN_URL in text(answer)


def test_a_list_of_one_audience_and_those_that_are_configured_are_taken(service: Service) -> None:
    assert service.ask(service.statement(aud=[TOKEN_URL])).status_code == 200
    lax = Service(service.store, service.folder, service.clock, {"api_audiences": (BASE,)})
    assert lax.ask(lax.statement(aud=BASE)).status_code == 200
    assert lax.ask(lax.statement(aud=f"{BASE}/")).status_code == 400


def test_a_statement_is_taken_once(service: Service) -> None:
    statement = service.statement()
    assert service.ask(statement).status_code == 200
    again = service.ask(statement)
    assert refusal(again) == (400, "invalid_client")
    assert "jti" in text(again)
    another = service.ask(service.statement(jti="same"))
    assert another.status_code == 200
    assert service.ask(service.statement(jti="same", exp=int(service.clock.now().timestamp()) + 100)).status_code == 400


def test_two_clients_may_use_the_same_id_and_neither_can_use_up_the_others(service: Service) -> None:
    service.register("c2", jwks=jwks(public_jwk(STRANGE_KEY, "ec")))
    assert service.ask(service.statement("c2", key=STRANGE_KEY, jti="mine")).status_code == 200
    assert service.ask(service.statement("c1", jti="mine")).status_code == 200
    forged = service.statement("c1", key=STRANGE_KEY, jti="next")
    assert service.ask(forged).status_code == 400
    assert service.ask(service.statement("c1", jti="next")).status_code == 200


def test_an_id_is_kept_as_long_as_its_statement_could_be_shown_again(service: Service, clock: Clock) -> None:
    ends = clock.now().timestamp() + 239.5
    statement = service.statement(exp=ends)
    assert service.ask(statement).status_code == 200
    for _ in range(239):
        clock.turn(1)
        service.ask(service.statement())
        if clock.seconds() % 20 == 0:
            again = service.ask(statement)
            assert "before" in text(again)
    clock.turn(1)
    assert "expired" in text(service.ask(statement))


def test_of_many_threads_with_one_statement_one_gets_a_token(service: Service) -> None:
    statement = service.statement()
    app = service.http.application
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": statement,
        "scope": "system/*.rs",
    }
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: app.test_client().post("/fhir/auth/token", data=form).status_code, range(8)))
    assert sorted(answers) == [200, *[400] * 7]


_USING = """
import datetime as dt, sys
from fhirbridge.store import Store
with Store.open(sys.argv[1]) as store:
    sys.stdin.readline()
    print(store.clients.use("c1", "the-same", expires=dt.datetime.now(dt.UTC) + dt.timedelta(minutes=5)))
"""


def test_of_several_processes_with_one_statement_one_is_told_that_it_is_new(database_url: str) -> None:
    with Store.open(database_url) as store:
        store.clients.add("c1", "c1", agreement="A1", scopes="system/*.rs", by="ann", jwks="{}", jwks_uri=None)
    root = str(Path(__file__).parents[2])
    running = [
        subprocess.Popen(
            [sys.executable, "-c", _USING, database_url],
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for one in running:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    said = sorted(one.communicate(timeout=120)[0].strip() for one in running)
    assert said == ["False", "False", "True"]


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "", "nOnE"])
@pytest.mark.parametrize("signature", ["", "c2ln"])
def test_an_unsigned_statement_is_refused(service: Service, alg: str, signature: str) -> None:
    answer = service.ask(f"{encoded({'alg': alg, 'kid': 'ec'})}.{encoded(service.claims())}.{signature}")
    assert refusal(answer) == (400, "invalid_client")
    assert "RS384 or ES384" in text(answer)


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("key", [RSA_KEY, EC_KEY], ids=["rsa", "ec"])
def test_a_public_key_is_no_shared_secret(service: Service, alg: str, key: Any) -> None:
    kid = "rsa" if key is RSA_KEY else "ec"
    for secret in (public_pem(key), json.dumps(public_jwk(key, kid)).encode()):
        answer = service.ask(hs256({"alg": alg, "kid": kid}, service.claims(), secret))
        assert refusal(answer) == (400, "invalid_client")
        assert f"alg '{alg}' is not taken" in text(answer)


@pytest.mark.parametrize("alg", ["RS256", "RS512", "PS384"])
def test_other_algorithms_are_refused_by_name_even_with_the_right_key(service: Service, alg: str) -> None:
    answer = service.ask(service.statement(key=RSA_KEY, alg=alg))
    assert refusal(answer) == (400, "invalid_client")
    assert f"alg '{alg}' is not taken: sign with RS384 or ES384." in text(answer)


def test_a_key_of_one_kind_is_not_used_under_the_other_algorithm(service: Service) -> None:
    forged = f"{encoded({'alg': 'ES384', 'kid': 'rsa'})}.{encoded(service.claims())}.{encoded(b'x' * 96)}"
    assert text(service.ask(forged)) == UNKNOWN
    swapped = service.statement(key=EC_KEY, header={"kid": "rsa"})
    assert text(service.ask(swapped)) == UNKNOWN


def test_a_key_is_found_by_its_id_and_no_other_is_tried(service: Service) -> None:
    other = ec.generate_private_key(ec.SECP384R1())
    service.register("c2", jwks=jwks(public_jwk(EC_KEY, "old"), public_jwk(other, "new")))
    assert service.ask(service.statement("c2", key=other, header={"kid": "new"})).status_code == 200
    assert text(service.ask(service.statement("c2", key=other, header={"kid": "old"}))) == UNKNOWN
    assert text(service.ask(service.statement("c2", key=other, header={"kid": "NEW"}))) == UNKNOWN
    assert text(service.ask(service.statement("c2", key=other, header={"kid": "../new"}))) == UNKNOWN


@pytest.mark.parametrize("kid", [None, "", 5, ["ec"], {"a": 1}])
def test_a_header_without_the_id_of_a_key_is_refused(service: Service, kid: Any) -> None:
    signed = service.statement().split(".")
    header = {"alg": "ES384", "typ": "JWT", **({"kid": kid} if kid is not None else {})}
    assert refusal(service.ask(".".join([encoded(header), *signed[1:]]))) == (400, "invalid_client")


@pytest.mark.parametrize(
    "member",
    [
        {"use": "enc"},
        {"alg": "ES256"},
        {"key_ops": ["sign"]},
        {"key_ops": "verify"},
        {"kty": "RSA"},
        {"crv": "P-256"},
    ],
    ids=str,
)
def test_a_key_registered_for_something_else_is_not_used(service: Service, member: dict[str, Any]) -> None:
    service.register("c2", jwks=jwks({**public_jwk(EC_KEY, "ec"), **member}))
    assert text(service.ask(service.statement("c2"))) == UNKNOWN


def test_a_weak_rsa_key_and_one_on_another_curve_are_not_used(service: Service) -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    service.register("c2", jwks=jwks(public_jwk(weak, "rsa")))
    header = {"alg": "RS384", "kid": "rsa"}
    signed = f"{encoded(header)}.{encoded(service.claims('c2'))}"
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    signature = weak.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA384())
    assert text(service.ask(f"{signed}.{encoded(signature)}")) == UNKNOWN


@pytest.mark.parametrize("name", ["jwk", "x5c"])
def test_a_key_in_a_header_is_not_looked_at(service: Service, name: str) -> None:
    value: Any = {"jwk": public_jwk(STRANGE_KEY, "ec"), "x5c": ["MIIB"]}[name]
    assert text(service.ask(service.statement(key=STRANGE_KEY, header={name: value}))) == UNKNOWN
    assert service.ask(service.statement(header={name: value})).status_code == 200


@pytest.mark.parametrize("name", ["crit", "b64"])
def test_a_header_that_changes_what_is_signed_is_refused(service: Service, name: str) -> None:
    header = {"alg": "ES384", "kid": "ec", name: ["b64"] if name == "crit" else False}
    signed = service.statement().split(".")
    assert "crit and b64" in text(service.ask(".".join([encoded(header), *signed[1:]])))


def test_a_strangers_key_an_unknown_client_and_a_revoked_one_look_alike(service: Service) -> None:
    service.register("c9")
    service.store.clients.revoke("c9", by="ann")
    answers = [
        service.ask(service.statement("c1", key=STRANGE_KEY)),
        service.ask(service.statement("nobody")),
        service.ask(service.statement("c9")),
    ]
    assert {text(answer) for answer in answers} == {UNKNOWN}
    assert {refusal(answer) for answer in answers} == {(400, "invalid_client")}


def test_the_id_of_another_client_is_refused(service: Service) -> None:
    service.register("c2", jwks=jwks(public_jwk(STRANGE_KEY, "ec")))
    for claims in ({"iss": "c2"}, {"sub": "c2"}, {"iss": "c2", "sub": "c2"}):
        assert refusal(service.ask(service.statement("c1", **claims))) == (400, "invalid_client")
    assert refusal(service.ask(client_id="c2")) == (400, "invalid_client")
    assert service.ask(client_id="c1").status_code == 200


@pytest.mark.parametrize("name", ["c1\x00", "c1 ", "é", "x" * 101, "' OR 1=1 --", "c1\nlog", 5, ["c1"], ""])
def test_a_client_id_that_is_none_is_refused_before_anything_is_looked_up(service: Service, name: Any) -> None:
    claims = service.claims() | {"iss": name, "sub": name}
    signed = jwt.api_jws.encode(json.dumps(claims).encode(), EC_KEY, "ES384", {"kid": "ec"})
    assert refusal(service.ask(signed)) == (400, "invalid_client")
    assert service.heard[-1].client == ""


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_statement_that_was_tampered_with_is_refused(service: Service, part: int) -> None:
    parts = service.statement().split(".")
    if part == 1:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=="))
        parts[1] = encoded(claims | {"jti": "another"})
    elif part == 0:
        parts[0] = encoded({"kid": "ec", "alg": "ES384", "typ": "JWT", "more": 1})
    else:
        parts[2] = encoded(b"\x00" * 96)
    assert text(service.ask(".".join(parts))) == UNKNOWN


def test_a_member_given_twice_is_refused_since_two_readers_could_differ(service: Service) -> None:
    claims = json.dumps(service.claims())[:-1] + ', "sub": "c1"}'
    signed = jwt.api_jws.encode(claims.encode(), EC_KEY, "ES384", {"kid": "ec"})
    assert refusal(service.ask(signed)) == (400, "invalid_client")


@pytest.mark.parametrize(
    "broken",
    [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "é.é.é",
        "e30.e30.e30",
        "bnVsbA.bnVsbA.",
        "W10.W10.",
        encoded(b"[" * 5_000) + ".e30.",
        "x" * 8_193,
        ".".join([encoded({"alg": "ES384", "kid": "ec"}), encoded(b'{"iss": 1e999999999999}'), ""]),
        f"{encoded({'alg': ['ES384'], 'kid': 'ec'})}.e30.",
        f"{encoded({'alg': {'a': 1}, 'kid': 'ec'})}.e30.",
        encoded(b"\xff\xfe") + ".e30.",
    ],
)
def test_what_is_no_statement_at_all_is_refused(service: Service, broken: str) -> None:
    status, error = refusal(service.ask(client_assertion=broken))
    assert (status, error) in {(400, "invalid_client"), (400, "invalid_request")}
