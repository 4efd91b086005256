"""`fhirbridge registry`: from a key to a client that is let in, and out again."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jwt
import pytest

from fhirbridge.identity import new_key
from fhirbridge.store import Store
from tests.api.registering import EC_KEY, RSA_KEY, jwks, public_jwk
from tests.cli.conftest import Ran, Run
from tests.hospital.secured import jwk, pem

AGREEMENT = """
id = "hcc-2026"
registry = "hcc"
study = "nct07120750"
purpose = "HRESCH"
types = ["Patient", "Observation"]
expires = {expires}
scopes = ["system/*.rs"]
"""

Registry = Callable[..., Ran]


@pytest.fixture
def registry(quick: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Run `fhirbridge registry` with one agreement, a signing key, and a registry's keys in keys.json."""
    (tmp_path / "agreements").mkdir()
    (tmp_path / "agreements" / "hcc.toml").write_text(AGREEMENT.format(expires=dt.date(2999, 1, 1)))
    (tmp_path / "keys.json").write_text(jwks(public_jwk(EC_KEY, "ec"), public_jwk(RSA_KEY, "rsa")))
    monkeypatch.setenv("FHIRBRIDGE_AGREEMENTS", "agreements")
    monkeypatch.setenv("FHIRBRIDGE_API_URL", "https://fhir.trial.example/fhir")
    monkeypatch.setenv("FHIRBRIDGE_API_SIGNING_KEY", "api.key")
    assert quick("registry", "key", "api.key").code == 0
    return lambda *words, **environment: quick("registry", *words, **environment)


def added(registry: Registry, name: str = "HCC registry", *more: str) -> str:
    ran = registry("add", name, "--agreement", "hcc-2026", "--jwks", "keys.json", *more)
    assert ran.code == 0, ran.err
    return ran.out.strip()


def runs(folder: Path) -> list[tuple[str, str | None, dict[str, object]]]:
    with Store.open(f"sqlite:///{folder / 'fhirbridge.db'}") as store:
        return [(run.command, run.outcome, run.counts or {}) for run in store.runs(limit=50)]


def test_a_system_is_registered_shown_and_listed(registry: Registry) -> None:
    id = added(registry)
    assert id.startswith("hcc-registry-")
    shown = registry("show", "HCC registry", "--json").json
    assert (shown["id"], shown["agreement"], shown["scopes"]) == (id, "hcc-2026", "system/*.rs")
    assert (shown["keys"], shown["stands"]) == (["ec", "rsa"], "in force")
    assert registry("show", id).code == 0
    assert [one["id"] for one in registry("list", "--json").json["clients"]] == [id]
    assert "HCC registry" in registry("list").out


def test_a_list_of_nobody_says_what_to_do(registry: Registry) -> None:
    assert "fhirbridge registry add" in registry("list").out


def test_a_token_to_try_things_out_is_one_of_the_client_and_is_on_record(registry: Registry, loaded: Path) -> None:
    id = added(registry)
    said = registry("token", "HCC registry", "--scope", "system/Observation.read", "--by", "ann", "--json").json
    claims = jwt.decode(said["access_token"], options={"verify_signature": False})
    assert (claims["sub"], claims["agreement"], claims["scope"]) == (id, "hcc-2026", "system/Observation.read")
    assert claims["exp"] - claims["iat"] == 300
    [kept] = [counts for command, outcome, counts in runs(loaded) if (command, outcome) == ("registry token", "done")]
    assert (kept["client"], kept["token"], kept["by"]) == (id, claims["jti"], "ann")
    assert said["access_token"] not in json.dumps(kept)
    plain = registry("token", id)
    assert plain.out.count(".") == 2
    assert said["token"] not in plain.out


def test_a_revoked_system_gets_no_token_any_more(registry: Registry) -> None:
    id = added(registry)
    assert registry("revoke", id).code == 0
    assert registry("revoke", id).code == 1
    shown = registry("show", id)
    assert shown.code == 1
    assert "revoked" in shown.out
    refused = registry("token", id)
    assert refused.code == 2
    assert "revoked" in refused.err
    assert added(registry) != id


def test_one_token_is_revoked_by_its_id(registry: Registry, loaded: Path) -> None:
    id = added(registry)
    token = registry("token", id, "--json").json["token"]
    assert registry("revoke", id, "--token", token).code == 0
    assert registry("revoke", id, "--token", token).code == 1
    with Store.open(f"sqlite:///{loaded / 'fhirbridge.db'}") as store:
        in_force = store.clients.in_force()
    assert (in_force.clients, in_force.revoked_tokens) == ({id}, {token})


def test_a_name_is_used_once_at_a_time(registry: Registry) -> None:
    added(registry)
    again = registry("add", "HCC registry", "--agreement", "hcc-2026", "--jwks", "keys.json")
    assert again.code == 1
    assert "registered already" in again.err


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        ("system/*.cruds", "Register system/*.rs"),
        ("system/Observation.write", "to write"),
        ("user/Observation.rs", "a person who logs in"),
        ("system/Medication.rs", "data-use agreement"),
        ("system/Observation.rs?code=1", "never granted"),
        ("observations", "not a scope"),
    ],
)
def test_scopes_that_would_never_be_granted_are_refused(registry: Registry, scope: str, said: str) -> None:
    ran = registry("add", "x", "--agreement", "hcc-2026", "--jwks", "keys.json", "--scope", scope)
    assert ran.code == 2
    assert said in ran.err


def test_what_is_no_set_of_public_keys_is_refused_and_a_private_key_is_not_quoted(
    registry: Registry, loaded: Path
) -> None:
    private = jwk(EC_KEY, kid="ec")
    (loaded / "private.json").write_text(jwks(private))
    ran = registry("add", "x", "--agreement", "hcc-2026", "--jwks", "private.json")
    assert ran.code == 2
    assert "private or shared key" in ran.err
    assert private["d"] not in ran.err + ran.out
    (loaded / "none.json").write_text("{}")
    assert registry("add", "x", "--agreement", "hcc-2026", "--jwks", "none.json").code == 2
    assert registry("add", "x", "--agreement", "hcc-2026", "--jwks", "missing.json").code == 2
    assert registry("add", "x", "--agreement", "hcc-2026").code == 2
    uri = "https://127.0.0.1/jwks.json"
    assert registry("add", "x", "--agreement", "hcc-2026", "--jwks", "keys.json", "--jwks-uri", uri).code == 2
    inside = registry("add", "x", "--agreement", "hcc-2026", "--jwks-uri", uri)
    assert inside.code == 2
    assert "not a public address" in inside.err
    assert registry("list", "--json").json == {"clients": []}


def test_an_agreement_that_is_not_there_or_over_is_named(registry: Registry, loaded: Path) -> None:
    missing = registry("add", "x", "--agreement", "other", "--jwks", "keys.json")
    assert missing.code == 2
    assert "hcc-2026" in missing.err
    added(registry)
    (loaded / "agreements" / "hcc.toml").write_text(AGREEMENT.format(expires=dt.date(2020, 1, 1)))
    assert "ended on 2020-01-01" in registry("add", "y", "--agreement", "hcc-2026", "--jwks", "keys.json").err
    shown = registry("show", "HCC registry")
    assert (shown.code, "ended on 2020-01-01" in shown.out) == (1, True)
    assert registry("token", "HCC registry").code == 2


def test_settings_that_are_missing_or_unsafe_are_named(registry: Registry, loaded: Path) -> None:
    added(registry)
    cases = [
        ({"FHIRBRIDGE_API_URL": "http://fhir.trial.example/fhir"}, "https"),
        ({"FHIRBRIDGE_API_URL": "https://user:secret@fhir.trial.example/fhir"}, "no user"),
        ({"FHIRBRIDGE_API_SIGNING_KEY": "missing.key"}, "api_signing_key"),
        ({"FHIRBRIDGE_AGREEMENTS": "missing"}, "agreements"),
    ]
    for environment, said in cases:
        ran = registry("token", "HCC registry", **environment)
        assert ran.code == 2, said
        assert said in ran.err
        assert "secret" not in ran.err


@pytest.mark.parametrize("name", ["", "a" * 65, "a\nb", "é", "../x", "a;b"])
def test_what_cannot_be_a_name_is_refused(registry: Registry, name: str) -> None:
    assert registry("add", name, "--agreement", "hcc-2026", "--jwks", "keys.json").code == 2


def test_a_client_that_nobody_knows_is_an_error_that_says_where_to_look(registry: Registry) -> None:
    for words in (("show", "nobody"), ("revoke", "nobody"), ("token", "nobody")):
        ran = registry(*words)
        assert ran.code == 2
        assert "fhirbridge registry list" in ran.err


def test_the_wsgi_application_lets_the_client_in(registry: Registry, loaded: Path) -> None:
    id = added(registry)
    asking = f"""
import datetime as dt, sys
import jwt
from wsgi import app
client = app.test_client()
url = client.get("/.well-known/smart-configuration").json["token_endpoint"]
claims = dict(iss={id!r}, sub={id!r}, aud=url, jti="1", exp=int(dt.datetime.now().timestamp()) + 200)
key = open("private.pem").read()
signed = jwt.encode(claims, key, "ES384", {{"kid": "ec"}})
kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
form = dict(grant_type="client_credentials", client_assertion_type=kind, client_assertion=signed, scope="system/*.rs")
print(client.post("/fhir/auth/token", data=form).json["scope"])
"""
    (loaded / "private.pem").write_bytes(pem(EC_KEY))
    new_key(loaded / "release.key")
    root = str(Path(__file__).parents[2])
    asked = subprocess.run(
        [sys.executable, "-c", asking],
        cwd=loaded,
        env={**os.environ, "PYTHONPATH": root, "FHIRBRIDGE_API_PROXIES": "1", "FHIRBRIDGE_RELEASE_KEY": "release.key"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert asked.stdout.strip() == "system/Observation.rs system/Patient.rs", asked.stderr
