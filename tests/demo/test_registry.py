"""The demo's registry as a client: it goes through all pages, renews its token, and believes no number it can count."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jwt
import pytest
import responses
from jwt.algorithms import ECAlgorithm
from requests import PreparedRequest

from fhirbridge.demo.registry import Registry
from fhirbridge.errors import Refused

BASE = "https://fhir.trial.example/fhir"
TOKEN = f"{BASE}/auth/token"


class Service:
    """A service of the specification's, which a test breaks."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.expires_in = 300
        responses.get(f"{BASE}/.well-known/smart-configuration", json={"token_endpoint": TOKEN})
        responses.add_callback("POST", TOKEN, self._token)

    def _token(self, request: PreparedRequest) -> tuple[int, dict[str, str], str]:
        self.statements.append(str(request.body).partition("client_assertion=")[2].partition("&")[0])
        token = f"token-{len(self.statements)}"
        return 200, {}, json.dumps({"access_token": token, "expires_in": self.expires_in})

    def page(self, path: str, *entries: tuple[str, dict[str, Any]], next: str = "", total: int | None = None) -> None:
        bundle: dict[str, Any] = {"resourceType": "Bundle", "link": [{"relation": "self", "url": f"{BASE}/{path}"}]}
        bundle["entry"] = [{"resource": one, "search": {"mode": mode}} for mode, one in entries]
        bundle["link"] += [{"relation": "next", "url": f"{BASE}/{next}"}] if next else []
        bundle |= {} if total is None else {"total": total}
        responses.get(f"{BASE}/{path}", json=bundle)

    def export(self, count: int) -> None:
        output = [{"type": "Patient", "url": f"{BASE}/_export/1/Patient.1.ndjson", "count": count}]
        responses.get(f"{BASE}/$export", status=202, headers={"Content-Location": f"{BASE}/_export/1"})
        responses.get(f"{BASE}/_export/1", status=202, headers={"Retry-After": "7"})
        responses.get(f"{BASE}/_export/1", json={"output": output})
        responses.get(
            output[0]["url"], body=b'{"resourceType":"Patient","id":"a"}\n{"resourceType":"Patient","id":"b"}\n'
        )
        responses.delete(f"{BASE}/_export/1", status=202)


def _observation(id: str, person: str) -> dict[str, Any]:
    return {"resourceType": "Observation", "id": id, "subject": {"reference": f"Patient/{person}"}}


def _met(folder: Path, **given: Any) -> Registry:
    registry = Registry(folder / "kept", **given)
    registry.meet(BASE, "north-1")
    return registry


@responses.activate
def test_all_pages_are_read_and_what_is_included_twice_counts_once(tmp_path: Path) -> None:
    service = Service()
    person = {"resourceType": "Patient", "id": "a"}
    service.page("Observation", ("match", _observation("1", "a")), ("include", person), next="page-2", total=3)
    service.page(
        "page-2", ("match", _observation("2", "a")), ("match", _observation("3", "b")), ("include", person), total=3
    )
    registry = _met(tmp_path)
    answered = registry.search("search", "Observation")
    assert answered.matches == {"Observation": 3}
    assert answered.included == {"Patient": 1}
    assert answered.people == {"a", "b"}
    assert answered.told == {"Observation": 3}
    assert [file.name for file in answered.files] == ["search-1.json", "search-2.json"]
    assert (registry.asked, registry.tokens) == (2, 1)


@responses.activate
def test_it_proves_itself_with_the_key_that_it_gave_to_be_registered(tmp_path: Path) -> None:
    service = Service()
    service.page("Patient", total=0)
    registry = _met(tmp_path)
    registry.write_jwks(tmp_path / "jwks.json")
    registry.search("search", "Patient")
    (public,) = json.loads((tmp_path / "jwks.json").read_text())["keys"]
    assert "d" not in public
    (statement,) = service.statements
    claims = jwt.decode(statement, ECAlgorithm.from_jwk(public), ["ES384"], audience=TOKEN, issuer="north-1")  # type: ignore[arg-type]
    assert claims["sub"] == "north-1"
    assert responses.calls[-1].request.headers["Authorization"] == "Bearer token-1"


@responses.activate
def test_a_token_that_is_about_to_end_is_replaced(tmp_path: Path) -> None:
    service = Service()
    service.expires_in = 30
    service.page("Patient", next="page-2")
    service.page("page-2")
    registry = _met(tmp_path)
    registry.search("search", "Patient")
    assert registry.tokens == 2
    assert responses.calls[-1].request.headers["Authorization"] == "Bearer token-2"


@responses.activate
def test_an_export_is_waited_for_fetched_and_deleted(tmp_path: Path) -> None:
    service, waits = Service(), list[float]()
    service.export(count=2)
    answered = _met(tmp_path, pause=waits.append).export("$export")
    assert (answered.matches, answered.people, answered.told) == ({"Patient": 2}, {"a", "b"}, {"Patient": 2})
    assert waits == [7]
    assert answered.files[0].read_bytes().count(b"\n") == 2
    assert responses.calls[-1].request.method == "DELETE"


@responses.activate
def test_an_export_that_says_another_number_than_it_holds_is_refused(tmp_path: Path) -> None:
    Service().export(count=3)
    with pytest.raises(Refused, match=r"says 3 of Patient-1\.ndjson, which holds 2"):
        _met(tmp_path, pause=lambda _: None).export("$export")


@responses.activate
def test_a_refusal_is_told_with_what_the_service_said_but_not_with_the_query(tmp_path: Path) -> None:
    Service()
    responses.get(f"{BASE}/Patient", status=403, body="this type is not yours")
    with pytest.raises(
        Refused, match=r"GET https://fhir\.trial\.example/fhir/Patient: answered 403, not 200(.|\n)*yours"
    ):
        _met(tmp_path).search("search", "Patient?name=Li")
